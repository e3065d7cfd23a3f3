/**
 * Finding messages by their words, newest first, whether the words are rare or frequent.
 *
 * The index of words is asked for hits of the newest day, then of longer and longer stretches before, until the page is full: a
 * stretch with too many is made shorter. Where there are few hits in all, they are taken at once.
 */
import { Clock, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { column, type Database } from "../Database.ts"
import { aheadLexeme, day, type Stretch, stretchBefore } from "./SearchDays.ts"
import { quote } from "./SearchWords.ts"

/** Hits that are read and sorted in some hundredths of a second. */
const few = 2_000

/** Words that fill a page so soon need not be counted. */
const stretchesFirst = 2

/** Before it nobody has mail but by a wrong clock: one stretch. */
const beginning = Date.UTC(1990, 0, 1)

/** Where a page begins: after the message of this time and id. */
interface Place {
  /** Milliseconds since 1970; infinite = before the first, or among those without a time. */
  readonly millis: number
  readonly id: string
}

const firstId = "00000000-0000-0000-0000-000000000000"

export interface SearchPlan {
  /** The text of a `tsquery`. */
  readonly words: string
  readonly accountId: string | undefined
  readonly columns: Statement.Fragment
  /** On `messages m`: account, folder and whatever else is asked for. */
  readonly conditions: ReadonlyArray<Statement.Fragment>
  readonly after: Place | undefined
  readonly limit: number
}

interface Hit {
  readonly account_id: string
  readonly message_id: string
  readonly millis: number
}

/** At most `limit` messages. Indexes: message_index_search, messages_pkey. */
export const searchMessages = <Row extends object>(
  { sql, tables: t }: Database["Service"],
  { accountId, after, columns, conditions, limit, words }: SearchPlan,
): Effect.Effect<ReadonlyArray<Row>, SqlError.SqlError> => {
  const time = (millis: number) =>
    Number.isFinite(millis) ? sql`${new Date(millis)}` : sql`${millis > 0 ? "infinity" : "-infinity"}::timestamptz`
  const newest = sql.literal("coalesce(m.received_at, '-infinity'::timestamptz)")

  /** Hits of a stretch after a place; in order only where it is asked for. */
  const hitsOf = ({ from, lexemes }: Stretch, place: Place, order: "any" | "newest") => {
    const query = lexemes.length === 0 ? words : `${words} & (${lexemes.map(quote).join(" | ")})`
    return sql<Hit>`select i.account_id, i.message_id, (extract(epoch from i.received_at) * 1000)::float8 as millis
      from ${t.message_index} i
      where i.search @@ ${query}::tsquery and (i.received_at, i.message_id) < (${time(place.millis)}, ${place.id}::uuid)
        and i.received_at >= ${time(from)}
      ${order === "any" ? sql`` : sql`order by i.received_at desc, i.message_id desc`} limit ${few + 1}`
  }

  const messagesOf = (hits: ReadonlyArray<Hit>, atMost: number) =>
    hits.length === 0 ? Effect.succeed([]) : sql<Row>`select ${columns}
      from unnest(${column("uuid", hits.map(({ account_id }) => account_id))},
        ${column("uuid", hits.map(({ message_id }) => message_id))}) as i (account_id, message_id)
      join ${t.messages} m on ${sql.and([sql`m.account_id = i.account_id and m.id = i.message_id`, ...conditions])}
      order by ${newest} desc, m.id desc limit ${atMost}`

  /** Before the newest message of all: no time is lost on stretches without any. Indexes: messages_of_account, messages_newest. */
  const newestPlace = Effect.map(
    sql<{ millis: number | null }>`select (extract(epoch from m.received_at) * 1000)::float8 as millis
      from ${t.messages} m where ${accountId === undefined ? sql`true` : sql`m.account_id = ${accountId}`}
      order by ${newest} desc, m.id desc limit 1`,
    ([row]): Place => ({ millis: row?.millis === null || row === undefined ? Infinity : row.millis + 1, id: firstId }),
  )

  return sql.withTransaction(Effect.gen(function* () {
    // The planner knows nothing of how many messages have a word of one account: it is not to read the whole table.
    yield* sql`select set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`
    let place = after ?? (yield* newestPlace)
    const tomorrow = (yield* Clock.currentTimeMillis) + day
    const rows: Array<Row> = []
    for (let [width, stretches] = [day, 0]; rows.length < limit; stretches++) {
      if (stretches === stretchesFirst) {
        const rest = yield* hitsOf({ from: -Infinity, lexemes: [] }, place, "any")
        if (rest.length <= few) return rows.concat(yield* messagesOf(rest, limit - rows.length))
      }
      const stretch = place.millis > tomorrow
        ? { from: tomorrow, lexemes: [aheadLexeme] }
        : place.millis - width > beginning
        ? stretchBefore(place.millis, width)
        : { from: -Infinity, lexemes: [] }
      let hits = yield* hitsOf(stretch, place, "any")
      const isFull = hits.length > few
      if (isFull && width > day) {
        width = Math.max(day, width / 8)
        // Back to where stretches have days.
        if (stretch.from !== -Infinity || place.millis - width > beginning) continue
      }
      if (isFull) hits = yield* hitsOf(stretch, place, "newest")
      rows.push(...yield* messagesOf(hits, limit - rows.length))
      if (isFull) {
        const last: Hit = hits.at(-1)!
        place = { millis: last.millis, id: last.message_id }
      } else {
        if (stretch.from === -Infinity) break
        place = { millis: stretch.from, id: firstId }
        if (hits.length < few / 8) width *= 4
      }
    }
    return rows
  }))
}
