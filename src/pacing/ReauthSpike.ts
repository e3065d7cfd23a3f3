/**
 * Holds back verdicts on grants while too many come at once. A fleet-wide spike of `needs_reauth` is more likely a fault of
 * the provider, or ours, than of the users; and a verdict that is held only comes later.
 *
 * In memory, for this process: others see a spike of their own.
 */
import { Context, Effect, FiberHandle, Layer, PubSub, Stream } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import type { GrantId } from "../domain/Ids.ts"
import { declaredIn, emptyWindow, isDeclared, quietAt, withRedeemed, withRefused, withTime } from "./RefusalWindow.ts"

export type Spike =
  /** `grants`: those that were declared just before. They may have been wronged, and are to be looked at again soon. */
  | { readonly state: "begun"; readonly grants: ReadonlyArray<GrantId> }
  | { readonly state: "ended" }

export class ReauthSpike extends Context.Service<ReauthSpike, {
  /** A grant that had been redeemed before was redeemed again. */
  readonly redeemed: Effect.Effect<void>
  /**
   * A grant that had been redeemed before is now refused for good. True = believe it; false = hold: not declared now, it
   * must be confirmed.
   */
  readonly refused: (grantId: GrantId) => Effect.Effect<boolean>
  /** True while a spike lasts. */
  readonly suspected: Effect.Effect<boolean>
  /** From the moment of subscription on. */
  readonly spikes: Stream.Stream<Spike>
}>()("mailfleet/pacing/ReauthSpike") {
  static readonly layer: Layer.Layer<ReauthSpike> = Layer.effect(
    ReauthSpike,
    Effect.gen(function* () {
      const spikes = yield* PubSub.sliding<Spike>(1_024)
      const watching = yield* FiberHandle.make()
      let window = emptyWindow

      const publish = (spike: Spike) => PubSub.publishUnsafe(spikes, spike)

      /** Ends a spike that no refusal keeps up, where nothing else happens that would. */
      const watch = Effect.gen(function* () {
        while (window.spiking) {
          const now = yield* monotonicMillis
          window = withTime(window, now)
          if (!window.spiking) publish({ state: "ended" })
          else yield* Effect.sleep(quietAt(window) - now)
        }
      })

      const redeemed = Effect.map(monotonicMillis, (now) => {
        const before = window
        window = withRedeemed(before, now)
        if (before.spiking && !window.spiking) publish({ state: "ended" })
      })

      const refused = Effect.fnUntraced(function* (grantId: GrantId) {
        const now = yield* monotonicMillis
        const before = window
        window = withRefused(before, grantId, now)
        const believed = isDeclared(window, grantId)
        if (window.spiking && !before.spiking) {
          publish({ state: "begun", grants: declaredIn(window, now) })
          yield* FiberHandle.run(watching, watch)
        }
        return believed
      })

      return ReauthSpike.of({
        redeemed,
        refused,
        suspected: Effect.sync(() => window.spiking),
        spikes: Stream.fromPubSub(spikes),
      })
    }),
  )
}
