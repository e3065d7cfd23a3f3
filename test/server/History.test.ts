/** What the plots show: a sample every ten seconds, with what happened since the one before. */
import { assert, it } from "@effect/vitest"
import { DateTime, Effect, Metric } from "effect"
import { TestClock } from "effect/testing"
import { makeHistory } from "../../src/server/History.ts"
import { Stats } from "../../src/storage/Stats.ts"

const redemptions = Metric.counter("mailfleet_redemptions_total", { incremental: true })
const turns = Metric.counter("mailfleet_sync_turns_total", { incremental: true })

const redeemed = (outcome: string, count: number) =>
  Metric.update(Metric.withAttributes(redemptions, { outcome }), count)

it.effect("counts what happened between two samples, goes on after a fault, and forgets after four hours", () =>
  Effect.gen(function* () {
    let lagSeconds = 3
    const lag = Effect.sync(() => {
      if (lagSeconds < 0) throw new Error("the database does not answer")
      return { due: 1, lagSeconds, byApp: [], others: {} }
    })
    yield* redeemed("ok", 5)
    // Of `Stats` it asks for these two only; the others would need a database.
    // Before its start: not of its time.
    const history = yield* makeHistory.pipe(
      Effect.provideService(Stats, { refreshLag: lag, sync: lag } as unknown as Stats["Service"]),
    )
    yield* redeemed("ok", 2)
    yield* redeemed("throttled", 1)
    for (const channel of ["graph", "imap"]) {
      yield* Metric.update(Metric.withAttributes(turns, { channel, outcome: "complete" }), 1)
    }
    yield* TestClock.adjust("10 seconds")
    lagSeconds = 4
    yield* TestClock.adjust("10 seconds")
    lagSeconds = -1
    yield* TestClock.adjust("10 seconds")
    lagSeconds = 0
    yield* TestClock.adjust("10 seconds")

    const { samples } = yield* history(undefined)
    assert.deepStrictEqual(samples.map(({ at, ...sample }) => ({ ...sample, at: DateTime.toEpochMillis(at) })), [
      {
        at: 10_000,
        seconds: 10,
        refresh: { due: 1, lagSeconds: 3 },
        sync: { due: 1, lagSeconds: 3 },
        redemptions: { ok: 2, throttled: 1 },
        turns: { complete: 2 },
      },
      {
        at: 20_000,
        seconds: 10,
        refresh: { due: 1, lagSeconds: 4 },
        sync: { due: 1, lagSeconds: 4 },
        redemptions: {},
        turns: {},
      },
      {
        at: 40_000,
        seconds: 20,
        refresh: { due: 1, lagSeconds: 0 },
        sync: { due: 1, lagSeconds: 0 },
        redemptions: {},
        turns: {},
      },
    ])
    assert.lengthOf((yield* history(samples[0]!.at)).samples, 2)

    yield* TestClock.adjust("5 hours")
    assert.lengthOf((yield* history(undefined)).samples, 1_440)
  }).pipe(Effect.scoped, Effect.provideService(Metric.MetricRegistry, new Map())))
