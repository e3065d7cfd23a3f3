/** Which folders of a mailbox are synced: what the account chose, by role or by path. */
import type { FolderState } from "../storage/Folders.ts"

/** Names of folders from the root down, as people write them: `Projects/2026`. */
const pathOf = (folder: FolderState, byRemoteId: ReadonlyMap<string, FolderState>): string => {
  const names = [folder.displayName]
  const seen = new Set([folder.remoteId])
  for (let parent = byRemoteId.get(folder.parentRemoteId ?? ""); parent !== undefined && !seen.has(parent.remoteId);) {
    names.unshift(parent.displayName)
    seen.add(parent.remoteId)
    parent = byRemoteId.get(parent.parentRemoteId ?? "")
  }
  return names.join("/")
}

/** The folders that were chosen, with all below them. Null = all. Names are compared without regard to case. */
export const chosenIn = (
  folders: ReadonlyArray<FolderState>,
  choice: ReadonlyArray<string> | null,
): ReadonlyArray<FolderState> => {
  if (choice === null) return folders
  const byRemoteId = new Map(folders.map((folder) => [folder.remoteId, folder]))
  const wanted = choice.map((name) => name.toLowerCase())
  return folders.filter((folder) => {
    const path = pathOf(folder, byRemoteId).toLowerCase()
    return wanted.some((name) => name === folder.role || path === name || path.startsWith(`${name}/`))
  })
}

/** Of the folders that are there, those to be followed: whose own pages bring what was chosen. */
export const followedIn = (
  folders: ReadonlyArray<FolderState>,
  choice: ReadonlyArray<string> | null,
): ReadonlyArray<FolderState> => {
  const there = folders.filter(({ gone }) => !gone)
  const leaders = new Set(chosenIn(there, choice).map(({ followedBy, remoteId }) => followedBy ?? remoteId))
  return there.filter(({ remoteId }) => leaders.has(remoteId))
}
