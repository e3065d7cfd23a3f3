/** Reading mail. Writing it is `MessageWriter`. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type AccountId, type FolderId, isId, type MessageId } from "../domain/Ids.ts"
import { FolderRole, type Message, type MessageWithBody } from "../domain/Mail.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"
import { Database, escapeLike, orDie } from "./Database.ts"
import { messageColumns, type MessageRow, toMessage, toMessageWithBody } from "./MessageFields.ts"

export interface MessageFilter {
  readonly accountId?: AccountId | undefined
  /** A folder's id, or a role such as `inbox`. */
  readonly folder?: FolderId | FolderRole | undefined
  /** Case-insensitive substring of subject, sender, preview or text. */
  readonly q?: string | undefined
}

export class Messages extends Context.Service<Messages, {
  /** Newest first. An account or folder that is not known has no messages. */
  readonly list: (
    options: MessageFilter & { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Message>; readonly nextCursor: string | null }, InvalidCursor>
  readonly get: (id: MessageId) => Effect.Effect<Option.Option<MessageWithBody>>
}>()("mailfleet/storage/Messages") {
  static readonly layer: Layer.Layer<Messages, never, Database> = Layer.effect(
    Messages,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const columns = sql.literal(messageColumns)
      const newest = sql.literal("coalesce(received_at, '-infinity'::timestamptz)")

      const conditionsOf = Effect.fnUntraced(function* ({ accountId, folder, q }: MessageFilter) {
        const conditions = []
        if (accountId !== undefined) conditions.push(isId(accountId) ? sql`account_id = ${accountId}` : sql`false`)
        if (folder !== undefined) {
          const by = isRole(folder) ? sql`role = ${folder}` : isId(folder) ? sql`id = ${folder}` : sql`false`
          const within = sql`select account_id, id from ${t.folders} where ${sql.and([...conditions, by])}`
          if (accountId === undefined) {
            conditions.push(sql`(account_id, folder_id) in (${within})`)
          } else {
            // Looked up first: with one folder's id in the statement, messages_of_folder gives the order without sorting.
            const found = yield* sql<{ id: string }>`${within}`
            conditions.push(found.length === 0 ? sql`false` : sql.in("folder_id", found.map(({ id }) => id)))
          }
        }
        if (q !== undefined && q !== "") {
          const like = sql`${`%${escapeLike(q.toWellFormed())}%`}`
          conditions.push(sql`(subject ilike ${like} or preview ilike ${like} or sender ->> 'name' ilike ${like}
            or sender ->> 'address' ilike ${like} or body_text ilike ${like})`)
        }
        return conditions
      }, orDie)

      // Served by messages_of_folder, messages_of_account or messages_newest. A search by `q` walks the same index until
      // the page is full.
      const list = Effect.fn("Messages.list")(
        function* (options: MessageFilter & { readonly limit: number; readonly cursor?: string | undefined }) {
          const conditions = yield* conditionsOf(options)
          if (options.cursor !== undefined) {
            const after = parseCursor(options.cursor)
            if (after === undefined) return yield* invalidCursor
            const time = after.millis === null ? sql`'-infinity'::timestamptz` : sql`${new Date(after.millis)}`
            conditions.push(sql`(${newest}, id) < (${time}, ${after.id}::uuid)`)
          }
          const rows = yield* orDie(sql<MessageRow>`select ${columns} from ${t.messages} where ${sql.and(conditions)}
            order by ${newest} desc, id desc limit ${options.limit + 1}`)
          const page = rows.slice(0, options.limit)
          const last = page[page.length - 1]
          return {
            items: page.map(toMessage),
            nextCursor: rows.length > options.limit && last !== undefined
              ? encodeCursor([last.received_at?.getTime() ?? "none", last.id])
              : null,
          }
        },
      )

      // Index: messages_id.
      const get = Effect.fn("Messages.get")(function* (id: MessageId) {
        if (!isId(id)) return Option.none()
        const rows = yield* sql<MessageRow & { readonly body_text: string | null; readonly body_html: string | null }>`
          select ${columns}, body_text, body_html from ${t.messages} where id = ${id}`
        return Option.map(Option.fromUndefinedOr(rows[0]), toMessageWithBody)
      }, orDie)

      return Messages.of({ list, get })
    }),
  )
}

const isRole = Schema.is(FolderRole)

/** Milliseconds since 1970, null = no time of receipt, and the id of the last message of a page. */
const parseCursor = (cursor: string): { readonly millis: number | null; readonly id: string } | undefined => {
  const [millis, id] = Option.getOrElse(decodeCursor(cursor, 2), () => [])
  if (typeof id !== "string" || !isId(id)) return undefined
  if (millis === "none") return { millis: null, id }
  return typeof millis === "number" && !Number.isNaN(new Date(millis).getTime()) ? { millis, id } : undefined
}
