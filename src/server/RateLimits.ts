/** How often each API key may call this process, and how many wrong keys may come from one address. */
import { Context, Effect, Option } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { TooManyRequests } from "../api/Problems.ts"
import { Settings } from "../domain/Settings.ts"
import { withHeaders } from "./Answers.ts"
import { makeTokenBuckets } from "./TokenBuckets.ts"

/** Seconds' worth of calls that a key which was quiet may make at once. */
const burstSeconds = 2

/** Wrong keys from one address: no program that works sends many, and whoever guesses learns nothing sooner. */
const wrongKeys = { rate: 50, burst: 1_000 }

/** The address that a request came from; asked for only where a key was wrong. Behind a proxy it is the proxy's. */
export const RemoteAddress = Context.Reference<() => string>("mailfleet/server/RemoteAddress", {
  defaultValue: () => () => "",
})

const refuse = Effect.fnUntraced(function* (retryAfter: number, detail: string) {
  yield* withHeaders({ "retry-after": String(retryAfter) })
  return yield* new TooManyRequests({ detail })
})

export const makeRateLimits = Effect.map(Settings, ({ apiRate }) => {
  const rate = Option.getOrElse(apiRate, () => Infinity)
  const calls = makeTokenBuckets(rate, rate * burstSeconds)
  const policy = `"key";q=${rate * burstSeconds};w=${burstSeconds}`
  const wrong = makeTokenBuckets(wrongKeys.rate, wrongKeys.burst)

  return {
    /**
     * Counts a call of this key, and fails where it is one too many. The answer says how many are left, as the IETF's draft
     * «RateLimit header fields for HTTP» has it.
     */
    count: Option.isNone(apiRate) ? () => Effect.void : Effect.fnUntraced(function* (keyId: string) {
      const { allowed, fullIn, remaining, retryAfter } = calls.take(keyId, yield* monotonicMillis)
      yield* withHeaders({ "ratelimit-policy": policy, "ratelimit": `"key";r=${remaining};t=${fullIn}` })
      if (!allowed) yield* refuse(retryAfter, `a key may make ${rate} requests per second (MAILFLEET_API_RATE)`)
    }),
    /** Fails where so many wrong keys came from the address of this request that the next is not even looked at. */
    beforeLookup: Effect.gen(function* () {
      const now = yield* monotonicMillis
      const address = (yield* RemoteAddress)()
      if (wrong.isEmpty(address, now)) {
        yield* refuse(1, `too many wrong keys came from this address: ${wrongKeys.rate} per second are answered`)
      }
    }),
    /** Counts a wrong key against the address that this request came from. */
    wrongKey: Effect.gen(function* () {
      wrong.take((yield* RemoteAddress)(), yield* monotonicMillis)
    }),
  }
})
