/** Threads of an account: each by its newest message, newest first. */
import { DateTime, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { AccountId } from "../../domain/Ids.ts"
import type { Address, Thread } from "../../domain/Mail.ts"
import type { Database } from "../Database.ts"

export interface ThreadRow {
  readonly id: string
  readonly thread_id: string | null
  readonly subject: string
  readonly sender: Address | null
  readonly received_at: Date | null
  readonly messages: number
  readonly unread: number
}

export const toThread = (row: ThreadRow): Thread => ({
  threadId: row.thread_id,
  subject: row.subject,
  from: row.sender,
  receivedAt: row.received_at === null ? null : DateTime.fromDateUnsafe(row.received_at),
  latestMessageId: row.id,
  messages: row.messages,
  unread: row.unread,
})

/**
 * Walks the newest messages, and takes those that no later one of their thread follows. A message without a thread is one.
 * Indexes: messages_of_account, message_index_threads, messages_pkey.
 */
export const threadsOf = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  after: { readonly time: Statement.Fragment; readonly id: string } | undefined,
  limit: number,
): Effect.Effect<ReadonlyArray<ThreadRow>, SqlError.SqlError> => {
  const newest = sql.literal("coalesce(m.received_at, '-infinity'::timestamptz)")
  const within = after === undefined ? sql`true` : sql`(${newest}, m.id) < (${after.time}, ${after.id}::uuid)`
  return sql<
    ThreadRow
  >`select m.id, m.thread_id, m.subject, m.sender, m.received_at, coalesce(c.messages, 1) as messages,
      coalesce(c.unread, (not m.is_read)::integer) as unread
    from (
      select m.id, m.thread_id, m.subject, m.sender, m.received_at, m.is_read from ${t.messages} m
      where m.account_id = ${accountId} and ${within} and not exists (
        select 1 from ${t.message_index} i where i.account_id = m.account_id and i.thread_id = left(m.thread_id, 500)
          and (i.received_at, i.message_id) > (${newest}, m.id))
      order by ${newest} desc, m.id desc limit ${limit}
    ) m
    left join lateral (
      select nullif(count(*), 0)::integer as messages, count(*) filter (where not o.is_read)::integer as unread
      from ${t.message_index} i join ${t.messages} o on o.account_id = i.account_id and o.id = i.message_id
      where i.account_id = ${accountId} and i.thread_id = left(m.thread_id, 500)
    ) c on c.messages is not null
    order by ${newest} desc, m.id desc`
}
