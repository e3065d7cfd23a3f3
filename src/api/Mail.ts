/** Stored mail: folders, messages and the log of what changed. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { ChangeKind } from "../domain/Mail.ts"

import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Change, Folder, Message, MessageWithBody } from "./Models.ts"
import { Cursor, Id, Limit, page, pageOf, Text } from "./Parameters.ts"
import { InvalidCursor, NotFound } from "./Problems.ts"

const params = { id: Id }

/** An entry of the change log; `id` is its position. */
export const ChangeEvent = Schema.Struct({
  id: Schema.optionalKey(Schema.String),
  event: ChangeKind,
  data: Schema.fromJsonString(Change),
})
export type ChangeEvent = typeof ChangeEvent.Type

export class Mail extends HttpApiGroup.make("mail")
  .add(
    HttpApiEndpoint.get("folders", "/v1/accounts/:id/folders", {
      params,
      query: page,
      success: pageOf(Folder),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the folders of an account",
      description: "As the provider names them, with the role of those that have one.",
    })),
    HttpApiEndpoint.get("accountMessages", "/v1/accounts/:id/messages", {
      params,
      query: { ...page, folder: Schema.optionalKey(Text), q: Schema.optionalKey(Text) },
      success: pageOf(Message),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the messages of an account",
      description:
        "Newest first. `folder` is a folder's id or a role such as `inbox`; `q` searches subject, sender and text.",
    })),
    HttpApiEndpoint.get("messages", "/v1/messages", {
      query: { ...page, q: Schema.optionalKey(Text) },
      success: pageOf(Message),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "Search the mail of the fleet",
      description: "Newest first, over all accounts. `q` searches subject, sender and text.",
    })),
    HttpApiEndpoint.get("message", "/v1/messages/:id", {
      params,
      success: MessageWithBody,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Get a message",
      description:
        "With its text and, where the sender wrote any, its HTML exactly as sent: clean it before showing it.",
    })),
    HttpApiEndpoint.get("changes", "/v1/changes", {
      query: { limit: Limit, after: Cursor, cursor: Cursor },
      success: Schema.Struct({ items: Schema.Array(Change), nextCursor: Schema.String }),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "Read the change log",
      description: [
        "Each change once, oldest first. `after` takes the `position` of a change; `nextCursor` is the position to go on",
        "from, now or later, and never null. `cursor` means the same as `after`.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("changeStream", "/v1/changes/stream", {
      query: { after: Cursor },
      headers: { "last-event-id": Schema.optionalKey(Schema.String) },
      success: HttpApiSchema.StreamSse({ events: ChangeEvent }),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "Follow the change log",
      description: [
        "Server-sent events, one for each entry: those after `after`, or from the beginning, and then each new one as it",
        "comes. The id of an event is its position: `Last-Event-ID`, which browsers send when they connect again, goes on",
        "after it and wins over `after`. Comments keep the connection alive.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Mail", description: "What is stored of the mailboxes." })) {}
