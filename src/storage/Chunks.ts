/**
 * Changes of very many rows: one transaction for each chunk, so that nobody waits long for a row, and a crash leaves whole
 * chunks done.
 */
import { Effect } from "effect"

/** Before every id. */
const first = "00000000-0000-0000-0000-000000000000"

/**
 * Repeats `chunk`, in the order of ids, until one is not full. Answers how many rows they had. Within a transaction of the
 * caller's all chunks are part of it.
 *
 * @param size rows of a chunk
 * @param chunk works on the next `size` rows after `after`, and answers with their ids in order
 */
export const inChunks = <E, R>(
  size: number,
  chunk: (after: string) => Effect.Effect<ReadonlyArray<string>, E, R>,
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    let count = 0
    let after = first
    while (true) {
      const ids = yield* chunk(after)
      count += ids.length
      if (ids.length < size) return count
      after = ids.at(-1)!
    }
  })
