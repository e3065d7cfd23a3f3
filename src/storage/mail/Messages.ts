/** Reading mail. Writing it is `MessageWriter`. */
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { Statement } from "effect/sql"
import { type AccountId, type FolderId, isId, type MessageId } from "../../domain/Ids.ts"
import { type Attachment, FolderRole, type Message, type MessageWithBody, type Thread } from "../../domain/Mail.ts"
import type { MailAccount, RemoteAttachment } from "../../mail/Mailbox.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "../Cursor.ts"
import { Database, orDie } from "../Database.ts"
import { bodyOf, type BodyRow } from "./MessageBodies.ts"
import { messageColumns, type MessageRow, toAttachments, toMessage, toMessageWithBody } from "./MessageFields.ts"
import { searchMessages } from "./MessageSearch.ts"
import { threadsOf, toThread } from "./MessageThreads.ts"
import { searchQuery } from "./SearchQuery.ts"

/** Which messages; all of what is given must match. */
export interface MessageFilter {
  /** Only of this account. Default: of all. */
  readonly accountId?: AccountId | undefined
  /** A folder's id, or a role such as `inbox`. */
  readonly folder?: FolderId | FolderRole | undefined
  /** Words of subject, addresses, names of attachments and text: see SearchQuery.ts. */
  readonly q?: string | undefined
  /** The sender's address, or `@` and its domain, without regard to case. */
  readonly from?: string | undefined
  /** With `accountId` only: another mailbox's threads are others. */
  readonly threadId?: string | undefined
  /** True: only what is unread; false: only what is read. */
  readonly unread?: boolean | undefined
  /** True: only with attachments; false: only without. */
  readonly hasAttachments?: boolean | undefined
  /** From this time on. */
  readonly receivedAfter?: DateTime.Utc | undefined
  /** Before this time. */
  readonly receivedBefore?: DateTime.Utc | undefined
}

/** Where the content of an attachment is. */
export interface AttachmentSource {
  readonly account: MailAccount
  readonly folderRemoteId: string
  readonly remoteId: string
  readonly attachment: Attachment
  /** The provider's id of the attachment. */
  readonly attachmentRemoteId: string
}

interface ListOptions {
  readonly limit: number
  readonly cursor?: string | undefined
}

interface PageOf<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}

interface SourceRow {
  readonly account_id: string
  readonly email: string
  readonly provider: MailAccount["provider"]
  readonly channel: MailAccount["channel"]
  readonly grant_id: string
  readonly client_id: string
  readonly by_name: boolean
  readonly folder: string
  readonly remote_id: string
  readonly attachments: ReadonlyArray<RemoteAttachment>
}

export class Messages extends Context.Service<Messages, {
  /** Newest first. An account or folder that is not known has no messages. */
  readonly list: (options: MessageFilter & ListOptions) => Effect.Effect<PageOf<Message>, InvalidCursor>
  /** By their newest messages, newest first. Unknown account = none. */
  readonly threads: (accountId: AccountId, options: ListOptions) => Effect.Effect<PageOf<Thread>, InvalidCursor>
  readonly get: (id: MessageId) => Effect.Effect<Option.Option<MessageWithBody>>
  /** None where the message has no such attachment, or is not known. */
  readonly attachment: (id: MessageId, attachmentId: string) => Effect.Effect<Option.Option<AttachmentSource>>
}>()("mailfleet/storage/Messages") {
  static readonly layer: Layer.Layer<Messages, never, Database> = Layer.effect(
    Messages,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const columns = sql.literal(messageColumns)
      const newest = sql.literal("coalesce(m.received_at, '-infinity'::timestamptz)")

      /** Of an account that was deleted some messages are still to be purged. Such accounts are few: one look for all of them. */
      const isThere = sql`m.account_id <> all (array(select account_id from ${t.erasures} where finished_at is null))`

      const conditionsOf = Effect.fnUntraced(function* (filter: MessageFilter) {
        const { accountId, folder } = filter
        const ofAccount = accountId === undefined ? [] : [isId(accountId) ? sql`account_id = ${accountId}` : sql`false`]
        const conditions: Array<Statement.Fragment> = accountId === undefined
          ? [isThere]
          : [isThere, isId(accountId) ? sql`m.account_id = ${accountId}` : sql`false`]
        if (folder !== undefined) {
          const by = isRole(folder) ? sql`role = ${folder}` : isId(folder) ? sql`id = ${folder}` : sql`false`
          const within = sql`select account_id, id from ${t.folders} where ${sql.and([...ofAccount, by])}`
          if (accountId === undefined) {
            conditions.push(sql`(m.account_id, m.folder_id) in (${within})`)
          } else {
            // Looked up first: with one folder's id in the statement, messages_of_folder gives the order without sorting.
            const found = yield* sql<{ id: string }>`${within}`
            conditions.push(found.length === 0 ? sql`false` : sql.in("m.folder_id", found.map(({ id }) => id)))
          }
        }
        if (filter.threadId !== undefined) {
          // Index: message_index_threads.
          conditions.push(sql`m.thread_id = ${filter.threadId} and m.id in (select message_id from ${t.message_index}
            where ${sql.and([...ofAccount, sql`thread_id = left(${filter.threadId}, 500)`])})`)
        }
        if (filter.unread !== undefined) conditions.push(sql`m.is_read = ${!filter.unread}`)
        if (filter.hasAttachments !== undefined) conditions.push(sql`m.has_attachments = ${filter.hasAttachments}`)
        if (filter.receivedAfter !== undefined) {
          conditions.push(sql`${newest} >= ${DateTime.toDate(filter.receivedAfter)} and m.received_at is not null`)
        }
        if (filter.receivedBefore !== undefined) {
          conditions.push(sql`${newest} < ${DateTime.toDate(filter.receivedBefore)} and m.received_at is not null`)
        }
        return conditions
      }, orDie)

      const placeOf = Effect.fnUntraced(function* (cursor: string | undefined) {
        if (cursor === undefined) return undefined
        const after = parseCursor(cursor)
        if (after === undefined) return yield* invalidCursor
        return {
          ...after,
          time: after.millis === null ? sql`'-infinity'::timestamptz` : sql`${new Date(after.millis)}`,
        }
      })

      // Served by messages_of_folder, messages_of_account or messages_newest; with words, see MessageSearch.ts.
      const list = Effect.fn("Messages.list")(function* (options: MessageFilter & ListOptions) {
        const after = yield* placeOf(options.cursor)
        const words = searchQuery(options)
        if (words === null || (options.accountId !== undefined && !isId(options.accountId))) {
          return { items: [], nextCursor: null }
        }
        const conditions = yield* conditionsOf(options)
        const limit = options.limit + 1
        if (words !== undefined) {
          const rows = yield* orDie(
            searchMessages<MessageRow>(database, {
              words,
              accountId: options.accountId,
              columns,
              conditions,
              after: after && { millis: after.millis ?? -Infinity, id: after.id },
              limit,
            }),
          )
          return pageOf(rows, options.limit, toMessage)
        }
        if (after !== undefined) conditions.push(sql`(${newest}, m.id) < (${after.time}, ${after.id}::uuid)`)
        const rows = yield* orDie(sql<MessageRow>`select ${columns} from ${t.messages} m where ${sql.and(conditions)}
          order by ${newest} desc, m.id desc limit ${limit}`)
        return pageOf(rows, options.limit, toMessage)
      })

      const threads = Effect.fn("Messages.threads")(function* (accountId: AccountId, { cursor, limit }: ListOptions) {
        const after = yield* placeOf(cursor)
        if (!isId(accountId)) return { items: [], nextCursor: null }
        return pageOf(yield* orDie(threadsOf(database, accountId, after, limit + 1)), limit, toThread)
      })

      // Index: messages_id.
      const get = Effect.fn("Messages.get")(function* (id: MessageId) {
        if (!isId(id)) return Option.none()
        const rows = yield* sql<MessageRow & BodyRow>`select ${columns}, b.body_text, b.body_html
          from ${t.messages} m left join lateral ${
          bodyOf(database, sql`true`)
        } b on true where m.id = ${id} and ${isThere}`
        return Option.map(Option.fromUndefinedOr(rows[0]), toMessageWithBody)
      }, orDie)

      const attachment = Effect.fn("Messages.attachment")(function* (id: MessageId, attachmentId: string) {
        if (!isId(id) || !/^[1-9]\d{0,5}$/.test(attachmentId)) return Option.none()
        const rows = yield* sql<
          SourceRow
        >`select m.account_id, m.remote_id, m.attachments, f.remote_id as folder, a.email,
            a.provider, a.channel, a.grant_id, a.by_name, p.client_id
          from ${t.messages} m
          join ${t.folders} f on f.account_id = m.account_id and f.id = m.folder_id
          join ${t.accounts} a on a.id = m.account_id join ${t.grants} g on g.id = a.grant_id
          join ${t.apps} p on p.id = g.app_id
          where m.id = ${id}`
        const row = rows[0]
        const index = Number(attachmentId) - 1
        const remote = row?.attachments[index]
        if (row === undefined || remote === undefined) return Option.none()
        return Option.some<AttachmentSource>({
          account: {
            id: row.account_id,
            email: row.email,
            provider: row.provider,
            channel: row.channel,
            grantId: row.grant_id,
            clientId: row.client_id,
            byName: row.by_name,
          },
          folderRemoteId: row.folder,
          remoteId: row.remote_id,
          attachment: toAttachments(row.attachments)[index]!,
          attachmentRemoteId: remote.remoteId,
        })
      }, orDie)

      return Messages.of({ list, threads, get, attachment })
    }),
  )
}

const isRole = Schema.is(FolderRole)

/** The page of `limit + 1` rows that were asked for. */
const pageOf = <Row extends { readonly id: string; readonly received_at: Date | null }, A>(
  rows: ReadonlyArray<Row>,
  limit: number,
  toItem: (row: Row) => A,
): PageOf<A> => {
  const page = rows.slice(0, limit)
  const last = page.at(-1)
  return {
    items: page.map(toItem),
    nextCursor: rows.length > limit && last !== undefined
      ? encodeCursor([last.received_at?.getTime() ?? "none", last.id])
      : null,
  }
}

/** Milliseconds since 1970, null = no time of receipt, and the id of the last message of a page. */
const parseCursor = (cursor: string): { readonly millis: number | null; readonly id: string } | undefined => {
  const [millis, id] = Option.getOrElse(decodeCursor(cursor, 2), () => [])
  if (typeof id !== "string" || !isId(id)) return undefined
  if (millis === "none") return { millis: null, id }
  return typeof millis === "number" && !Number.isNaN(new Date(millis).getTime()) ? { millis, id } : undefined
}
