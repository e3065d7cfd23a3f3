/** Which folders of a mailbox are synced: what the account chose, by role or by path. */
import type { Page } from "../mail/Mailbox.ts"
import type { FolderState } from "../storage/mail/Folders.ts"

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

/** Of the chosen folders, those to be followed: whose own pages bring what was chosen. */
export const leadersOf = (
  folders: ReadonlyArray<FolderState>,
  chosen: ReadonlyArray<FolderState>,
): ReadonlyArray<FolderState> => {
  const leaders = new Set(chosen.map(({ followedBy, remoteId }) => followedBy ?? remoteId))
  return folders.filter(({ remoteId }) => leaders.has(remoteId))
}

/** Pages that several folders follow bring the mail of all of them: what lies in one that was not chosen is as good as gone. */
export const withinChoice = (
  page: FolderState,
  changes: Page["changes"],
  chosen: ReadonlySet<string> | null,
): Page["changes"] =>
  chosen === null
    ? changes
    : changes.map((change) =>
      change._tag === "Removed" || chosen.has(change.folderRemoteId ?? page.remoteId)
        ? change
        : { _tag: "Removed", remoteId: change.remoteId }
    )
