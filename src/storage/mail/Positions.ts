/** Positions in the change log: opaque texts outside, identities inside. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { type InvalidCursor, invalidCursor } from "../Cursor.ts"
import type { Database } from "../Database.ts"

const epochDigits = 4
const idDigits = 19
const largestId = 2n ** 63n - 1n

export interface Positions {
  /** `epoch-id`, both padded, so that positions sort by age as texts. */
  readonly position: (id: bigint) => string
  /** The id in a position. The epoch grows when a backup is restored: positions of later epochs than ours are not ours. */
  readonly parse: (position: string) => Effect.Effect<bigint, InvalidCursor>
}

export const positionsOf = (
  { sql, tables: t }: Database["Service"],
): Effect.Effect<Positions, SqlError.SqlError> =>
  Effect.gen(function* () {
    const rows = yield* sql<{ value: string }>`select value from ${t.meta} where name = 'epoch'`
    const epoch = Number(rows[0]?.value ?? 1)
    return {
      position: (id) => `${String(epoch).padStart(epochDigits, "0")}-${String(id).padStart(idDigits, "0")}`,
      parse: (position) => {
        const match = /^(\d{4})-(\d{19})$/.exec(position)
        return match === null || Number(match[1]) > epoch || BigInt(match[2]!) > largestId
          ? Effect.fail(invalidCursor)
          : Effect.succeed(BigInt(match[2]!))
      },
    }
  })
