/** Pauses per key: after a `Retry-After` nobody sends under that key until the pause has passed; other keys go on. */
import { Clock, Context, Effect, Layer } from "effect"

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
  static readonly layer: Layer.Layer<Throttle> = Layer.sync(Throttle, () => {
    const until = new Map<string, number>()
    const row = new Map<string, number>()

    const forget = (now: number) => {
      if (until.size < 10_000) return
      for (const [key, end] of until) if (end <= now) until.delete(key)
    }

    return Throttle.of({
      pause: (key, millis) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          forget(now)
          until.set(key, Math.max(until.get(key) ?? 0, now + millis))
        }),
      remaining: (...keys) =>
        Effect.map(Clock.currentTimeMillis, (now) => {
          // As a rule nothing is paused. This is asked for each redemption, and to look up a key that is new is dear.
          if (until.size === 0) return 0
          let end = now
          for (const key of keys) end = Math.max(end, until.get(key) ?? 0)
          return end - now
        }),
      pausedApps: Effect.map(
        Clock.currentTimeMillis,
        (now) => [...until].flatMap(([key, end]) => end > now ? appOf(key) : []),
      ),
      backoff: (key) =>
        Effect.sync(() => {
          const count = (row.get(key) ?? 0) + 1
          row.set(key, count)
          return Math.min(60_000, 1_000 * 2 ** (count - 1))
        }),
      succeeded: (key) => Effect.sync(() => void (row.size > 0 && row.delete(key))),
    })
  })
}
