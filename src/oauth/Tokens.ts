/** A valid access token of a grant, refreshed by exactly one. */
import {
  Cause,
  Context,
  type DateTime,
  Deferred,
  Duration,
  Effect,
  Layer,
  Metric,
  Option,
  Random,
  type Redacted,
  Result,
} from "effect"
import type { Resource } from "../domain/Account.ts"
import type { AppName } from "../domain/App.ts"
import { codeOf, type FailureClass } from "../domain/FailureClass.ts"
import type { GrantId } from "../domain/Ids.ts"
import { monotonicMillis } from "../domain/Monotonic.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { Settings } from "../domain/Settings.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { ReauthSpike } from "../pacing/ReauthSpike.ts"
import { Throttle, tokenKeys } from "../pacing/Throttle.ts"
import { TokenRate } from "../pacing/TokenRate.ts"
import { makeBatches } from "../pacing/Batches.ts"
import { chooseChannel, isProbed, isUndecided, undecidedSeconds } from "./ChannelProbe.ts"
import {
  type GrantLease,
  GrantStore,
  type LeaseAnswer,
  type LeasedGrant,
  type Settlement,
  type StoredFailure,
} from "./GrantStore.ts"
import { OAuthProvider, type Redemption, type RedemptionFailure } from "./OAuthProvider.ts"
import {
  held,
  isConfirmed,
  isConfirmedOfRestored,
  isPassing,
  keepAliveSeconds,
  type Verdict,
  verdict,
  warmSeconds,
} from "./RefreshPolicy.ts"
import { makeWriter } from "./SettlementWriter.ts"
import { spanned } from "./spanned.ts"
import { tokenTimeout } from "./TokenEndpoint.ts"

/** A valid access token. */
export interface AccessToken {
  /** The bearer token itself. */
  readonly token: Redacted.Redacted
  /** What it opens. */
  readonly resource: Resource
  /** When the provider stops taking it. */
  readonly expiresAt: DateTime.Utc
}

/** What spares a redemption: nothing, unless it says so. */
interface Enough {
  /** A cached access token that stays valid so long. */
  readonly minValiditySeconds?: number
  /** A redemption since then, in milliseconds of the database's clock. */
  readonly since?: number
}

type Answer = Result.Result<Redemption, RedemptionFailure>

/** How often a process that lost the race looks whether the winner is done. */
const heldPoll = Duration.millis(100)
/** Longer than a lease: whoever waits so long has seen the winner crash and its lease end. */
const heldAtMost = 300

/** What a redemption takes at most, in milliseconds, with some seconds for clocks that do not run alike. */
const longestRedemption = Duration.toMillis(tokenTimeout) + 2_000

const redemptions = Metric.counter("mailfleet_redemptions_total", {
  description: "Refresh tokens redeemed, by what the provider answered",
  incremental: true,
})
const counters = new Map<string, Metric.Metric<number, unknown>>()
const count = (outcome: string) => {
  let counter = counters.get(outcome)
  if (counter === undefined) counters.set(outcome, counter = Metric.withAttributes(redemptions, { outcome }))
  return Metric.update(counter, 1)
}

const takeovers = Metric.counter("mailfleet_lease_takeovers_total", {
  description: "Leases taken from a holder that let them run out, as after a crash",
  incremental: true,
})

export class Tokens extends Context.Service<Tokens, {
  /**
   * A token that stays valid for `minValidity` (default 2 minutes): from the cache, else by a refresh. Where that refresh
   * fails, a token that is still valid at all is served; so is one that was issued within the last minute, since a newer one
   * would live no longer. A grant that was refused within the last two minutes is not tried again: its refusal is repeated.
   */
  readonly accessToken: (
    grantId: GrantId,
    resource: Resource,
    options?: { readonly minValidity?: Duration.Input },
  ) => Effect.Effect<AccessToken, ProviderError>
  /**
   * Redeems the grant even where a cached access token is fresh. Joins a refresh that is under way. Whoever knows the app names
   * it: then a pause is seen without asking the database.
   */
  readonly refresh: (grantId: GrantId, resource: Resource, app?: AppName) => Effect.Effect<AccessToken, ProviderError>
  /**
   * The same, unless the grant was redeemed since then: once for all accounts of a grant that has many.
   *
   * @param since milliseconds of the database's clock
   */
  readonly refreshSince: (
    grantId: GrantId,
    resource: Resource,
    app: AppName,
    since: number,
  ) => Effect.Effect<void, ProviderError>
}>()("mailfleet/oauth/Tokens") {
  static readonly layer: Layer.Layer<
    Tokens,
    never,
    GrantStore | OAuthProvider | Throttle | TokenRate | AppBreaker | ReauthSpike | Settings
  > = Layer.effect(
    Tokens,
    Effect.gen(function* () {
      const store = yield* GrantStore
      const provider = yield* OAuthProvider
      const throttle = yield* Throttle
      const rate = yield* TokenRate
      const breaker = yield* AppBreaker
      const spike = yield* ReauthSpike
      const settings = yield* Settings
      const scope = yield* Effect.scope
      // Before any redemption in the order of the scope: so they end after the last of them.
      const lease = yield* makeBatches(store.lease, (_id, cause) => Effect.failCause(cause))
      const commit = yield* makeWriter(store)
      const inFlight = new Map<
        GrantId,
        { readonly resource: Resource; readonly answer: Deferred.Deferred<AccessToken, ProviderError> }
      >()
      const refreshEvery = Duration.toSeconds(settings.refreshEvery)
      const warmMargin = Duration.toSeconds(settings.warmMargin)

      const cached = (grantId: GrantId, resource: Resource, minValiditySeconds: number) =>
        Effect.map(
          store.accessToken(grantId, resource, minValiditySeconds),
          Option.map(({ token, expiresAt }): AccessToken => ({ token, resource, expiresAt })),
        )

      const settlementOf = Effect.fnUntraced(function* (
        grant: GrantLease & Partial<LeasedGrant>,
        resource: Resource,
        answer: Answer,
      ) {
        const jitter = yield* Random.next
        const redeemedBefore = grant.redeemedAt !== undefined
        if (Result.isSuccess(answer)) {
          const { accessToken, expiresIn, refreshToken } = answer.success
          if (redeemedBefore) yield* spike.redeemed
          return {
            _tag: "Redeemed",
            grant,
            resource,
            accessToken,
            expiresInSeconds: expiresIn,
            refreshToken,
            dueInSeconds: {
              keepAlive: keepAliveSeconds(
                refreshEvery,
                { redeemedBefore, dueInSeconds: grant.dueInSeconds },
                jitter,
              ),
              warm: warmSeconds(expiresIn, warmMargin, jitter),
            },
          } satisfies Settlement
        }
        const { error, refreshToken } = answer.failure
        const undecided = isUndecided({ channelOpen: false, refreshToken: undefined, ...grant }, resource, error)
        const before = grant.failureClass
        // A fault that passes leaves what is known of the grant: a refusal under confirmation goes on being confirmed.
        const recorded = !undecided && (before === undefined || isPassing(before) || !isPassing(error.class))
        const same = before === error.class
        // One that is not counted waits as after many.
        const failures = !recorded ? Infinity : same ? grant.failures + 1 : 1
        const failingSeconds = same ? grant.failingSeconds : 0
        const usual = verdict(error, failures, failingSeconds, jitter)
        // A grant that never worked here has nothing to do with what happens to the others.
        const doubtful = usual.status === "needs_reauth" &&
          (grant.restored
            ? !isConfirmedOfRestored(failures, failingSeconds)
            : redeemedBefore && !isConfirmed(failures, failingSeconds) &&
              (failures === 1 ? !(yield* spike.refused(grant.id)) : yield* spike.suspected))
        const chosen: Verdict = undecided
          ? { status: undefined, attemptInSeconds: undecidedSeconds, movesDue: false }
          : doubtful
          ? held(failures, jitter)
          : usual
        return {
          _tag: "Failed",
          grant,
          resource,
          class: error.class,
          code: error.providerCode ?? error.code,
          message: error.message,
          traceId: error.traceId,
          correlationId: error.correlationId,
          refreshToken,
          recorded,
          ...chosen,
        } satisfies Settlement
      })

      const failWhilePaused = (app: AppName, grantId: GrantId) => {
        const keys = tokenKeys(app, grantId)
        return Effect.flatMap(
          throttle.remaining(keys.app, keys.tenant, keys.grant),
          (millis) => millis > 0 ? pausedError(millis) : Effect.void,
        )
      }

      /** A throttled answer pauses what it reaches; where it names no time, our own backoff does. */
      const pace = Effect.fnUntraced(function* (grant: LeasedGrant, answer: Answer): Effect.fn.Return<Answer> {
        const keys = tokenKeys(grant.app, grant.id)
        if (Result.isSuccess(answer)) {
          yield* throttle.succeeded(keys.app)
          return answer
        }
        const { error, reach = "app" } = answer.failure
        if (error.class !== "throttled") return answer
        // Of many requests that were under way together, only the first refusal counts for the backoff.
        const paused = yield* throttle.remaining(keys[reach])
        const millis = error.retryAfterMillis ?? (paused > 0 ? paused : yield* throttle.backoff(keys[reach]))
        yield* throttle.pause(keys[reach], millis)
        return Result.fail({ ...answer.failure, error: error.retryAfter(millis) })
      })

      const settle = Effect.fnUntraced(function* (grant: GrantLease, resource: Resource, answer: Answer) {
        return { answer, settled: yield* commit(yield* settlementOf(grant, resource, answer)) }
      })

      const redeem = Effect.fnUntraced(function* (grant: LeasedGrant, resource: Resource) {
        yield* Effect.tapError(failWhilePaused(grant.app, grant.id), () => store.release(grant))
        const { app, refreshToken, subject } = grant
        const asked = refreshToken === undefined
          ? provider.obtain({ app, subject, resource })
          : provider.redeem({ app, refreshToken, resource })
        const answer = yield* asked.pipe(
          breaker.guard({ ...app, resource }),
          Effect.matchCauseEffect({
            onFailure: (cause) => Effect.map(failureOf(cause), Result.fail),
            onSuccess: (redemption) => Effect.succeed(Result.succeed(redemption)),
          }),
          Effect.flatMap((answer) => pace(grant, answer)),
        )
        const refused = Result.isFailure(answer) ? answer.failure.error : undefined
        if (refused?.notSent === true) {
          yield* store.release(grant)
          // A new account is not left waiting for half a period because its app was refused when it came.
          if (grant.redeemedAt === undefined) {
            yield* store.postpone(grant.id, (refused.retryAfterMillis ?? 60_000) / 1_000)
          }
          return { answer, settled: { applied: true, expiresAt: undefined } }
        }
        yield* count(refused?.class ?? "ok")
        return yield* settle(grant, resource, answer)
      })

      /** Nothing interrupts it from the lease to the commit: what the provider rotated must be stored. */
      const refreshOnce: (
        grantId: GrantId,
        resource: Resource,
        enough: Enough,
      ) => Effect.Effect<AccessToken, ProviderError> = Effect.fnUntraced(
        function* (grantId, resource, enough) {
          if (rate.limited) {
            const app = yield* store.app(grantId)
            if (Option.isSome(app)) yield* Effect.interruptible(rate.wait(tokenKeys(app.value, grantId).app))
          }
          const leased = yield* takeLease(lease, store, grantId)
          if (leased === undefined) {
            const token = yield* cached(grantId, resource, 0)
            if (Option.isSome(token)) return token.value
            // The winner redeemed for another resource, or failed: our own turn.
            return yield* refreshOnce(grantId, resource, enough)
          }
          const { grant } = leased
          if (enough.minValiditySeconds !== undefined || (grant.redeemedAt ?? 0) >= (enough.since ?? Infinity)) {
            // A redemption that ended since the caller looked.
            const token = yield* cached(grantId, resource, enough.minValiditySeconds ?? 0)
            if (Option.isSome(token)) return yield* Effect.as(store.release(grant), token.value)
          }
          if (leased._tag === "Leased" && grant.leasedUntil - (yield* monotonicMillis) < longestRedemption) {
            // The answer of the database was long on its way, or this process stood still: another one may be at it by now.
            yield* Effect.logInfo("a lease came too late to redeem under it; another is taken", { grantId })
            yield* store.release(grant)
            return yield* refreshOnce(grantId, resource, enough)
          }
          const { answer, settled } = leased._tag === "Leased"
            ? yield* redeem(leased.grant, resource)
            : yield* settle(grant, resource, Result.fail({ error: unreadable(leased) }))
          if (!settled.applied) {
            // Somebody else rotated meanwhile, or an import brought a new token: a lost race is not a dead grant.
            yield* Effect.logInfo("a redemption was overtaken", { grantId, version: grant.version })
            yield* store.release(grant)
            return yield* refreshOnce(grantId, resource, { minValiditySeconds: 0 })
          }
          if (leased._tag === "Leased" && isProbed(leased.grant, resource)) {
            const choice = yield* chooseChannel(store, grantId, answer, (other) => refreshOnce(grantId, other, {}))
            if (choice._tag === "Chosen" && choice.token !== undefined && Result.isFailure(answer)) return choice.token
            // What was held back while the other channel was tried is recorded as any other refusal.
            if (choice._tag === "Chosen" && Result.isFailure(answer)) return yield* refreshOnce(grantId, resource, {})
          }
          if (Result.isFailure(answer)) return yield* answer.failure.error
          return { token: answer.success.accessToken, resource, expiresAt: settled.expiresAt! }
        },
      )

      /**
       * Joins the refresh that is under way in this process, or starts one in our own scope, which no caller can cut.
       */
      const refresh: (
        grantId: GrantId,
        resource: Resource,
        enough?: Enough,
      ) => Effect.Effect<AccessToken, ProviderError> = (grantId, resource, enough = {}) =>
        Effect.suspend(() => {
          const flight = inFlight.get(grantId)
          if (flight !== undefined) {
            const joined = Deferred.await(flight.answer)
            return flight.resource === resource
              ? joined
              : Effect.andThen(Effect.exit(joined), refresh(grantId, resource, enough))
          }
          const answer = Deferred.makeUnsafe<AccessToken, ProviderError>()
          inFlight.set(grantId, { resource, answer })
          return refreshOnce(grantId, resource, enough).pipe(
            spanned("Tokens.refresh"),
            Effect.onExit((exit) => {
              inFlight.delete(grantId)
              return Deferred.done(answer, exit)
            }),
            Effect.exit,
            Effect.forkIn(scope, { startImmediately: true, uninterruptible: true }),
            Effect.andThen(Deferred.await(answer)),
          )
        })

      return Tokens.of({
        refresh: (grantId, resource, app) =>
          app === undefined
            ? refresh(grantId, resource)
            : Effect.andThen(failWhilePaused(app, grantId), refresh(grantId, resource)),
        refreshSince: Effect.fnUntraced(function* (grantId, resource, app, since) {
          if (yield* store.redeemedSince(grantId, since)) return
          yield* failWhilePaused(app, grantId)
          yield* refresh(grantId, resource, { since })
        }),
        accessToken: Effect.fn("Tokens.accessToken")(function* (grantId, resource, options) {
          const minValiditySeconds = Duration.toSeconds(options?.minValidity ?? "2 minutes")
          const fresh = yield* cached(grantId, resource, minValiditySeconds)
          if (Option.isSome(fresh)) return fresh.value
          const refused = yield* store.recentRefusal(grantId, resource)
          const newer = Option.isSome(refused)
            ? Effect.fail(refusedBefore(refused.value))
            : refresh(grantId, resource, { minValiditySeconds })
          return yield* newer.pipe(
            Effect.filterOrFail((token) => token.resource === resource, () => wrongChannel),
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
const takeLease = Effect.fnUntraced(function* (
  lease: (id: GrantId) => Effect.Effect<LeaseAnswer>,
  store: GrantStore["Service"],
  grantId: GrantId,
) {
  let seen: { readonly version: number; readonly redeemedAt: number | undefined } | undefined
  for (let polls = 0; polls < heldAtMost; polls++) {
    const answer = yield* lease(grantId)
    switch (answer._tag) {
      case "Leased":
      case "Unreadable": {
        const { grant } = answer
        if (answer._tag === "Leased" && answer.takenOver) yield* Metric.update(takeovers, 1)
        // The version tells a rotation, or an import; the time a redemption by which the provider did not rotate.
        if (seen === undefined || (grant.version === seen.version && grant.redeemedAt === seen.redeemedAt)) {
          return answer
        }
        yield* store.release(grant)
        return undefined
      }
      case "Missing":
        return yield* notSent("unknown", "grant_not_found", "the grant is not there any more")
      case "Disabled":
        return yield* notSent("unknown", "account_disabled", "the account is disabled: set its status to active first")
    }
    seen ??= answer
    yield* Effect.interruptible(Effect.sleep(heldPoll))
  }
  return yield* notSent("transient", codeOf.transient, "another process holds this grant and does not finish")
})

const notSent = (failureClass: FailureClass, code: string, message: string) =>
  new ProviderError({ class: failureClass, code, message, notSent: true })

/** The grant has turned out to open the mailbox through its other channel only. */
const wrongChannel = new ProviderError({
  class: "scope",
  code: codeOf.scope,
  message: "the permission to read mail through Graph is not granted; the account is read over IMAP",
})

const pausedError = (millis: number) =>
  new ProviderError({
    class: "throttled",
    code: codeOf.throttled,
    message: "the provider asked us to wait; tried again after the pause",
    retryAfterMillis: millis,
    notSent: true,
  })

const refusedBefore = ({ class: failureClass, code, correlationId, message, traceId }: StoredFailure) =>
  new ProviderError({
    class: failureClass,
    code: codeOf[failureClass],
    message,
    ...(code === codeOf[failureClass] ? {} : { providerCode: code }),
    ...(traceId === null ? {} : { traceId }),
    ...(correlationId === null ? {} : { correlationId }),
    notSent: true,
  })

/** Not `notSent`: what becomes of the grant is settled, as after an answer. */
const unreadable = ({ code, message }: Extract<LeaseAnswer, { readonly _tag: "Unreadable" }>) =>
  new ProviderError({ class: "unknown", code, message })

/** A defect of a provider module counts as a passing fault, so that no grant suffers for it. */
const failureOf = (cause: Cause.Cause<RedemptionFailure>): Effect.Effect<RedemptionFailure> =>
  Option.match(Cause.findErrorOption(cause), {
    onSome: Effect.succeed,
    onNone: () =>
      Effect.as(Effect.logError("a redemption ended unexpectedly"), {
        error: new ProviderError({
          class: "transient",
          code: codeOf.transient,
          message: "the redemption ended unexpectedly",
        }),
      }),
  })
