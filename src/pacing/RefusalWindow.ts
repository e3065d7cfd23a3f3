/** Whether so many grants are refused at once that the fault is hardly the users'. Without a clock: times are those of `Monotonic`. */
import type { GrantId } from "../domain/Ids.ts"

/*
 * No provider says how many of its grants die in a usual hour; these figures are ours. A healthy fleet loses well under one
 * in a hundred of its grants a day, so a quarter of the last 200 is far from chance, and one in twenty is near to health.
 * 50 at least, so that a small tenant whose users all left is believed.
 */
const windowOutcomes = 200
const beginsAt = 50
const endsBelow = 10
export const windowMillis = 3_600_000

interface Outcome {
  readonly at: number
  /** Set where the grant was refused. */
  readonly grantId?: GrantId
  /** Whether the refusal was believed. */
  readonly declared?: boolean
}

export interface RefusalWindow {
  /** The last of them, oldest first. */
  readonly outcomes: ReadonlyArray<Outcome>
  readonly spiking: boolean
}

export const emptyWindow: RefusalWindow = { outcomes: [], spiking: false }

export const withRedeemed = (window: RefusalWindow, now: number): RefusalWindow => {
  const outcomes = appended(window.outcomes, { at: now })
  return { outcomes, spiking: window.spiking && refusalsIn(outcomes).length >= endsBelow }
}

/** A grant counts once in the window: that one is asked for over and over says nothing of the others. */
export const withRefused = (window: RefusalWindow, grantId: GrantId, now: number): RefusalWindow => {
  const known = window.outcomes.findIndex((outcome) => outcome.grantId === grantId && isRecent(outcome, now))
  if (known >= 0) {
    const outcome = window.outcomes[known]!
    const declared = outcome.declared === true || !window.spiking
    return { ...window, outcomes: window.outcomes.with(known, { ...outcome, declared }) }
  }
  const outcomes = appended(window.outcomes, { at: now, grantId })
  const spiking = window.spiking || refusalsIn(outcomes).filter((outcome) => isRecent(outcome, now)).length >= beginsAt
  return { spiking, outcomes: outcomes.with(-1, { at: now, grantId, declared: !spiking }) }
}

/** When a spike ends by itself, for want of further refusals. */
export const quietAt = ({ outcomes }: RefusalWindow): number =>
  (refusalsIn(outcomes).at(-1)?.at ?? -Infinity) + windowMillis

export const withTime = (window: RefusalWindow, now: number): RefusalWindow =>
  window.spiking && now >= quietAt(window) ? { ...window, spiking: false } : window

/** Grants whose refusal was believed within the hour before. */
export const declaredIn = ({ outcomes }: RefusalWindow, now: number): ReadonlyArray<GrantId> =>
  outcomes.flatMap((outcome) =>
    outcome.declared === true && outcome.grantId !== undefined && isRecent(outcome, now) ? [outcome.grantId] : []
  )

/** Whether the refusal of the grant is believed. */
export const isDeclared = ({ outcomes }: RefusalWindow, grantId: GrantId): boolean =>
  outcomes.findLast((outcome) => outcome.grantId === grantId)?.declared === true

const appended = (outcomes: ReadonlyArray<Outcome>, outcome: Outcome): ReadonlyArray<Outcome> => [
  ...outcomes.slice(1 - windowOutcomes),
  outcome,
]

const refusalsIn = (outcomes: ReadonlyArray<Outcome>): ReadonlyArray<Outcome> =>
  outcomes.filter(({ grantId }) => grantId !== undefined)

const isRecent = ({ at }: Outcome, now: number): boolean => now - at <= windowMillis
