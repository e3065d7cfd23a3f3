/** What a test does to mailboxes of Google's: labels stand for folders. */
import { NotFound, Unfit } from "./ControlErrors.ts"
import type { NewFolder } from "./ControlPayloads.ts"
import { internetMessageId } from "./GmailResource.ts"
import type { GmailItem, GmailLabel, GmailMailbox } from "./GmailMailbox.ts"
import type { Delivery, MessageChange } from "./Mailbox.ts"

/** What has no label of its own lies there; Gmail has no id for it. */
const allMail = "ALL_MAIL"

/** Labels that are folders, in the order of precedence, and how folders of Microsoft's that mean the same are called. */
const folders: ReadonlyArray<readonly [label: string, wellKnown: string]> = [
  ["TRASH", "deleteditems"],
  ["SPAM", "junkemail"],
  ["DRAFT", "drafts"],
  ["INBOX", "inbox"],
  ["SENT", "sentitems"],
]

const labelOf = (mailbox: GmailMailbox, idOrName: string): string => {
  const name = idOrName.toLowerCase()
  if (idOrName === allMail || name === "archive") return allMail
  const known = folders.find(([, wellKnown]) => wellKnown === name)?.[0]
  const label = mailbox.label(known ?? idOrName)
  if (label === undefined) throw new NotFound({ message: `no label ${idOrName}` })
  return label.id
}

const messageOf = (mailbox: GmailMailbox, id: string): GmailItem => {
  const message = mailbox.find(id)
  if (message === undefined) throw new NotFound({ message: `no message ${id}` })
  return message
}

const userLabels = (mailbox: GmailMailbox): ReadonlyArray<GmailLabel> =>
  mailbox.labels().filter(({ type }) => type === "user")

export const gmailState = (mailbox: GmailMailbox) => ({
  email: mailbox.email,
  folders: [
    folderState(mailbox, { id: allMail, name: "All Mail", type: "system" }),
    ...folders.map(([id]) => folderState(mailbox, { id, name: id, type: "system" })),
    ...userLabels(mailbox).map((label) => folderState(mailbox, label)),
  ],
  messages: [...mailbox.messages()].map((message) => messageState(mailbox, message)),
  historyId: String(mailbox.historyId),
  watch: mailbox.watch ?? null,
})

const folderState = (mailbox: GmailMailbox, { id, name }: GmailLabel) => {
  const around = userLabels(mailbox)
    .filter((label) => name.startsWith(`${label.name}/`))
    .sort((one, other) => other.name.length - one.name.length)[0]
  return {
    id,
    parentId: around?.id ?? null,
    displayName: around === undefined ? name : name.slice(around.name.length + 1),
    wellKnown: id === allMail ? "archive" : folders.find(([label]) => label === id)?.[1] ?? null,
    hidden: false,
  }
}

const folderOf = (mailbox: GmailMailbox, { labels }: GmailItem): string => {
  const known = folders.find(([label]) => labels.has(label))
  if (known !== undefined) return known[0]
  const own = userLabels(mailbox).filter(({ id }) => labels.has(id))
  return own.sort((one, other) => one.name < other.name ? -1 : 1)[0]?.id ?? allMail
}

const messageState = (mailbox: GmailMailbox, message: GmailItem) => ({
  id: mailbox.idOf(message.ordinal),
  folderId: folderOf(mailbox, message),
  subject: mailbox.letter(message).subject,
  internetMessageId: internetMessageId(mailbox, message.ordinal),
  isRead: !message.labels.has("UNREAD"),
  flagStatus: message.labels.has("STARRED") ? "flagged" as const : "notFlagged" as const,
  /** Epoch milliseconds. */
  receivedAt: message.receivedAt,
  version: message.version,
  labels: [...message.labels],
})

export const gmailDeliver = (mailbox: GmailMailbox, delivery: Delivery, count: number) => {
  const label = labelOf(mailbox, delivery.folder ?? "INBOX")
  return Array.from(
    { length: count },
    () => messageState(mailbox, mailbox.deliver(delivery, label === allMail ? [] : [label])),
  )
}

/** Only what labels say can be changed; categories are labels by name, made where they are missing. */
export const gmailEdit = (mailbox: GmailMailbox, id: string, change: MessageChange) => {
  const message = messageOf(mailbox, id)
  if (change.subject !== undefined) throw new Unfit({ message: "a message at Gmail keeps its subject" })
  const add: Array<string> = []
  const remove: Array<string> = []
  const set = (label: string, isOn: boolean | undefined) => {
    if (isOn !== undefined) (isOn ? add : remove).push(label)
  }
  set("UNREAD", change.isRead === undefined ? undefined : !change.isRead)
  set("STARRED", change.flagStatus === undefined ? undefined : change.flagStatus === "flagged")
  set("IMPORTANT", change.importance === undefined ? undefined : change.importance === "high")
  if (change.categories !== undefined) {
    const wanted = change.categories.map((name) =>
      (userLabels(mailbox).find((label) => label.name === name) ?? mailbox.addLabel(name))?.id
    )
    for (const label of userLabels(mailbox)) set(label.id, wanted.includes(label.id))
  }
  return messageState(mailbox, mailbox.modify(message.ordinal, add, remove) ?? message)
}

/** As a user moves: into the folder, and out of the one before. */
export const gmailMove = (mailbox: GmailMailbox, id: string, folder: string) => {
  const message = messageOf(mailbox, id)
  const label = labelOf(mailbox, folder)
  const isBin = label === "TRASH" || label === "SPAM"
  const out = isBin
    ? ["TRASH", "SPAM", "INBOX"]
    : ["TRASH", "SPAM", "INBOX", "DRAFT", "SENT", ...userLabels(mailbox).map(({ id }) => id)]
  const add = label === allMail ? [] : [label]
  const remove = out.filter((one) => one !== label)
  return messageState(mailbox, mailbox.modify(message.ordinal, add, remove) ?? message)
}

export const gmailRemove = (mailbox: GmailMailbox, id: string): void => {
  mailbox.remove(messageOf(mailbox, id).ordinal)
}

export const gmailRelabel = (
  mailbox: GmailMailbox,
  id: string,
  { add = [], remove = [] }: { readonly add?: ReadonlyArray<string>; readonly remove?: ReadonlyArray<string> },
) => {
  const message = messageOf(mailbox, id)
  const labels = (ids: ReadonlyArray<string>) => ids.map((label) => labelOf(mailbox, label))
  return messageState(mailbox, mailbox.modify(message.ordinal, labels(add), labels(remove)) ?? message)
}

export const gmailAddFolder = (mailbox: GmailMailbox, { displayName, parent }: NewFolder) => {
  const around = parent === undefined ? undefined : mailbox.label(labelOf(mailbox, parent))
  const label = mailbox.addLabel(around === undefined ? displayName : `${around.name}/${displayName}`)
  if (label === undefined) throw new Unfit({ message: `there is a label ${displayName} already` })
  return folderState(mailbox, label)
}

/** @param displayName the new name within the label around it */
export const gmailRenameFolder = (mailbox: GmailMailbox, folder: string, displayName: string) => {
  const label = mailbox.label(labelOf(mailbox, folder))
  const parent = label?.name.slice(0, label.name.lastIndexOf("/") + 1) ?? ""
  const renamed = label === undefined ? undefined : mailbox.renameLabel(label.id, parent + displayName)
  if (renamed === undefined) throw new Unfit({ message: `${folder} keeps its name` })
  return folderState(mailbox, renamed)
}

/** With the labels nested in it; the messages stay. */
export const gmailRemoveFolder = (mailbox: GmailMailbox, folder: string): void => {
  const label = mailbox.label(labelOf(mailbox, folder))
  if (label?.type !== "user") throw new Unfit({ message: `${folder} cannot be removed` })
  for (const { id, name } of userLabels(mailbox)) {
    if (id === label.id || name.startsWith(`${label.name}/`)) mailbox.removeLabel(id)
  }
}

let pushes = 0

/** What Pub/Sub would send now to a subscription of the watched topic. */
export const gmailPush = (mailbox: GmailMailbox, now: number) => {
  if (mailbox.watch === undefined || mailbox.watch.expiresAt <= now) {
    throw new Unfit({ message: `${mailbox.email} is not watched` })
  }
  const id = ++pushes
  const emailAddress = JSON.stringify(mailbox.email)
  // The documentation shows it both ways.
  const historyId = id % 2 === 0 ? `"${mailbox.historyId}"` : String(mailbox.historyId)
  const data = btoa(`{"emailAddress":${emailAddress},"historyId":${historyId}}`)
    .replaceAll("+", "-").replaceAll("/", "_")
  const project = mailbox.watch.topicName.split("/")[1] ?? ""
  return {
    message: { data, messageId: String(136969346945 + id), publishTime: new Date(now).toISOString() },
    subscription: `projects/${project}/subscriptions/mailfleet`,
  }
}
