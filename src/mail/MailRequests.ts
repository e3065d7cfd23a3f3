/** What requests to a mailbox over HTTP have in common: the access token that they carry, and how they wait. */
import { Clock, Effect, Redacted, Schedule, Schema, Semaphore } from "effect"
import type { Resource } from "../domain/Account.ts"
import type { GrantId } from "../domain/Ids.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import type { AccessToken, Tokens } from "../oauth/Tokens.ts"

/** For an answer that is read whole, and between two pieces of one that is not. */
export const requestTimeout = "30 seconds"

/** A shorter pause is waited out in place; for a longer one the account gives its turn to others. Milliseconds. */
export const longestPause = 10_000

/** Pauses in a row that one request waits out in place. */
export const mostPauses = 10

/** A token that ends sooner is not sent any more, in milliseconds. */
const margin = 60_000

/** How a request that met a passing fault is repeated. */
export const transientRetries = {
  schedule: Schedule.exponential("250 millis").pipe(Schedule.jittered),
  times: 3,
}

/** What an answer holds; one of another form is `strange`, and so is one that is nested beyond the stack. */
export const decodeAnswer = <S extends Schema.Codec<unknown, unknown>, E>(
  schema: S,
  body: string,
  strange: E,
): Effect.Effect<S["Type"], E> =>
  Schema.decodeUnknownEffect(Schema.fromJsonString(schema))(body).pipe(
    Effect.mapError(() => strange),
    Effect.catchDefect(() => Effect.fail(strange)),
  )

const isSame = (one: AccessToken, other: AccessToken): boolean =>
  Redacted.value(one.token) === Redacted.value(other.token)

/**
 * Holds the access token of one round: one for all requests that are under way. A token that the provider has `refused` is
 * replaced once, not by each of them.
 */
export const holdAccessToken = (
  tokens: Tokens["Service"],
  grantId: GrantId,
  resource: Resource,
): (refused?: AccessToken) => Effect.Effect<AccessToken, ProviderError> => {
  const signIn = Semaphore.makeUnsafe(1)
  let held: AccessToken | undefined
  return (refused) =>
    signIn.withPermit(Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (refused !== undefined && held === refused) {
        // Others that read by the same grant were refused as well, and the first of them has replaced it.
        const cached = yield* tokens.accessToken(grantId, resource)
        held = isSame(cached, refused) ? yield* tokens.refresh(grantId, resource) : cached
      } else if (held === undefined || held.expiresAt.epochMilliseconds - now < margin) {
        held = yield* tokens.accessToken(grantId, resource)
      }
      return held
    }))
}

/** Waits until `remaining` milliseconds are none; fails with `tooLong` where they are more than is waited in place. */
export const waitAtGate = (
  remaining: Effect.Effect<number>,
  tooLong: (millis: number) => ProviderError,
): Effect.Effect<void, ProviderError> =>
  Effect.gen(function* () {
    while (true) {
      const millis = yield* remaining
      if (millis <= 0) return
      if (millis > longestPause) return yield* tooLong(millis)
      yield* Effect.sleep(millis)
    }
  })
