/** A valid access token of a grant, refreshed by exactly one. */
import {
  Context,
  DateTime,
  Deferred,
  Duration,
  Effect,
  Exit,
  Layer,
  Metric,
  Option,
  Random,
  type Redacted,
} from "effect"
import type { Resource } from "../domain/Account.ts"
import { codeOf } from "../domain/FailureClass.ts"
import type { GrantId } from "../domain/Ids.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { AppBreaker, appKey } from "../pacing/AppBreaker.ts"
import { Throttle, tokenKeys } from "../pacing/Throttle.ts"
import { GrantStore, type LeasedGrant, type Settlement } from "./GrantStore.ts"
import { OAuthProvider, type Redemption, type RedemptionFailure } from "./OAuthProvider.ts"
import { nextDueSeconds, verdict } from "./RefreshPolicy.ts"
import { makeWriter } from "./SettlementWriter.ts"

export interface AccessToken {
  readonly token: Redacted.Redacted
  readonly resource: Resource
  readonly expiresAt: DateTime.Utc
}

/** How often a process that lost the race looks whether the winner is done. */
const heldPoll = Duration.millis(100)
/** Longer than a lease: whoever waits so long has seen the winner crash and its lease end. */
const heldAtMost = 300

const redemptions = Metric.counter("mailfleet_redemptions_total", {
  description: "Refresh tokens redeemed, by what the provider answered",
  incremental: true,
})
const count = (outcome: string) => Metric.update(Metric.withAttributes(redemptions, { outcome }), 1)

export class Tokens extends Context.Service<Tokens, {
  /**
   * A token that stays valid for `minValidity` (default 2 minutes): from the cache, else by a refresh. Where that refresh
   * fails, a token that is still valid at all is served.
   */
  readonly accessToken: (
    grantId: GrantId,
    resource: Resource,
    options?: { readonly minValidity?: Duration.Input },
  ) => Effect.Effect<AccessToken, ProviderError>
  /** Redeems the refresh token even where a cached access token is fresh. Joins a refresh that is under way. */
  readonly refresh: (grantId: GrantId, resource: Resource) => Effect.Effect<AccessToken, ProviderError>
}>()("mailfleet/oauth/Tokens") {
  static readonly layer: Layer.Layer<
    Tokens,
    never,
    GrantStore | OAuthProvider | Throttle | AppBreaker | Settings
  > = Layer.effect(
    Tokens,
    Effect.gen(function* () {
      const store = yield* GrantStore
      const provider = yield* OAuthProvider
      const throttle = yield* Throttle
      const breaker = yield* AppBreaker
      const settings = yield* Settings
      const scope = yield* Effect.scope
      // Before any redemption in the order of the scope: so it ends after the last of them.
      const commit = yield* makeWriter(store)
      const inFlight = new Map<
        GrantId,
        { readonly resource: Resource; readonly answer: Deferred.Deferred<AccessToken, ProviderError> }
      >()
      const refreshEvery = Duration.toSeconds(settings.refreshEvery)

      const cached = (grantId: GrantId, resource: Resource, minValiditySeconds: number) =>
        Effect.map(
          store.accessToken(grantId, resource, minValiditySeconds),
          Option.map(({ token, expiresAt }): AccessToken => ({ token, resource, expiresAt })),
        )

      const settlementOf = Effect.fnUntraced(function* (
        grant: LeasedGrant,
        resource: Resource,
        answer: Exit.Exit<Redemption, RedemptionFailure>,
      ) {
        const jitter = yield* Random.next
        if (Exit.isSuccess(answer)) {
          const { accessToken, expiresIn, refreshToken } = answer.value
          yield* count("ok")
          return {
            _tag: "Redeemed",
            grant,
            resource,
            accessToken,
            expiresInSeconds: expiresIn,
            refreshToken,
            dueInSeconds: nextDueSeconds(refreshEvery, grant.redeemedAt !== undefined, jitter),
          } satisfies Settlement
        }
        const { error } = yield* failureOf(answer)
        yield* count(error.class)
        const same = grant.failureClass === error.class
        return {
          _tag: "Failed",
          grant,
          class: error.class,
          code: error.providerCode ?? error.code,
          message: error.message,
          ...verdict(error, same ? grant.failures + 1 : 1, same ? grant.failingSeconds : 0, jitter),
        } satisfies Settlement
      })

      /** A throttled answer pauses what it reaches; where it names no time, our own backoff does. */
      const pace = Effect.fnUntraced(function* (
        grant: LeasedGrant,
        answer: Exit.Exit<Redemption, RedemptionFailure>,
      ): Effect.fn.Return<Exit.Exit<Redemption, RedemptionFailure>> {
        const keys = tokenKeys(grant.app, grant.id)
        if (Exit.isSuccess(answer)) {
          yield* throttle.succeeded(keys.app)
          return answer
        }
        const { error, reach = "app" } = yield* failureOf(answer)
        if (error.class !== "throttled") return answer
        const millis = error.retryAfterMillis ?? (yield* throttle.backoff(keys[reach]))
        yield* throttle.pause(keys[reach], millis)
        return Exit.fail({ error: error.retryAfter(millis), reach })
      })

      /** From send to commit nothing interrupts: what the provider rotated must be stored. */
      const redeem = (grant: LeasedGrant, resource: Resource) =>
        Effect.uninterruptible(Effect.gen(function* () {
          const answer = yield* provider.redeem({ app: grant.app, refreshToken: grant.refreshToken, resource }).pipe(
            breaker.guard(appKey(grant.app)),
            Effect.exit,
            Effect.flatMap((exit) => pace(grant, exit)),
          )
          if (Exit.isFailure(answer) && (yield* failureOf(answer)).error.notSent === true) {
            yield* store.release(grant)
            return { answer, settled: { applied: true, expiresAt: undefined } }
          }
          const settled = yield* Effect.flatMap(settlementOf(grant, resource, answer), commit)
          return { answer, settled }
        }))

      const refreshOnce: (grantId: GrantId, resource: Resource) => Effect.Effect<AccessToken, ProviderError> = Effect
        .fn(
          "Tokens.refresh",
        )(function* (grantId, resource) {
          const { version, lease } = yield* takeLease(store, grantId)
          if (lease === undefined) {
            const token = yield* cached(grantId, resource, 0)
            if (Option.isSome(token)) return token.value
            // The winner redeemed for another resource, or failed: our own turn.
            return yield* refreshOnce(grantId, resource)
          }
          const keys = tokenKeys(lease.app, grantId)
          const paused = yield* throttle.remaining(keys.app, keys.tenant, keys.grant)
          if (paused > 0) {
            yield* store.release(lease)
            return yield* pausedError(paused)
          }
          const { answer, settled } = yield* redeem(lease, resource)
          if (!settled.applied) {
            // Somebody else rotated meanwhile, or an import brought a new token: a lost race is not a dead grant.
            yield* Effect.logInfo("a redemption was overtaken", { grantId, version })
            yield* store.release(lease)
            const token = yield* cached(grantId, resource, 0)
            return Option.isSome(token) ? token.value : yield* refreshOnce(grantId, resource)
          }
          if (Exit.isFailure(answer)) return yield* (yield* failureOf(answer)).error
          return { token: answer.value.accessToken, resource, expiresAt: settled.expiresAt! }
        })

      /** Joins the refresh that is under way in this process, or starts one in our own scope, which no caller can cut. */
      const refresh: (grantId: GrantId, resource: Resource) => Effect.Effect<AccessToken, ProviderError> = (
        grantId,
        resource,
      ) =>
        Effect.suspend(() => {
          const flight = inFlight.get(grantId)
          if (flight !== undefined) {
            const joined = Deferred.await(flight.answer)
            return flight.resource === resource
              ? joined
              : Effect.andThen(Effect.exit(joined), refresh(grantId, resource))
          }
          const answer = Deferred.makeUnsafe<AccessToken, ProviderError>()
          inFlight.set(grantId, { resource, answer })
          return refreshOnce(grantId, resource).pipe(
            Effect.onExit((exit) => {
              inFlight.delete(grantId)
              return Deferred.done(answer, exit)
            }),
            Effect.exit,
            Effect.forkIn(scope),
            Effect.andThen(Deferred.await(answer)),
          )
        })

      return Tokens.of({
        refresh,
        accessToken: Effect.fn("Tokens.accessToken")(function* (grantId, resource, options) {
          const fresh = yield* cached(grantId, resource, Duration.toSeconds(options?.minValidity ?? "2 minutes"))
          if (Option.isSome(fresh)) return fresh.value
          return yield* refresh(grantId, resource).pipe(
            Effect.catch((error) =>
              Effect.flatMap(
                cached(grantId, resource, 0),
                Option.match({
                  onNone: () => Effect.fail(error),
                  onSome: Effect.succeed,
                }),
              )
            ),
          )
        }),
      })
    }),
  )
}

/** The lease, or undefined once another process has ended its own redemption of the grant. */
const takeLease = Effect.fnUntraced(function* (store: GrantStore["Service"], grantId: GrantId) {
  let seen: { readonly version: number; readonly redeemedAt: number | undefined } | undefined
  for (let polls = 0; polls < heldAtMost; polls++) {
    const answer = yield* store.lease(grantId)
    if (answer._tag === "Missing") {
      return yield* new ProviderError({
        class: "unknown",
        code: "grant_not_found",
        message: "the grant is not there any more",
      })
    }
    if (answer._tag === "Unreadable") {
      return yield* new ProviderError({
        class: "unknown",
        code: "secret_unreadable",
        message: answer.message,
        notSent: true,
      })
    }
    if (answer._tag === "Leased") {
      // The version tells a rotation, or an import; the time a redemption by which the provider did not rotate.
      if (
        seen === undefined ||
        (answer.grant.version === seen.version && answer.grant.redeemedAt === seen.redeemedAt)
      ) {
        return { version: answer.grant.version, lease: answer.grant }
      }
      yield* store.release(answer.grant)
      return { version: answer.grant.version, lease: undefined }
    }
    seen ??= answer
    yield* Effect.sleep(heldPoll)
  }
  return yield* new ProviderError({
    class: "transient",
    code: codeOf.transient,
    message: "another process holds this grant and does not finish",
    notSent: true,
  })
})

const pausedError = (millis: number) =>
  new ProviderError({
    class: "throttled",
    code: codeOf.throttled,
    message: "the provider asked us to wait; tried again after the pause",
    retryAfterMillis: millis,
    notSent: true,
  })

/** The failure of a redemption; a defect of a provider module counts as a passing fault, so that no grant suffers for it. */
const failureOf = (exit: Exit.Failure<Redemption, RedemptionFailure>): Effect.Effect<RedemptionFailure> => {
  const failed = exit.cause.reasons.find((reason) => reason._tag === "Fail")
  return failed !== undefined
    ? Effect.succeed(failed.error)
    : Effect.as(Effect.logError("a redemption ended unexpectedly"), {
      error: new ProviderError({
        class: "transient",
        code: codeOf.transient,
        message: "the redemption ended unexpectedly",
      }),
    })
}
