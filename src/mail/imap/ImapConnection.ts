/** The one connection that a mailbox is read over: opened when first needed, paced, and opened again when it was lost. */
import { Effect, Redacted, Result, Scope, Semaphore } from "effect"
import { resourceOf } from "../../domain/Account.ts"
import type { ProviderError } from "../../domain/ProviderError.ts"
import { Settings } from "../../domain/Settings.ts"
import { type AccessToken, Tokens } from "../../oauth/Tokens.ts"
import { ConnectionLimiter } from "../../pacing/ConnectionLimiter.ts"
import { mailboxKey, Throttle } from "../../pacing/Throttle.ts"
import { imapError, type ImapRefusal, isRefusal } from "./ImapErrors.ts"
import { type ImapLogin, type ImapSession, openSession } from "./ImapSession.ts"
import { ImapTransport } from "./ImapTransport.ts"
import type { MailAccount } from "../Mailbox.ts"

/** A shorter pause is waited out in place; for a longer one the account gives its turn to others. */
const longestPause = 10_000

/** Pauses in a row that one piece of work waits out in place. */
const pauses = 3

/** What of a connection can be set. */
export type ImapOptions = Pick<ImapLogin, "maxIdle" | "socketTimeout">

export interface ImapServices {
  readonly tokens: Tokens["Service"]
  readonly throttle: Throttle["Service"]
  readonly limiter: ConnectionLimiter["Service"]
  readonly transport: ImapTransport["Service"]
  readonly settings: Pick<Settings["Service"], "gmailImap" | "outlookImap">
}

export const imapServices: Effect.Effect<
  ImapServices,
  never,
  Tokens | Throttle | ConnectionLimiter | ImapTransport | Settings
> = Effect.all({
  tokens: Tokens,
  throttle: Throttle,
  limiter: ConnectionLimiter,
  transport: ImapTransport,
  settings: Settings,
})

export interface ImapConnection {
  /**
   * Does a piece of work with the connection to itself. Where the connection is lost on the way, the work is begun again, once,
   * over a new one with a fresh token: so it must bear that, as reading does.
   */
  readonly use: <A, E>(
    work: (session: ImapSession) => Effect.Effect<A, E | ImapRefusal>,
  ) => Effect.Effect<A, E | ImapRefusal | ProviderError>
  /** The same for as long as the scope lives; what is lost on the way is not begun again. */
  readonly session: Effect.Effect<ImapSession, ImapRefusal | ProviderError, Scope.Scope>
}

/**
 * Connects with a valid access token. One that is refused is replaced once; that a fresh one is refused too is no proof that the
 * grant is dead (provider-facts E2).
 */
export const signIn = Effect.fn("Imap.signIn")(function* (
  { settings, tokens, transport }: ImapServices,
  account: MailAccount,
  options: ImapOptions,
) {
  const resource = resourceOf(account.provider, "imap")
  const connect = ({ token }: AccessToken) =>
    openSession({
      transport,
      url: account.provider === "google" ? settings.gmailImap : settings.outlookImap,
      user: account.email,
      accessToken: token,
      ...options,
    })
  const held = yield* tokens.accessToken(account.grantId, resource)
  return yield* connect(held).pipe(
    Effect.catchIf(({ reason }) => reason === "authentication", () =>
      Effect.gen(function* () {
        // Another mailbox that is read by the same grant may have replaced it by now.
        const cached = yield* tokens.accessToken(account.grantId, resource)
        const isSame = Redacted.value(cached.token) === Redacted.value(held.token)
        return yield* connect(isSame ? yield* tokens.refresh(account.grantId, resource) : cached)
      })),
  )
})

/** The connection and its share of the mailbox's connections end with the scope. */
export const makeConnection = Effect.fnUntraced(function* (
  services: ImapServices,
  account: MailAccount,
  options: ImapOptions,
) {
  const { limiter, throttle } = services
  const key = mailboxKey(account.clientId, account.id)
  const scope = yield* Effect.scope
  const turn = Semaphore.makeUnsafe(1)
  let taken = false
  let session: ImapSession | undefined
  yield* Effect.addFinalizer(() => session === undefined ? Effect.void : session.close)

  /** Waits while the mailbox is paused. */
  const gate = Effect.gen(function* () {
    while (true) {
      const millis = yield* throttle.remaining(key)
      if (millis <= 0) return
      if (millis > longestPause) return yield* imapError("throttled", { retryAfterMillis: millis, notSent: true })
      yield* Effect.sleep(millis)
    }
  })

  const ensure = Effect.gen(function* () {
    yield* gate
    if (session?.isOpen() === true) return session
    if (!taken) {
      yield* limiter.take(key).pipe(Scope.provide(scope))
      taken = true
    }
    return session = yield* signIn(services, account, options)
  })

  /** Sets the pause that a throttled answer asks for, and tells how long it is. */
  const pause = Effect.fnUntraced(function* ({ error }: ImapRefusal) {
    const millis = error.retryAfterMillis ?? (yield* throttle.backoff(key))
    yield* throttle.pause(key, millis)
    return millis
  })

  const use = <A, E>(work: (session: ImapSession) => Effect.Effect<A, E | ImapRefusal>) =>
    turn.withPermit(Effect.gen(function* () {
      let again = true
      for (let paused = 0;;) {
        const done = yield* Effect.result(Effect.flatMap(ensure, work))
        if (Result.isSuccess(done)) {
          yield* throttle.succeeded(key)
          return done.success
        }
        const failure: E | ImapRefusal | ProviderError = done.failure
        if (!isRefusal(failure)) return yield* Effect.fail(failure)
        if (failure.error.class === "throttled") {
          const millis = yield* pause(failure)
          if (millis > longestPause || ++paused > pauses) return yield* failure.error.retryAfter(millis)
        } else if (failure.reason === "lost" && again) {
          again = false
        } else {
          return yield* failure
        }
      }
    }))

  return {
    use,
    session: Effect.gen(function* () {
      yield* Effect.acquireRelease(turn.take(1), () => turn.release(1), { interruptible: true })
      return yield* ensure
    }),
  } satisfies ImapConnection
})
