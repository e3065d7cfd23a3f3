/** Folders that a listing shows under another remote id than the store: renamed ones, and all after a change of channel. */
import type { RemoteFolder } from "../../mail/Mailbox.ts"
import type { FolderState } from "./Folders.ts"

type Named = Pick<RemoteFolder, "remoteId" | "parentRemoteId" | "displayName">

/** The display names from the outermost folder to this one. */
const pathsOf = (folders: ReadonlyArray<Named>): ReadonlyMap<string, string> => {
  const byId = new Map(folders.map((folder) => [folder.remoteId, folder]))
  return new Map(folders.map((folder) => {
    const names: Array<string> = []
    const seen = new Set<string>()
    for (let at: Named | undefined = folder; at !== undefined && !seen.has(at.remoteId);) {
      seen.add(at.remoteId)
      names.unshift(at.displayName.normalize("NFC").toLowerCase())
      at = at.parentRemoteId === null ? undefined : byId.get(at.parentRemoteId)
    }
    return [folder.remoteId, names.join("/")]
  }))
}

/** What both sides have once only. */
const unique = <A>(items: ReadonlyArray<A>, keyOf: (item: A) => string | null): ReadonlyMap<string, A> => {
  const found = new Map<string, A | null>()
  for (const item of items) {
    const key = keyOf(item)
    if (key !== null) found.set(key, found.has(key) ? null : item)
  }
  return new Map([...found].filter((entry): entry is [string, A] => entry[1] !== null))
}

/** The stored folders, by the remote id under which the listing shows them now. */
export const carriedOver = (
  before: ReadonlyArray<FolderState>,
  listing: ReadonlyArray<RemoteFolder>,
): ReadonlyMap<string, FolderState> => {
  const carried = new Map<string, FolderState>()
  const known = new Map(before.filter(({ earlier }) => !earlier).map((state) => [state.remoteId, state]))
  for (const { remoteId, renamedFrom } of listing) {
    const state = renamedFrom === undefined || renamedFrom === remoteId ? undefined : known.get(renamedFrom)
    if (state !== undefined && !state.gone) carried.set(remoteId, state)
  }
  // A folder of that name that the renamed one took the place of was renamed as well, or is gone.
  const moved = new Set([...carried.values()].map(({ id }) => id))
  for (const remoteId of [...carried.keys()]) {
    const there = known.get(remoteId)
    if (there !== undefined && !moved.has(there.id)) carried.delete(remoteId)
  }

  const ways: ReadonlyArray<(folders: ReadonlyArray<RemoteFolder>) => (folder: RemoteFolder) => string | null> = [
    () => ({ role }) => role,
    (folders) => {
      const paths = pathsOf(folders)
      return ({ remoteId }) => paths.get(remoteId) ?? null
    },
    () => ({ displayName }) => displayName.normalize("NFC").toLowerCase(),
  ]
  for (const way of ways) {
    const taken = new Set([...carried.values()].map(({ id }) => id))
    const keyOfStored = way(before)
    const keyOfListed = way(listing)
    const free = unique(before.filter(({ earlier, gone, id }) => earlier && !gone && !taken.has(id)), keyOfStored)
    const open = unique(
      listing.filter(({ remoteId }) => !known.has(remoteId) && !carried.has(remoteId)),
      keyOfListed,
    )
    for (const [key, { remoteId }] of open) {
      const state = free.get(key)
      if (state !== undefined) carried.set(remoteId, state)
    }
  }
  return carried
}
