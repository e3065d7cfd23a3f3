/** UIDs: how they are written in commands, and how a message is named by its own. */

/** UIDs in one command: Exchange refuses lines that are much longer than this makes them. */
const setSize = 500

/** Sets for commands, ascending: `1:3,7`. Neighbours share a range; what lies between two UIDs is not asked for. */
export const uidSets = (uids: ReadonlyArray<number>): ReadonlyArray<string> => {
  const sorted = [...new Set(uids)].sort((a, b) => a - b)
  const sets: Array<string> = []
  for (let start = 0; start < sorted.length; start += setSize) sets.push(uidSet(sorted.slice(start, start + setSize)))
  return sets
}

const uidSet = (uids: ReadonlyArray<number>): string => {
  const parts: Array<string> = []
  for (let i = 0; i < uids.length;) {
    let end = i
    while (uids[end + 1] === uids[end]! + 1) end++
    parts.push(end === i ? `${uids[i]}` : `${uids[i]}:${uids[end]}`)
    i = end + 1
  }
  return parts.join(",")
}

/** Where UIDs are counted: they mean nothing under another UIDVALIDITY (RFC 9051 section 2.3.1.1). */
export interface UidSpace {
  /** The path under which the folder was first listed: messages keep it in their names when the folder is renamed. */
  readonly key: string
  readonly uidValidity: string
}

export const remoteIdOf = ({ key, uidValidity }: UidSpace, uid: number): string => `${key}/${uidValidity}.${uid}`

/** The UID in a name that {@link remoteIdOf} gave, if it counts under this UIDVALIDITY; the folder may have had another path. */
export const uidOf = (remoteId: string, uidValidity: string): number | undefined => {
  const match = /\/(\d+)\.(\d{1,10})$/.exec(remoteId)
  return match === null || match[1] !== uidValidity ? undefined : Number(match[2])
}
