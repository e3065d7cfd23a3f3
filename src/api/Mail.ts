/** Stored mail: folders, messages, threads, attachments and the log of what changed. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ChangeKind } from "../domain/Mail.ts"

import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Change, Folder, Message, MessageWithBody, Thread } from "./Models.ts"
import { Cursor, Flag, Id, Limit, page, pageOf, Text, Time } from "./Parameters.ts"
import {
  AccountUnusable,
  AttachmentGone,
  AttachmentTooLarge,
  InvalidCursor,
  NotFound,
  PositionExpired,
  ProviderUnavailable,
} from "./Problems.ts"

const params = { id: Id }

/** An entry of the change log; `id` is its position. */
export const ChangeEvent = Schema.Struct({
  id: Schema.optionalKey(Schema.String),
  event: ChangeKind,
  data: Schema.fromJsonString(Change),
})
export type ChangeEvent = typeof ChangeEvent.Type
/** What messages are chosen by, in one account or in all. */
const filter = {
  q: Schema.optionalKey(Text),
  from: Schema.optionalKey(Text),
  unread: Schema.optionalKey(Flag),
  hasAttachments: Schema.optionalKey(Flag),
  receivedAfter: Schema.optionalKey(Time),
  receivedBefore: Schema.optionalKey(Time),
}

const words = [
  "`q` finds messages with all of its words in subject, addresses, names of attachments or text, whatever the case, accents",
  "or script. The last word may be the beginning of one; of a subject any part of a word will do, from three characters on.",
  "Words in double quotes are found in that order, and as they are. `from` is an address, or `@` and a domain.",
  "`receivedAfter` takes in its own time, `receivedBefore` does not.",
].join(" ")

export class Mail extends HttpApiGroup.make("mail")
  .add(
    HttpApiEndpoint.get("folders", "/v1/accounts/:id/folders", {
      params,
      query: page,
      success: pageOf(Folder),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the folders of an account",
      description: "As the provider names them, with the role of those that have one, and how far each is in step.",
    })),
    HttpApiEndpoint.get("accountMessages", "/v1/accounts/:id/messages", {
      params,
      query: { ...page, folder: Schema.optionalKey(Text), threadId: Schema.optionalKey(Text), ...filter },
      success: pageOf(Message),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the messages of an account",
      description: `Newest first. \`folder\` is a folder's id or a role such as \`inbox\`. ${words}`,
    })),
    HttpApiEndpoint.get("threads", "/v1/accounts/:id/threads", {
      params,
      query: page,
      success: pageOf(Thread),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the threads of an account",
      description: [
        "By their newest messages, newest first, with the number of their messages and of those that are unread. The messages",
        "of one are listed by `threadId`. A message that belongs to no thread is one by itself.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("messages", "/v1/messages", {
      query: { ...page, ...filter },
      success: pageOf(Message),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "Search the mail of the fleet",
      description: `Newest first, over all accounts. ${words}`,
    })),
    HttpApiEndpoint.get("message", "/v1/messages/:id", {
      params,
      success: MessageWithBody,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Get a message",
      description: [
        "With its text and, where the sender wrote any, its HTML exactly as sent: clean it before showing it. `bodyState` says",
        "whether the body is stored.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("attachment", "/v1/messages/:id/attachments/:attachmentId", {
      params: { id: Id, attachmentId: Id },
      success: HttpApiSchema.StreamUint8Array({ contentType: "application/octet-stream" }),
      error: [NotFound, AttachmentGone, AttachmentTooLarge, AccountUnusable, ProviderUnavailable],
    }).annotateMerge(OpenApi.annotations({
      summary: "Download an attachment",
      description: [
        "As the provider sends it, at this moment: it is not stored. The content type is the sender's, unless a browser might",
        "run it; the name is the sender's. An answer that breaks off has failed.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("changes", "/v1/changes", {
      query: { limit: Limit, after: Cursor, cursor: Cursor },
      success: Schema.Struct({ items: Schema.Array(Change), nextCursor: Schema.String }),
      error: [InvalidCursor, PositionExpired],
    }).annotateMerge(OpenApi.annotations({
      summary: "Read the change log",
      description: [
        "Each change once, oldest first. `after` takes the `position` of a change; `nextCursor` is the position to go on",
        "from, now or later, and never null. `cursor` means the same as `after`. Without it the log begins at its oldest entry",
        "that is kept (`MAILFLEET_CHANGE_RETENTION_DAYS`, all by default); `after=latest` answers with no changes and with the",
        "position of now. A position after which changes are deleted by now, or of before the restore of a backup, is answered",
        "with 410: list the messages anew, then go on from the `position` of that answer.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("changeStream", "/v1/changes/stream", {
      query: { after: Cursor },
      headers: { "last-event-id": Schema.optionalKey(Schema.String) },
      success: HttpApiSchema.StreamSse({ events: ChangeEvent }),
      error: [InvalidCursor, PositionExpired],
    }).annotateMerge(OpenApi.annotations({
      summary: "Follow the change log",
      description: [
        "Server-sent events, one for each entry: those after `after`, or from the oldest that is kept, and then each new one as",
        "it comes; with `after=latest` only these. The id of an event is its position: `Last-Event-ID`, which browsers send when",
        "they connect again, goes on after it and wins over `after`. Comments keep the connection alive. Positions are answered",
        "with 410 as in the list; a stream that is read so slowly that its next changes are deleted ends.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Mail", description: "What is stored of the mailboxes." })) {}
