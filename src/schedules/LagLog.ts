/** Says once a minute how far refreshing lags behind, and what this process has redeemed meanwhile. */
import { Duration, Effect, Layer } from "effect"
import { RefreshPolicy } from "../domain/Account.ts"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { lagUnder } from "../storage/grants/RefreshLag.ts"
import { Stats } from "../storage/Stats.ts"
import { countsOf, since } from "./ProcessCounts.ts"

const every = Duration.minutes(1)

/** Seconds. From here on a lag threatens what the policy is for. */
export const worrying = (
  { refreshEvery, warmMargin }: Pick<SettingsValues, "refreshEvery" | "warmMargin">,
): Readonly<Record<RefreshPolicy, number>> => ({
  // Days pass before a refresh token dies of disuse: a sign that the fleet is not kept up with, long before harm is done.
  "keep-alive": Math.max(60, Duration.toSeconds(refreshEvery) / 10),
  // Access tokens have ended that were to be valid at any time.
  warm: Duration.toSeconds(warmMargin),
})

/** Redemptions of this process since its start, by what came of them. */
const redemptions = countsOf("mailfleet_redemptions_total", "outcome")

export const layer: Layer.Layer<never, never, Settings | Stats> = Layer.effectDiscard(Effect.gen(function* () {
  const stats = yield* Stats
  const limits = worrying(yield* Settings)
  let before = yield* redemptions

  const line = Effect.gen(function* () {
    const lag = yield* stats.refreshLag
    const now = yield* redemptions
    const redeemed = since(before, now)
    before = now
    const late = RefreshPolicy.literals.filter((policy) => lagUnder(policy, lag).lagSeconds > limits[policy])
    const log = late.length === 0 ? Effect.logInfo("refreshing keeps up") : Effect.logWarning("refreshing lags behind")
    yield* log.pipe(Effect.annotateLogs({
      due: lag.due,
      lagSeconds: lag.lagSeconds,
      ...(late.length === 0 ? {} : { policies: late.join(",") }),
      redemptions: Object.values(redeemed).reduce((sum, count) => sum + count, 0),
      ...Object.fromEntries(Object.entries(redeemed).map(([name, count]) => [`redemptions.${name}`, count])),
    }))
  })

  yield* Effect.sleep(every).pipe(
    Effect.andThen(
      Effect.catchCause(
        line,
        (cause) => Effect.logError("the refresh lag cannot be told; tried again in a minute", cause),
      ),
    ),
    Effect.forever,
    Effect.forkScoped,
  )
}))
