/** Quota units of mailboxes: what a request costs is waited for, so that no minute of a mailbox sees more than its quota. */
import { Context, Effect, Layer } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { Settings } from "../domain/Settings.ts"

/** Part of a minute's units that may be spent at once; the others are spread over the minute. */
const burst = 1 / 6

const minute = 60_000

export class MailboxUnits extends Context.Service<MailboxUnits, {
  /** The most that may be spent at once: dearer requests count as this. */
  readonly most: number
  /** Takes `units` at once, and answers after how many milliseconds they may be spent: whoever asks next stands behind. */
  readonly reserve: (key: string, units: number) => Effect.Effect<number>
  /** Waits until `units` may be spent under `key` (as `mailboxKey` makes them), in the order of asking. */
  readonly spend: (key: string, units: number) => Effect.Effect<void>
}>()("mailfleet/pacing/MailboxUnits") {
  static readonly layer: Layer.Layer<MailboxUnits, never, Settings> = Layer.effect(
    MailboxUnits,
    Effect.map(Settings, ({ gmailUnitsPerMinute }) => makeMailboxUnits(gmailUnitsPerMinute)),
  )
}

/**
 * A bucket for each mailbox, which holds a sixth of a minute's units and is filled with the other five in each minute: however
 * a minute is cut out, at most `perMinute` units are spent in it.
 */
export const makeMailboxUnits = (perMinute: number): MailboxUnits["Service"] => {
  const most = Math.floor(perMinute * burst)
  const unitMillis = minute / (perMinute - most)
  /** When the bucket of a key will be full, by `Monotonic`. One that is full is not kept. */
  const fullAt = new Map<string, number>()

  const forget = (now: number) => {
    if (fullAt.size < 10_000) return
    for (const [key, time] of fullAt) if (time <= now) fullAt.delete(key)
  }

  const reserve = (key: string, units: number) =>
    Effect.map(monotonicMillis, (now) => {
      forget(now)
      const full = Math.max(fullAt.get(key) ?? 0, now) + Math.min(units, most) * unitMillis
      fullAt.set(key, full)
      return Math.max(0, Math.ceil(full - most * unitMillis - now))
    })

  return MailboxUnits.of({
    most,
    reserve,
    spend: (key, units) => Effect.flatMap(reserve(key, units), (wait) => wait > 0 ? Effect.sleep(wait) : Effect.void),
  })
}
