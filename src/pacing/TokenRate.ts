/** A limit on the requests per second under one key (an app at its token endpoint), for all work of this process. */
import { Context, Effect, Layer, Option } from "effect"
import { RateLimiter } from "effect/persistence"
import { bySteadyClock } from "../domain/Monotonic.ts"
import { Settings } from "../domain/Settings.ts"

export class TokenRate extends Context.Service<TokenRate, {
  /** False where no rate is set: then `wait` never waits. */
  readonly limited: boolean
  /** Waits so long that the rate is kept, evenly spread; never fails. */
  readonly wait: (key: string) => Effect.Effect<void>
}>()("mailfleet/pacing/TokenRate") {
  static readonly layer: Layer.Layer<TokenRate, never, Settings> = Layer.unwrap(
    Effect.map(
      Settings,
      ({ tokenRate }) => Option.match(tokenRate, { onNone: () => TokenRate.none, onSome: TokenRate.perSecond }),
    ),
  )

  static readonly none: Layer.Layer<TokenRate> = Layer.succeed(TokenRate, { limited: false, wait: () => Effect.void })

  /** @param rate requests per second, from 1 to 1,000 */
  static readonly perSecond = (rate: number): Layer.Layer<TokenRate> => {
    // A bucket of one: no second sees more than the rate. The limiter's windows last a millisecond at least.
    const window = 1_000 / rate
    return Layer.effect(
      TokenRate,
      Effect.map(RateLimiter.RateLimiter, (limiter) =>
        TokenRate.of({
          limited: true,
          wait: (key) =>
            RateLimiter.sleep(limiter, { key, limit: 1, window, algorithm: "token-bucket" }).pipe(
              Effect.asVoid,
              Effect.orDie,
              bySteadyClock,
            ),
        })),
    ).pipe(Layer.provide(RateLimiter.layer), Layer.provide(RateLimiter.layerStoreMemory))
  }
}
