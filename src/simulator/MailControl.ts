/** What a test does to mailboxes, and what it reads off them. */
import { NotFound, Unfit } from "./ControlErrors.ts"
import type { Labels, LifecycleEvent, NewFolder, NewMessages } from "./ControlPayloads.ts"
import { type Folder, root } from "./Folders.ts"
import {
  gmailAddFolder,
  gmailDeliver,
  gmailEdit,
  gmailMove,
  gmailPush,
  gmailRelabel,
  gmailRemove,
  gmailRemoveFolder,
  gmailRenameFolder,
  gmailState,
} from "./GmailControl.ts"
import type { GmailMailbox } from "./GmailMailbox.ts"
import type { Mailbox, Message, MessageChange } from "./Mailbox.ts"
import { internetMessageId } from "./MessageResource.ts"
import type { World } from "./World.ts"

export class MailControl {
  constructor(protected readonly world: World) {}

  /** The owner of a mailbox lets another user read it, by a token with a `.Shared` permission; or no longer. */
  share(email: string, reader: string, isShared: boolean): void {
    const { sharedWith } = this.mailboxOf(email)
    if (isShared) sharedWith.add(this.indexOf(reader))
    else sharedWith.delete(this.indexOf(reader))
  }

  /** Graph answers everything about this mailbox with an error, e.g. 404 `MailboxNotEnabledForRESTAPI`. */
  refuseMailbox(email: string, refusal: { readonly status: number; readonly code: string } | null): void {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) {
      gmail.refusal = refusal ?? undefined
      return
    }
    this.mailboxOf(email).refusal = refusal ?? undefined
  }

  /** Everything that a mailbox holds: what a client that is in step must have. */
  mailbox(email: string): MailboxState {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailState(gmail)
    const mailbox = this.mailboxOf(email)
    return {
      email: mailbox.email,
      folders: mailbox.folders().map((folder) => folderState(mailbox, folder)),
      messages: [...mailbox.messages()].map((message) => messageState(mailbox, message)),
    }
  }

  /** Delivers new mail and returns the messages. */
  deliver(email: string, { attachments: given, count = 1, ...rest }: NewMessages = {}): Array<MessageState> {
    const attachments = given?.map((attachment) => ({ ...plainFile, ...attachment }))
    const delivery = attachments === undefined
      ? rest
      : { hasAttachments: attachments.some(({ inline }) => !inline), ...rest, attachments }
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailDeliver(gmail, delivery, count)
    const mailbox = this.mailboxOf(email)
    const folder = this.folderOf(mailbox, delivery.folder ?? "inbox").ordinal
    return Array.from({ length: count }, () => messageState(mailbox, mailbox.deliver(delivery, folder)))
  }

  editMessage(email: string, id: string, change: MessageChange): MessageState {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailEdit(gmail, id, change)
    const mailbox = this.mailboxOf(email)
    const message = this.messageOf(mailbox, id)
    return messageState(mailbox, mailbox.edit(message.ordinal, change) ?? message)
  }

  moveMessage(email: string, id: string, folder: string): MessageState {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailMove(gmail, id, folder)
    const mailbox = this.mailboxOf(email)
    const message = this.messageOf(mailbox, id)
    return messageState(mailbox, mailbox.move(message.ordinal, this.folderOf(mailbox, folder).ordinal) ?? message)
  }

  /** Deletes for good; a user's delete is a move to `deleteditems`. */
  removeMessage(email: string, id: string): void {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailRemove(gmail, id)
    const mailbox = this.mailboxOf(email)
    mailbox.remove(this.messageOf(mailbox, id).ordinal)
  }

  addFolder(email: string, { displayName, hidden, parent }: NewFolder): FolderState {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailAddFolder(gmail, { displayName, ...(parent === undefined ? {} : { parent }) })
    const mailbox = this.mailboxOf(email)
    const around = parent === undefined ? root : this.folderOf(mailbox, parent).ordinal
    return folderState(mailbox, mailbox.addFolder(displayName, around, hidden))
  }

  /** Removes a folder with its folders and messages. */
  removeFolder(email: string, folder: string): void {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailRemoveFolder(gmail, folder)
    const mailbox = this.mailboxOf(email)
    mailbox.removeFolder(this.folderOf(mailbox, folder).ordinal)
  }

  /** Forgets all delta and skip tokens of a mailbox. */
  expireCursors(email: string, form?: "410" | "code"): void {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmail.expireHistory()
    const mailbox = this.mailboxOf(email)
    mailbox.deltaEpoch++
    mailbox.lostAs = form
  }

  /** As if the account's app had sent that many more requests to its mailbox in this 10-minute window. */
  spendRequests(email: string, requests: number): void {
    const index = this.indexOf(email)
    if (this.gmailOf(email) !== undefined) {
      this.world.quotas.get(index, this.world.grants.appOf(index).index).spend(requests, Infinity, this.world.now())
      return
    }
    this.world.uses.get(index, this.world.grants.appOf(index).index).spend(requests, this.world.now())
  }

  /** Gives a folder a new name, and with a label at Gmail the labels nested in it. */
  renameFolder(email: string, folder: string, displayName: string): FolderState {
    const gmail = this.gmailOf(email)
    if (gmail !== undefined) return gmailRenameFolder(gmail, folder, displayName)
    const mailbox = this.mailboxOf(email)
    const { ordinal } = this.folderOf(mailbox, folder)
    mailbox.renameFolder(ordinal, displayName)
    return folderState(mailbox, this.folderOf(mailbox, mailbox.folderIdOf(ordinal)))
  }

  /** Changes the labels of a message at Gmail. */
  relabel(email: string, id: string, labels: Labels): MessageState {
    return gmailRelabel(this.onlyGmailOf(email), id, labels)
  }

  /** The body of the push that Pub/Sub would send for a watched mailbox at Gmail. */
  push(email: string) {
    return gmailPush(this.onlyGmailOf(email), this.world.now())
  }

  // Change notifications

  /** Subscriptions to a mailbox that live, with the client states that Graph itself never shows. */
  subscriptions(email: string) {
    return this.world.subscriptions.of(this.indexOf(email))
  }

  /** Ends the subscriptions to a mailbox without telling anybody. */
  dropSubscriptions(email: string): void {
    this.world.subscriptions.drop(this.indexOf(email))
  }

  /** Sends a lifecycle notification to each subscription of a mailbox. */
  sendLifecycle(email: string, event: LifecycleEvent): void {
    this.world.subscriptions.lifecycle(this.indexOf(email), event)
  }

  /** Requests with notifications: sent, acknowledged, and failed. */
  notifications() {
    return this.world.subscriptions.notifications
  }

  protected indexOf(email: string): number {
    const index = this.world.population.indexOf(email)
    if (index < 0) throw new NotFound({ message: `no account ${email}` })
    return index
  }

  /** Of Google's accounts; `undefined` for those of Microsoft's. */
  private gmailOf(email: string): GmailMailbox | undefined {
    const index = this.indexOf(email)
    return this.world.population.providerOf(index) === "google" ? this.world.gmailboxes.get(index) : undefined
  }

  private onlyGmailOf(email: string): GmailMailbox {
    const mailbox = this.gmailOf(email)
    if (mailbox === undefined) throw new Unfit({ message: `${email} is no mailbox at Gmail` })
    return mailbox
  }

  private mailboxOf(email: string): Mailbox {
    return this.world.mailboxes.get(this.indexOf(email))
  }

  private folderOf(mailbox: Mailbox, idOrName: string): Folder {
    const folder = mailbox.folder(idOrName)
    if (folder === undefined) throw new NotFound({ message: `no folder ${idOrName}` })
    return folder
  }

  private messageOf(mailbox: Mailbox, id: string): Message {
    const message = mailbox.find(id)
    if (message === undefined || message === "malformed") throw new NotFound({ message: `no message ${id}` })
    return message
  }
}

type FolderState = ReturnType<typeof folderState>

/** Those at Gmail bear labels. */
type MessageState = ReturnType<typeof messageState> & { readonly labels?: ReadonlyArray<string> }

interface MailboxState {
  readonly email: string
  readonly folders: Array<FolderState>
  readonly messages: Array<MessageState>
}
const plainFile = {
  kind: "file",
  name: "file.txt",
  contentType: "text/plain",
  inline: false,
  contentId: null,
  content: "",
} as const

const folderState = (mailbox: Mailbox, { hidden, name, ordinal, parent, wellKnown }: Folder) => ({
  id: mailbox.folderIdOf(ordinal),
  parentId: parent < 0 ? null : mailbox.folderIdOf(parent),
  displayName: name,
  wellKnown: wellKnown ?? null,
  hidden,
})

const messageState = (mailbox: Mailbox, message: Message) => ({
  /** Immutable id. */
  id: mailbox.idOf(message),
  folderId: mailbox.folderIdOf(message.folder),
  subject: mailbox.letter(message).subject,
  internetMessageId: internetMessageId(mailbox, message),
  isRead: message.isRead,
  flagStatus: message.flagStatus,
  /** Epoch milliseconds. */
  receivedAt: message.receivedAt,
  version: message.version,
})
