/**
 * Labels of Gmail as folders. A message bears any number of labels and lies in one folder: the first that fits of trash, spam,
 * drafts, inbox and sent, else the first label of the user's by name, else "All Mail".
 */
import { Predicate, Schema } from "effect"
import type { FolderRole } from "../../domain/Mail.ts"
import { maybe } from "./GmailParts.ts"
import type { RemoteFolder, RemoteMessage } from "../Mailbox.ts"

export const GmailLabel = Schema.Struct({
  id: Schema.String,
  name: maybe(Schema.String),
  /** `system` or `user`. */
  type: maybe(Schema.String),
  messagesTotal: maybe(Schema.Number),
})
export type GmailLabel = typeof GmailLabel.Type

export const LabelPage = Schema.Struct({ labels: maybe(Schema.Array(GmailLabel)) })

/** The folder that owns the pages of all others. No label: Gmail has none for what bears no other. */
export const allMail = "ALL_MAIL"

/** In the order of precedence. */
const systemFolders: ReadonlyArray<readonly [label: string, role: FolderRole, displayName: string]> = [
  ["TRASH", "trash", "Trash"],
  ["SPAM", "junk", "Spam"],
  ["DRAFT", "drafts", "Drafts"],
  ["INBOX", "inbox", "Inbox"],
  ["SENT", "sent", "Sent"],
]

/** Names of the user's labels by id. */
export type LabelNames = ReadonlyMap<string, string>

export const namesOf = (labels: ReadonlyArray<GmailLabel>): LabelNames =>
  new Map(labels.filter(isOfUser).map(({ id, name }) => [id, name ?? id]))

const isSystem = /^[A-Z_]+$/

/** The type may be missing: then the form of the id tells. */
const isOfUser = ({ id, type }: GmailLabel): boolean => Predicate.isNullish(type) ? !isSystem.test(id) : type === "user"

/** `counts`: messages by folder, as far as they are known. */
export const foldersOf = (
  labels: ReadonlyArray<GmailLabel>,
  counts: ReadonlyMap<string, number | null>,
): ReadonlyArray<RemoteFolder> => {
  const totalItems = (id: string) => counts.get(id) ?? null
  const present = new Set(labels.map(({ id }) => id))
  const names = namesOf(labels)
  const byName = new Map([...names].map(([id, name]) => [name, id]))
  return [
    {
      remoteId: allMail,
      parentRemoteId: null,
      displayName: "All Mail",
      role: "archive",
      totalItems: totalItems(allMail),
    },
    ...systemFolders.filter(([label]) => present.has(label)).map(([label, role, displayName]): RemoteFolder => ({
      remoteId: label,
      parentRemoteId: null,
      displayName,
      role,
      totalItems: totalItems(label),
      followedBy: allMail,
    })),
    ...[...names].map(([id, name]): RemoteFolder => {
      const around = parentName(name, byName)
      return {
        remoteId: id,
        parentRemoteId: around === undefined ? null : byName.get(around) ?? null,
        displayName: around === undefined ? name : name.slice(around.length + 1),
        role: null,
        totalItems: totalItems(id),
        followedBy: allMail,
      }
    }),
  ]
}

/** Labels nest by `/` in their names; one in between may be missing. */
const parentName = (name: string, byName: ReadonlyMap<string, string>): string | undefined => {
  for (let end = name.lastIndexOf("/"); end > 0; end = name.lastIndexOf("/", end - 1)) {
    const around = name.slice(0, end)
    if (byName.has(around)) return around
  }
  return undefined
}

/** Labels of the user's, by name. Text order, the same everywhere. */
const userLabels = (labels: ReadonlyArray<string>, names: LabelNames) =>
  labels.flatMap((id) => {
    const name = names.get(id)
    return name === undefined ? [] : [{ id, name }]
  }).sort((one, other) => one.name < other.name ? -1 : one.name > other.name ? 1 : 0)

/** The folder of a message that bears these labels. */
export const folderOf = (labels: ReadonlyArray<string>, names: LabelNames): string =>
  systemFolders.find(([label]) => labels.includes(label))?.[0] ?? userLabels(labels, names)[0]?.id ?? allMail

/** What else labels say of a message. Its categories are the names of the user's labels, and Gmail's own `CATEGORY_…`. */
export const labelFields = (labels: ReadonlyArray<string>, names: LabelNames): Partial<RemoteMessage> => ({
  isRead: !labels.includes("UNREAD"),
  isFlagged: labels.includes("STARRED"),
  isDraft: labels.includes("DRAFT"),
  importance: labels.includes("IMPORTANT") ? "high" : "normal",
  categories: [
    ...userLabels(labels, names).map(({ name }) => name),
    ...labels.filter((label) => label.startsWith("CATEGORY_")).sort(),
  ],
})
