/** Bodies of messages and what is attached to them. */
import { Effect, Option, Result, Schema } from "effect"
import type { ProviderError } from "../../domain/ProviderError.ts"
import type { MailLane } from "../../pacing/MailboxLimiter.ts"
import type { GraphReader, Read } from "./GraphBatch.ts"
import { type GraphRefusal, strangeAnswer } from "./GraphErrors.ts"
import { bodyOf, flag, GraphBody, maybe, refersToAttachments } from "./GraphMessage.ts"
import type { RemoteAttachment, RemoteBody, RemoteMessage } from "../Mailbox.ts"

export type ReadBody = RemoteBody & Partial<RemoteMessage>

const GraphAttachment = Schema.Struct({
  id: Schema.String,
  "@odata.type": maybe(Schema.String),
  name: maybe(Schema.String),
  contentType: maybe(Schema.String),
  size: maybe(Schema.Number),
  isInline: maybe(Schema.Union([Schema.Boolean, Schema.String])),
  contentId: maybe(Schema.String),
})

/** With the id, by which an answer is told from an error that comes with status 200. */
const decodeBody = Schema.decodeUnknownOption(Schema.Struct({ id: Schema.String, ...GraphBody.fields }))
const decodeAttachment = Schema.decodeUnknownOption(GraphAttachment)
const decodeExpanded = Schema.decodeUnknownOption(Schema.Struct({ attachments: Schema.Array(Schema.Unknown) }))
const decodeListed = Schema.decodeUnknownOption(Schema.Struct({ value: Schema.Array(Schema.Unknown) }))

/** Without `contentBytes`, which would bring the content of every file. */
const attachmentFields = "id,name,contentType,size,isInline"

/** Of files only: named without the cast it is refused (400 `RequestBroker--ParseUri`), for other attachments have none. */
const contentIdField = "microsoft.graph.fileAttachment/contentId"

const attachmentOf = (value: unknown): ReadonlyArray<RemoteAttachment> => {
  const decoded = Option.getOrUndefined(decodeAttachment(value))
  if (decoded === undefined) return []
  const isItem = decoded["@odata.type"]?.endsWith("itemAttachment") === true
  const contentType = decoded.contentType?.split(";")[0]?.trim().toLowerCase() ?? ""
  const contentId = decoded.contentId?.trim().replace(/^<(.*)>$/, "$1") ?? ""
  return [{
    remoteId: decoded.id,
    name: decoded.name ?? "",
    contentType: contentType !== "" ? contentType : isItem ? "message/rfc822" : "application/octet-stream",
    size: decoded.size ?? null,
    inline: flag(decoded.isInline ?? false),
    contentId: contentId === "" ? null : contentId,
  }]
}

const refusedFor = (bodyReason: string): ReadBody => ({
  text: null,
  html: null,
  attachments: [],
  bodyState: "refused",
  bodyReason,
})

/** Of this very message: 400 `ErrorInvalidIdMalformed`, 403 `ErrorAccessDenied` of one that is protected. All else passes. */
const isFinal = ({ status }: GraphRefusal): boolean => status >= 400 && status < 500 && status !== 401

const isPassing = (refusal: GraphRefusal): boolean =>
  refusal.error.class === "throttled" || refusal.error.class === "transient" || !isFinal(refusal)

const isGone = ({ error, status }: GraphRefusal): boolean => status === 404 && error.class === "unknown"

/** A fault of the mailbox or the grant rather than of one message in it. */
const isOfAll = ({ error }: GraphRefusal): boolean => error.class === "blocked" || error.class === "needs_user"

/** @param messages where they are, after the version: `/me/messages` */
export const makeBodyReader = (read: GraphReader, messages: string) => {
  const pathOf = (id: string) => `${messages}/${encodeURIComponent(id)}`

  /** What is attached to messages; none = not to be had just now. */
  const attachments = Effect.fnUntraced(function* (
    ids: ReadonlyArray<string>,
    lane: MailLane,
  ): Effect.fn.Return<
    ReadonlyMap<string, ReadonlyArray<RemoteAttachment> | undefined>,
    GraphRefusal | ProviderError
  > {
    const found = new Map<string, ReadonlyArray<RemoteAttachment> | undefined>()
    let open = ids
    // What a provider does not know it ignores or refuses: then it is asked in plainer words.
    const forms = [
      {
        query: `?$select=id&$expand=attachments($select=${attachmentFields},${contentIdField})`,
        listOf: (body: unknown) => Option.map(decodeExpanded(body), ({ attachments }) => attachments),
      },
      {
        query: `/attachments?$select=${attachmentFields},${contentIdField}`,
        listOf: (body: unknown) => Option.map(decodeListed(body), ({ value }) => value),
      },
      {
        query: `/attachments?$select=${attachmentFields}`,
        listOf: (body: unknown) => Option.map(decodeListed(body), ({ value }) => value),
      },
    ]
    for (const { listOf, query } of forms) {
      if (open.length === 0) break
      const reads = yield* read(open.map((id) => pathOf(id) + query), lane)
      const left: Array<string> = []
      for (const [place, id] of open.entries()) {
        const answer = reads[place]!
        if (Result.isFailure(answer) && isPassing(answer.failure)) {
          found.set(id, undefined)
          continue
        }
        const list = Result.isSuccess(answer) ? listOf(answer.success) : Option.none()
        if (Option.isSome(list)) found.set(id, list.value.flatMap(attachmentOf))
        else left.push(id)
      }
      open = left
    }
    for (const id of open) found.set(id, [])
    return found
  })

  /** A refusal passes: the body is not brought this time, and whoever asked asks again. */
  const bodyIn = (answer: Read): ReadBody | GraphRefusal | "gone" => {
    if (Result.isFailure(answer)) {
      if (isGone(answer.failure)) return "gone"
      if (isPassing(answer.failure)) return answer.failure
      const { code, error, status } = answer.failure
      return refusedFor(`Microsoft Graph refuses the message: ${(error.providerCode ?? code) || status}`)
    }
    const message = Option.getOrUndefined(decodeBody(answer.success))
    if (message === undefined) return strangeAnswer(200)
    if (message.body === undefined) return refusedFor("Microsoft Graph shows no body of this message")
    return {
      ...(message.body === null ? { text: null, html: null } : bodyOf(message.body)),
      ...(message.bodyPreview === undefined ? {} : { preview: message.bodyPreview ?? "" }),
      ...(message.hasAttachments === undefined ? {} : { hasAttachments: flag(message.hasAttachments) }),
      attachments: [],
      bodyState: "complete",
      bodyReason: null,
    }
  }

  return Effect.fnUntraced(function* (
    ids: ReadonlyArray<string>,
    lane: MailLane,
  ): Effect.fn.Return<ReadonlyMap<string, ReadBody>, GraphRefusal | ProviderError> {
    const bodies = new Map<string, ReadBody>()
    let gone = 0
    let passing: GraphRefusal | undefined
    const reads = yield* read(ids.map((id) => `${pathOf(id)}?$select=body,bodyPreview,hasAttachments`), lane)
    for (const [place, id] of ids.entries()) {
      const answer = reads[place]!
      if (Result.isFailure(answer) && isOfAll(answer.failure)) return yield* answer.failure
      const body = bodyIn(answer)
      if (body === "gone") gone++
      else if ("_tag" in body) passing ??= body
      else bodies.set(id, body)
      // Turning HTML into text takes milliseconds: other fibers have their turn in between.
      yield* Effect.yieldNow
    }
    const withMore = [...bodies].flatMap(([id, { bodyState, hasAttachments, html }]) =>
      bodyState === "complete" && (hasAttachments === true || refersToAttachments(html)) ? [id] : []
    )
    for (const [id, attached] of yield* attachments(withMore, lane)) {
      // A body without its attachments would not be asked for again.
      if (attached === undefined) bodies.delete(id)
      else bodies.set(id, { ...bodies.get(id)!, attachments: attached })
    }
    // Where nothing at all comes, it is better known why: there may be a time to wait.
    if (bodies.size + gone === 0 && passing !== undefined) return yield* passing
    return bodies
  })
}
