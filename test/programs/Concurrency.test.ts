import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings, type SettingsValues } from "../../src/domain/Settings.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { Concurrency } from "../../src/programs/Concurrency.ts"

const app = { provider: "microsoft", clientId: "an-app" }

const withSettings = (overrides: Partial<SettingsValues>) =>
  Effect.provide(
    Concurrency.layer.pipe(
      Layer.provideMerge(AdaptiveConcurrency.layer),
      Layer.provide(Layer.orDie(Settings.layerWith(overrides))),
    ),
  )

/** The most of `count` pieces of work that were under way at once. */
const mostAtOnce = (
  count: number,
  admit: (work: Effect.Effect<void, ProviderError>) => Effect.Effect<void, ProviderError>,
) =>
  Effect.gen(function* () {
    let [running, most] = [0, 0]
    const work = Effect.gen(function* () {
      most = Math.max(most, ++running)
      yield* Effect.sleep("2 millis")
      running--
    })
    yield* Effect.forEach(Array.from({ length: count }), () => admit(work), { concurrency: "unbounded", discard: true })
    return most
  })

describe("Concurrency", () => {
  it.live("admits as many as are set, whoever asks", () =>
    Effect.gen(function* () {
      const { refresh } = yield* Concurrency
      assert.strictEqual(refresh.concurrency, 3)
      assert.strictEqual(yield* mostAtOnce(20, refresh.admit(app)), 3)
    }).pipe(withSettings({ refreshConcurrency: 3 })))

  it.live("goes slower by itself where the provider throttles, and for that app alone, with `auto`", () =>
    Effect.gen(function* () {
      const { import: imports, refresh } = yield* Concurrency
      const adaptive = yield* AdaptiveConcurrency
      assert.strictEqual(refresh.concurrency, 64)
      yield* mostAtOnce(400, refresh.admit(app))
      yield* mostAtOnce(400, imports.admit({ ...app, clientId: "another" }))
      const limitOf = (clientId: string) =>
        Effect.map(adaptive.limits, (limits) => limits.get(`token:microsoft:${clientId}`)!.limit)
      const [before, other] = [yield* limitOf("an-app"), yield* limitOf("another")]
      const throttled = new ProviderError({ class: "throttled", code: "throttled", message: "slow down" })
      yield* Effect.exit(refresh.admit(app)(Effect.fail(throttled)))
      assert.isBelow(yield* limitOf("an-app"), before)
      assert.strictEqual(yield* limitOf("another"), other)
    }).pipe(withSettings({ refreshConcurrency: "auto", importConcurrency: "auto", concurrencyCeiling: 64 })))
})
