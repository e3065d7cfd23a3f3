/** What messages are found by: words, twins, threads, and whether a body is wanted. Kept in step within the transaction that writes them. */
import { Clock, Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { AccountId, MessageId } from "../../domain/Ids.ts"
import type { Address } from "../../domain/Mail.ts"
import type { RemoteAttachment, RemoteMessage } from "../../mail/Mailbox.ts"
import { asAnyAccount, column, type Database } from "../Database.ts"
import { postgresJson } from "../PostgresText.ts"
import { bodyOf } from "./MessageBodies.ts"
import { type Searchable, vectorOf } from "./SearchWords.ts"

/** The fields that a message is found by. */
export const indexedFields: ReadonlySet<string> = new Set<keyof RemoteMessage>([
  "subject",
  "from",
  "to",
  "cc",
  "bcc",
  "replyTo",
  "receivedAt",
  "preview",
  "internetMessageId",
  "threadId",
  "text",
  "attachments",
  "bodyState",
])

interface Searched {
  readonly receivedAt: number | null
  readonly subject: string
  readonly sender: Address | null
  readonly people: ReadonlyArray<ReadonlyArray<Address>>
  readonly attachments: ReadonlyArray<Pick<RemoteAttachment, "name">>
  readonly texts: ReadonlyArray<string | null>
}

const searchable = ({ attachments, people, receivedAt, sender, subject, texts }: Searched): Searchable => ({
  receivedAt,
  subject,
  sender: sender?.address ?? "",
  people: [...(sender === null ? [] : [sender]), ...people.flat()].map(({ address, name }) => `${name} ${address}`),
  texts: [...attachments.map(({ name }) => name), ...texts].filter((text) => text !== null && text !== "") as string[],
})

/** The words of a message that came with these fields. */
export const wordsOf = (accountId: AccountId, fields: Partial<RemoteMessage>, now: number): string =>
  vectorOf(
    accountId,
    searchable({
      subject: fields.subject ?? "",
      sender: fields.from ?? null,
      receivedAt: fields.receivedAt?.epochMilliseconds ?? null,
      people: [
        fields.to ?? [],
        fields.cc ?? [],
        fields.bcc ?? [],
        fields.replyTo ?? [],
      ],
      attachments: fields.attachments ?? [],
      texts: [fields.preview ?? null, fields.text ?? null],
    }),
    now,
  )

export interface IndexEntry {
  readonly id: MessageId
  /** Undefined = as it is. */
  readonly twinKey?: string | undefined
  /** The text of a `tsvector`. */
  readonly search: string
}

/**
 * Writes entries of messages that are stored; one that is not is left out. Index: messages_pkey; lateral, here as elsewhere, so
 * that no plan reads all messages of an account for a page of them. They are locked: what is deleted meanwhile gets no entry. `missing`: entries with words stay as they are.
 */
export const writeIndex = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  entries: ReadonlyArray<IndexEntry>,
  which: "all" | "missing" = "all",
): Effect.Effect<void, SqlError.SqlError> =>
  entries.length === 0 ? Effect.void : Effect.asVoid(
    sql`insert into ${t.message_index} as i
        (account_id, message_id, received_at, twin_key, thread_id, wants_body, search)
      select m.account_id, m.id, coalesce(m.received_at, '-infinity'), coalesce(n."twinKey", left(m.internet_message_id, 500)),
        left(m.thread_id, 500), m.body_state = 'headers', n.search
      from json_to_recordset(${postgresJson(entries)}::json) as n (id uuid, "twinKey" text, search tsvector)
      cross join lateral (
        select * from ${t.messages} m where m.account_id = ${asAnyAccount(sql, accountId)} and m.id = n.id limit 1
        for key share) m
      on conflict (account_id, message_id) do update set received_at = excluded.received_at,
        twin_key = coalesce(i.twin_key, excluded.twin_key), thread_id = excluded.thread_id,
        wants_body = excluded.wants_body, search = excluded.search
      where i.search is null or ${which === "all"}`,
  )

export interface SearchedRow {
  readonly id: string
  readonly subject: string
  readonly received_at: Date | null
  readonly sender: Address | null
  readonly to_recipients: ReadonlyArray<Address>
  readonly cc_recipients: ReadonlyArray<Address>
  readonly bcc_recipients: ReadonlyArray<Address>
  readonly reply_to: ReadonlyArray<Address>
  readonly attachments: ReadonlyArray<RemoteAttachment>
  readonly preview: string
  readonly body_text: string | null
}

/** Columns of `messages m` and its body `b` from which {@link entryOf} makes an entry. */
export const searchedColumns =
  "m.id, m.subject, m.received_at, m.sender, m.to_recipients, m.cc_recipients, m.bcc_recipients, m.reply_to, m.attachments, m.preview, b.body_text"

export const entryOf = (accountId: AccountId, row: SearchedRow, now: number): IndexEntry => ({
  id: row.id,
  search: vectorOf(
    accountId,
    searchable({
      subject: row.subject,
      sender: row.sender,
      receivedAt: row.received_at?.getTime() ?? null,
      people: [
        row.to_recipients,
        row.cc_recipients,
        row.bcc_recipients,
        row.reply_to,
      ],
      attachments: row.attachments,
      texts: [row.preview, row.body_text],
    }),
    now,
  ),
})

/** Brings the entries of messages in step with what is stored of them. */
export const reindex = (
  database: Database["Service"],
  accountId: AccountId,
  ids: ReadonlyArray<MessageId>,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    if (ids.length === 0) return
    const { sql, tables: t } = database
    const now = yield* Clock.currentTimeMillis
    const rows = yield* sql<SearchedRow>`select ${sql.literal(searchedColumns)} from ${t.messages} m
      left join lateral ${bodyOf(database, sql`true`)} b on true
      where m.account_id = ${asAnyAccount(sql, accountId)} and m.id = any (${column("uuid", ids)})`
    yield* writeIndex(database, accountId, rows.map((row) => entryOf(accountId, row, now)))
  })
