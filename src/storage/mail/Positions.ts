/** Positions in the change log: opaque texts outside, identities inside. */
import { Effect, Schema } from "effect"
import type { SqlError, Statement } from "effect/sql"
import { type InvalidCursor, invalidCursor } from "../Cursor.ts"
import type { Database } from "../Database.ts"

/**
 * The log cannot be read on from this position: it is of another epoch, for a backup has been restored since and the log goes on
 * otherwise; or entries that came after it have been deleted, past their time. The message says which, and what to do.
 */
export class PositionExpired extends Schema.TaggedError<PositionExpired>()("PositionExpired", {
  message: Schema.String,
  /** The newest position of the log as it is: where to go on from, once all messages have been listed anew. */
  position: Schema.String,
}) {}

/** Stands for the position of the newest entry, wherever a position is asked for. */
export const latestName = "latest"

/** The row of `meta` with the id up to which retention has deleted entries. Erasures of accounts are no gap, and not in it. */
export const sweptName = "changes_swept"

const epochDigits = 4
const idDigits = 19
const largestId = 2n ** 63n - 1n

export interface Positions {
  /** `epoch-id`, both padded, so that positions sort by age as texts. */
  readonly position: (id: bigint) => string
  /** The id in a position of our epoch. A restore begins an epoch: its number is the second of the restore. */
  readonly parse: (position: string) => Effect.Effect<bigint, InvalidCursor | PositionExpired>
  /** Fails where entries after this id have been deleted, so that whoever goes on from it would miss them. */
  readonly unswept: (id: bigint) => Effect.Effect<void, PositionExpired>
  /** The id after which nothing has been deleted: where the log begins. */
  readonly beginning: Effect.Effect<bigint, SqlError.SqlError>
  /** The id of the newest entry, or of the newest that was deleted. */
  readonly newest: Statement.Fragment
  /** The position of the newest entry. */
  readonly latest: Effect.Effect<string, SqlError.SqlError>
}

export const positionsOf = (
  { sql, tables: t }: Database["Service"],
): Effect.Effect<Positions, SqlError.SqlError> =>
  Effect.gen(function* () {
    const rows = yield* sql<{ value: string }>`select value from ${t.meta} where name = 'epoch'`
    const epoch = (rows[0]?.value ?? "1").padStart(epochDigits, "0")
    const position = (id: bigint) => `${epoch}-${String(id).padStart(idDigits, "0")}`
    const swept = sql`coalesce((select value::bigint from ${t.meta} where name = ${sweptName}), 0)`
    const newest = sql`greatest((select max(id) from ${t.changes}), ${swept})`
    const idOf = (id: Statement.Fragment) => Effect.map(sql<{ id: bigint }>`select ${id} as id`, (rows) => rows[0]!.id)
    const latest = Effect.map(idOf(newest), position)
    const beginning = idOf(swept)
    /** @param why as the message begins; what to do follows */
    const expired = (why: string) =>
      Effect.flatMap(Effect.orDie(latest), (now) =>
        Effect.fail(
          new PositionExpired({
            position: now,
            message: `${why}: list the messages anew (GET /v1/messages), then go on from ${now}`,
          }),
        ))
    return {
      position,
      beginning,
      newest,
      latest,
      unswept: Effect.fnUntraced(function* (id) {
        if (id >= (yield* Effect.orDie(beginning))) return
        return yield* expired(
          "changes after this position are older than MAILFLEET_CHANGE_RETENTION_DAYS, and have been deleted",
        )
      }),
      parse: Effect.fnUntraced(function* (text) {
        if (text === latestName) return yield* Effect.orDie(idOf(newest))
        const match = /^(\d{4,10})-(\d{19})$/.exec(text)
        if (match === null || BigInt(match[2]!) > largestId) return yield* invalidCursor
        if (match[1] === epoch) return BigInt(match[2]!)
        return yield* expired(
          "a backup has been restored since this position was given out, and the change log goes on otherwise",
        )
      }),
    }
  })
