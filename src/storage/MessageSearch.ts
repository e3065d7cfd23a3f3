/**
 * Finding messages by their words, newest first, whether the words are rare or frequent.
 *
 * Few hits are taken from the index of words and sorted. Of many the newest messages are looked through first, since a page
 * of them is soon full; where it is not, all hits are sorted, by rows that are narrow.
 */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { Database } from "./Database.ts"

/** Hits that are sorted in some ten milliseconds. */
const few = 20_000

/** Messages that are looked through for words that many have. */
const looked = 5_000

export interface SearchPlan {
  /** The text of a `tsquery`. */
  readonly words: string
  readonly columns: Statement.Fragment
  /** On `messages m`: account, folder and whatever else is asked for. */
  readonly conditions: ReadonlyArray<Statement.Fragment>
  /** Messages older than this one's place in the list. */
  readonly after: { readonly time: Statement.Fragment; readonly id: string } | undefined
  readonly limit: number
}

/** At most `limit` messages. Indexes: message_index_search, message_index_pkey, messages_pkey, and those of the lists. */
export const searchMessages = <Row extends object>(
  { sql, tables: t }: Database["Service"],
  { after, columns, conditions, limit, words }: SearchPlan,
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> => {
  const query = sql`${words}::tsquery`
  const newest = sql.literal("coalesce(m.received_at, '-infinity'::timestamptz)")
  const within = (time: Statement.Fragment, id: Statement.Fragment) =>
    after === undefined ? sql`true` : sql`(${time}, ${id}) < (${after.time}, ${after.id}::uuid)`
  return sql.withTransaction(Effect.gen(function* () {
    // The planner knows nothing of how many messages have a word of one account: it is not to read the whole table.
    yield* sql`select set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
    const [probe] = yield* sql<{ hits: number }>`select count(*)::integer as hits from (
      select 1 from ${t.message_index} i where i.search @@ ${query} limit ${few + 1}) hits`
    const hits = probe?.hits ?? 0
    if (hits === 0) return []
    if (hits > few) {
      const rows = yield* sql<Row>`select ${columns} from (
          select m.* from ${t.messages} m
          where ${sql.and([...conditions, within(newest, sql`m.id`)])}
          order by ${newest} desc, m.id desc limit ${looked}
        ) m
        cross join lateral (
          select 1 from ${t.message_index} i
          where i.account_id = m.account_id and i.message_id = m.id and i.search @@ ${query} offset 0
        ) hit
        order by ${newest} desc, m.id desc limit ${limit}`
      if (rows.length === limit) return rows
    }
    return yield* sql<Row>`select ${columns} from (
        select i.account_id, i.message_id, i.received_at from ${t.message_index} i
        where i.search @@ ${query} and ${within(sql`i.received_at`, sql`i.message_id`)}
        order by i.received_at desc, i.message_id desc offset 0
      ) i
      cross join lateral (
        select m.* from ${t.messages} m
        where ${sql.and([sql`m.account_id = i.account_id and m.id = i.message_id`, ...conditions])} offset 0
      ) m
      order by i.received_at desc, i.message_id desc limit ${limit}`
  }))
}
