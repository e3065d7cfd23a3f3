/** The content of attachments, from the provider to whoever asks. */
import { Context, Effect, Layer, Option, Schema, type Scope, Sink, Stream } from "effect"
import type { AccountId, MessageId } from "../domain/Ids.ts"
import type { Attachment } from "../domain/Mail.ts"
import { codeOf } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { type Mailbox, MessageGone } from "../mail/Mailbox.ts"
import { Mailboxes } from "../mail/Mailboxes.ts"
import { type AttachmentSource, Messages } from "../storage/mail/Messages.ts"

/** More bytes than `maxBytes`. */
export class TooLarge extends Schema.TaggedError<TooLarge>()("TooLarge", { maxBytes: Schema.Int }) {}

export interface Download {
  readonly accountId: AccountId
  readonly attachment: Attachment
  /** Has begun: the provider has sent its first bytes. Fails where it breaks off, or turns out too large after all. */
  readonly content: Stream.Stream<Uint8Array, ProviderError | MessageGone | TooLarge>
}

/** The content, once its first piece has come. */
const begun = (mailbox: Mailbox, { folderRemoteId, remoteId }: AttachmentSource, attachmentRemoteId: string) =>
  mailbox.attachment === undefined ? Effect.fail(unavailable) : Effect.map(
    Stream.peel(mailbox.attachment(folderRemoteId, remoteId, attachmentRemoteId), Sink.take<Uint8Array>(1)),
    ([first, rest]) => Stream.concat(Stream.fromIterable(first), rest),
  )

/**
 * Ids of attachments are not always for ever, and those of the channel before mean nothing to the present one: the message
 * is looked at once more.
 */
const remoteIdOfToday = Effect.fnUntraced(
  function* (mailbox: Mailbox, { attachment, attachmentRemoteId, folderRemoteId, remoteId }: AttachmentSource) {
    if (mailbox.bodies === undefined) return yield* new MessageGone()
    const bodies = yield* Effect.catchTag(
      mailbox.bodies(folderRemoteId, [remoteId]),
      "FolderGone",
      () => Effect.fail(new MessageGone()),
    )
    const there = bodies.get(remoteId)?.attachments ?? []
    const at = there[Number(attachment.id) - 1]
    const same = at?.name === attachment.name ? at : there.find(({ name }) => name === attachment.name)
    return same === undefined || same.remoteId === attachmentRemoteId ? yield* new MessageGone() : same.remoteId
  },
)

const unavailable = new ProviderError({
  class: "unknown",
  code: codeOf.unknown,
  message: "attachments cannot be read over this channel",
  notSent: true,
})

export class Attachments extends Context.Service<Attachments, {
  /**
   * Asks the provider for an attachment, and answers once it sends. None = there is no such message or attachment. What was
   * opened is closed when `content` has been read to its end or given up, or the scope ends.
   */
  readonly open: (
    messageId: MessageId,
    attachmentId: string,
  ) => Effect.Effect<Option.Option<Download>, ProviderError | MessageGone | TooLarge, Scope.Scope>
}>()("mailfleet/programs/Attachments") {
  static readonly layer: Layer.Layer<Attachments, never, Mailboxes | Messages | Settings> = Layer.effect(
    Attachments,
    Effect.gen(function* () {
      const mailboxes = yield* Mailboxes
      const messages = yield* Messages
      const { attachmentLimit } = yield* Settings
      const tooLarge = new TooLarge({ maxBytes: attachmentLimit })

      const begin = Effect.fnUntraced(function* (source: AttachmentSource) {
        const mailbox = yield* mailboxes.open(source.account, { ids: () => Effect.succeed([]) })
        return yield* Effect.catchTag(
          begun(mailbox, source, source.attachmentRemoteId),
          "MessageGone",
          () => Effect.flatMap(remoteIdOfToday(mailbox, source), (id) => begun(mailbox, source, id)),
        )
      })

      const open = Effect.fn("Attachments.open")(function* (messageId: MessageId, attachmentId: string) {
        const found = yield* messages.attachment(messageId, attachmentId)
        if (Option.isNone(found)) return Option.none()
        const { account, attachment } = found.value
        if (attachment.size !== null && attachment.size > attachmentLimit) return yield* tooLarge
        const content = yield* begin(found.value)
        return Option.some<Download>({
          accountId: account.id,
          attachment,
          content: content.pipe(
            Stream.mapAccumEffect(() => 0, (sum, piece) => {
              const total = sum + piece.byteLength
              return total > attachmentLimit ? Effect.fail(tooLarge) : Effect.succeed([total, [piece]] as const)
            }),
          ),
        })
      })

      return Attachments.of({ open })
    }),
  )
}
