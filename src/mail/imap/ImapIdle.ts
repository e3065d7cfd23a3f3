/** News of a mailbox: IDLE on its inbox, over a connection of its own. */
import { type Cause, Context, Effect, Layer, Queue, Random, Result, Stream } from "effect"
import type { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { ConnectionLimiter } from "../../pacing/ConnectionLimiter.ts"
import { mailboxKey, type Throttle } from "../../pacing/Throttle.ts"
import { imapServices, signIn } from "./ImapConnection.ts"
import { isRefusal } from "./ImapErrors.ts"
import type { ImapTransport } from "./ImapTransport.ts"
import type { MailAccount } from "../Mailbox.ts"

/**
 * Longest stay in one IDLE. Servers may end one of 30 minutes, so 29 is the most (RFC 2177); routers that translate addresses
 * forget a silent connection sooner, some after 10.
 */
const maxIdleMinutes = 9

/** Milliseconds in which the server must answer. */
const patience = 60_000

/** Milliseconds until the first failure in a row is tried again; doubles from there. */
const firstRetry = 2_000
const longestRetry = 300_000

export class ImapIdle extends Context.Service<ImapIdle, {
  /**
   * An element whenever something may have changed in the inbox: at first, at each reconnection, and at news. Where the server
   * has no IDLE it is asked every 2 minutes. Reconnects by itself; fails where waiting does not help.
   */
  readonly watch: (account: MailAccount) => Stream.Stream<void, ProviderError>
}>()("mailfleet/mail/ImapIdle") {
  static readonly layerWith = (options: {
    /** Longest stay in one IDLE, in milliseconds. */
    readonly maxIdle: number
  }): Layer.Layer<ImapIdle, never, Tokens | Throttle | ConnectionLimiter | ImapTransport | Settings> =>
    Layer.effect(
      ImapIdle,
      Effect.gen(function* () {
        const services = yield* imapServices
        const { limiter, throttle } = services

        /** One connection, until it ends. */
        const session = Effect.fn("ImapIdle.session")(function* (
          account: MailAccount,
          news: Queue.Queue<void, ProviderError | Cause.Done>,
          connected: () => void,
        ) {
          const key = mailboxKey(account.clientId, account.id)
          const pause = yield* throttle.remaining(key)
          if (pause > 0) yield* Effect.sleep(pause)
          yield* limiter.take(key)
          // Silence is what IDLE is: a connection is given up when leaving the IDLE is not answered.
          const open = yield* signIn(services, account, { ...options, socketTimeout: options.maxIdle + patience })
          yield* Effect.addFinalizer(() => open.close)
          yield* open.examine("INBOX")
          const tell = () => void Queue.offerUnsafe(news, undefined)
          for (const event of ["exists", "expunge", "flags"] as const) open.client.on(event, tell)
          connected()
          tell()
          // Ends with the connection, or when the server ends the IDLE: then it is begun again.
          while (open.isOpen()) yield* open.run((client) => client.idle())
        }, Effect.scoped)

        return ImapIdle.of({
          watch: (account) =>
            Stream.callback<void, ProviderError>((news) =>
              Effect.gen(function* () {
                let failures = 0
                while (true) {
                  const ended = yield* Effect.result(session(account, news, () => failures = 0))
                  const error = Result.isSuccess(ended)
                    ? undefined
                    : isRefusal(ended.failure)
                    ? ended.failure.error
                    : ended.failure
                  if (error !== undefined && !error.retryable) return yield* Queue.fail(news, error)
                  const wait = Math.min(firstRetry * 2 ** failures++, longestRetry)
                  yield* Effect.sleep(
                    Math.max(error?.retryAfterMillis ?? 0, yield* Random.nextIntBetween(wait / 2, wait)),
                  )
                }
              }), { bufferSize: 1, strategy: "sliding" }),
        })
      }),
    )

  static readonly layer = ImapIdle.layerWith({ maxIdle: maxIdleMinutes * 60_000 })
}
