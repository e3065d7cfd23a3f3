/** Positions in the change log: opaque texts outside, identities inside. */
import { Effect, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { type InvalidCursor, invalidCursor } from "../Cursor.ts"
import type { Database } from "../Database.ts"

/** The position is of another epoch: a backup has been restored since, and the log goes on otherwise. */
export class PositionExpired extends Schema.TaggedError<PositionExpired>()("PositionExpired", {
  message: Schema.String,
  /** The newest position of the log as it is: where to go on from, once all messages have been listed anew. */
  position: Schema.String,
}) {}

const epochDigits = 4
const idDigits = 19
const largestId = 2n ** 63n - 1n

export interface Positions {
  /** `epoch-id`, both padded, so that positions sort by age as texts. */
  readonly position: (id: bigint) => string
  /** The id in a position of our epoch. A restore begins an epoch: its number is the second of the restore. */
  readonly parse: (position: string) => Effect.Effect<bigint, InvalidCursor | PositionExpired>
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
    const latest = Effect.map(
      sql<{ id: bigint | null }>`select max(id) as id from ${t.changes}`,
      (found) => position(found[0]?.id ?? 0n),
    )
    return {
      position,
      latest,
      parse: Effect.fnUntraced(function* (text) {
        const match = /^(\d{4,10})-(\d{19})$/.exec(text)
        if (match === null || BigInt(match[2]!) > largestId) return yield* invalidCursor
        if (match[1] === epoch) return BigInt(match[2]!)
        const now = yield* Effect.orDie(latest)
        return yield* new PositionExpired({
          position: now,
          message:
            "a backup has been restored since this position was given out, and the change log goes on otherwise: " +
            `list the messages anew (GET /v1/messages), then go on from ${now}`,
        })
      }),
    }
  })
