/** Pauses per key: after a `Retry-After` nobody sends under that key until the pause has passed; other keys go on. */
import { Context, Duration, Effect, Layer } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { type Pause, SharedPauses } from "./SharedPauses.ts"

/** The keys under which a token endpoint can pause us: the whole app, one tenant of it, one grant. */
export const tokenKeys = (
  app: { readonly provider: string; readonly clientId: string; readonly tenant: string },
  grantId: string,
) => ({
  app: `token:${app.provider}:${app.clientId}`,
  tenant: `token:${app.provider}:${app.clientId}:${app.tenant}`,
  grant: `token:grant:${grantId}`,
})

/** The apps, or tenants of apps, that keys of {@link tokenKeys} stand for. */
const appOf = (key: string) => {
  const [kind, provider, clientId, tenant] = key.split(":")
  return kind !== "token" || provider === undefined || clientId === undefined || provider === "grant"
    ? []
    : [{ provider, clientId, tenant }]
}

/** The key of one mailbox under one app (Microsoft Graph throttling limits: per app id and mailbox). */
export const mailboxKey = (clientId: string, accountId: string): string => `mail:${clientId}:${accountId}`

export class Throttle extends Context.Service<Throttle, {
  /** Nobody sends under `key` for `millis` from now. A longer pause that is on already stays. */
  readonly pause: (key: string, millis: number) => Effect.Effect<void>
  /** Milliseconds until all of `keys` are free; 0 = send. */
  readonly remaining: (...keys: ReadonlyArray<string>) => Effect.Effect<number>
  /** Apps, or tenants of apps, whose token endpoint has paused us. */
  readonly pausedApps: Effect.Effect<
    ReadonlyArray<{ readonly provider: string; readonly clientId: string; readonly tenant: string | undefined }>
  >
  /**
   * The pause for a throttled answer that names none: 1 s, doubling with each such answer in a row under the key, at most
   * 60 s (MSAL holds back 60 s by default). `succeeded` ends the row.
   */
  readonly backoff: (key: string) => Effect.Effect<number>
  readonly succeeded: (key: string) => Effect.Effect<void>
}>()("mailfleet/pacing/Throttle") {
  /** For a process by itself. */
  static readonly layer: Layer.Layer<Throttle> = Layer.sync(Throttle, () => makeThrottle().service)

  /**
   * For a process of a cluster: what one is asked to wait, the others wait too, from a quarter of a second later on. Where
   * the pauses of others cannot be read, its own hold.
   */
  static readonly layerShared: Layer.Layer<Throttle, never, SharedPauses> = Layer.effect(
    Throttle,
    Effect.gen(function* () {
      const shared = yield* SharedPauses
      const scope = yield* Effect.scope
      const { learn, service } = makeThrottle()

      yield* shared.all.pipe(
        Effect.flatMap((pauses) => Effect.forEach(pauses, learn, { discard: true })),
        Effect.catchCause((cause) =>
          Effect.andThen(Effect.logDebug("pauses of other processes cannot be read", cause), Effect.sleep("1 second"))
        ),
        Effect.andThen(Effect.sleep(glance)),
        Effect.forever,
        Effect.forkScoped,
      )

      return Throttle.of({
        ...service,
        pause: (key, millis) =>
          Effect.andThen(
            service.pause(key, millis),
            // Whoever was refused does not wait until all know.
            Effect.forkIn(
              Effect.catchCause(
                shared.add({ key, millis }),
                (cause) => Effect.logDebug("other processes cannot be told of a pause", cause),
              ),
              scope,
            ),
          ),
      })
    }),
  )
}

/** How often a process of a cluster looks for the pauses of the others. */
const glance = Duration.millis(250)

const makeThrottle = () => {
  const until = new Map<string, number>()
  const row = new Map<string, number>()

  const forget = (now: number) => {
    if (until.size < 10_000) return
    for (const [key, end] of until) if (end <= now) until.delete(key)
  }

  const pause = (key: string, millis: number) =>
    Effect.map(monotonicMillis, (now) => {
      forget(now)
      until.set(key, Math.max(until.get(key) ?? 0, now + millis))
    })

  const service = Throttle.of({
    pause,
    remaining: (...keys) =>
      Effect.suspend(() =>
        // As a rule nothing is paused. This is asked for each redemption, and to look up a key that is new is dear.
        until.size === 0 ? Effect.succeed(0) : Effect.map(monotonicMillis, (now) => {
          let end = now
          for (const key of keys) end = Math.max(end, until.get(key) ?? 0)
          return end - now
        })
      ),
    pausedApps: Effect.map(monotonicMillis, (now) => [...until].flatMap(([key, end]) => end > now ? appOf(key) : [])),
    backoff: (key) =>
      Effect.sync(() => {
        const count = (row.get(key) ?? 0) + 1
        row.set(key, count)
        return Math.min(60_000, 1_000 * 2 ** (count - 1))
      }),
    succeeded: (key) => Effect.sync(() => void (row.size > 0 && row.delete(key))),
  })
  return { service, learn: ({ key, millis }: Pause) => pause(key, millis) }
}
