/** How much of one mailbox is read before its lane goes on to the next (docs/decisions/0025). */
import { Effect } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"

export interface TurnLimits {
  readonly pages: number
  readonly millis: number
}

/**
 * A hundred pages are some 20,000 messages: days of mail for a busy mailbox, so that only a backlog takes more than a turn.
 * Twenty seconds are ten times the usual spacing of a lane, and less than the life of a sync lease: a mailbox that answers
 * slowly costs the others that much and no more.
 */
export const turnLimits: TurnLimits = { pages: 100, millis: 20_000 }

/**
 * Where a turn stands. Pages that bring nothing are not counted: asking a quiet folder is the least that a round does, and a
 * provider that always puts an empty page before the end of one would never let it end.
 */
export interface Turn {
  readonly took: (page: { readonly changes: ReadonlyArray<unknown> }) => void
  readonly isOver: Effect.Effect<boolean>
  /** Half of the time is left to what has not been read at all. */
  readonly isHalfOver: Effect.Effect<boolean>
}

export const beginTurn = ({ millis, pages }: TurnLimits): Effect.Effect<Turn> =>
  Effect.map(monotonicMillis, (began) => {
    let taken = 0
    const isPast = (share: number) =>
      Effect.map(monotonicMillis, (now) => taken >= pages || now - began >= millis * share)
    return {
      took: ({ changes }) => {
        if (changes.length > 0) taken++
      },
      isOver: isPast(1),
      isHalfOver: isPast(0.5),
    }
  })
