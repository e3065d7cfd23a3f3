/** Sends one message to one webhook, signed, and says what came of it. */
import { Clock, Context, Duration, Effect, Layer, Option, Redacted } from "effect"
import { Buffer } from "node:buffer"
import http from "node:http"
import https from "node:https"
import { Webhook as Signer } from "standardwebhooks"
import { parseRetryAfter } from "../../domain/ProviderError.ts"
import { Settings } from "../../domain/Settings.ts"
import type { DeliveryOutcome } from "../../domain/Webhook.ts"
import { hostOf, WebhookAddress } from "./WebhookAddress.ts"

export interface WebhookTarget {
  readonly url: string
  /** What signs: one, or while a rotation overlaps two. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

export interface WebhookMessage {
  /** The same in each attempt. */
  readonly id: string
  /** JSON. */
  readonly body: string
}

export interface SendOutcome extends DeliveryOutcome {
  /** The receiver will never take anything again (410). */
  readonly gone: boolean
  /** What the receiver asked for (429, 503). */
  readonly retryAfter: Option.Option<Duration.Duration>
}

/** Of an answer nothing but the status matters. So much of its body is read that the connection can be used again. */
const mostBodyBytes = 16_384
const bodyMillis = 1_000

/** Shorter than the 5 s after which Node's servers hang up: a connection is not to end just when it is used again. */
const idleMillis = 4_000

/** Nobody means a longer wait. */
const longestWait = Duration.days(1)

interface Answer {
  readonly status: number
  readonly retryAfter: string | undefined
  readonly date: string | undefined
}

export class WebhookSender extends Context.Service<WebhookSender, {
  /** Never fails: a receiver that cannot be reached is an outcome. */
  readonly send: (target: WebhookTarget, message: WebhookMessage) => Effect.Effect<SendOutcome>
}>()("mailfleet/programs/WebhookSender") {
  static readonly layer: Layer.Layer<WebhookSender, never, Settings | WebhookAddress> = Layer.effect(
    WebhookSender,
    Effect.gen(function* () {
      const { webhookTimeout } = yield* Settings
      const { resolve } = yield* WebhookAddress
      const agents = yield* Effect.acquireRelease(
        Effect.sync(() => ({
          "http:": new http.Agent({ keepAlive: true, timeout: idleMillis }),
          "https:": new https.Agent({ keepAlive: true, timeout: idleMillis }),
        })),
        (agents) => Effect.sync(() => Object.values(agents).forEach((agent) => agent.destroy())),
      )

      /** To the address and no other; host, server name and the name in the certificate are those of the URL. */
      const post = (url: URL, address: string, headers: Record<string, string>, body: string) =>
        Effect.callback<Answer, Error>((resume) => {
          const isSecure = url.protocol === "https:"
          const options: https.RequestOptions = {
            method: "POST",
            host: address,
            port: url.port === "" ? (isSecure ? 443 : 80) : Number(url.port),
            path: `${url.pathname}${url.search}`,
            headers: { ...headers, host: url.host },
            ...(isSecure ? { agent: agents["https:"], servername: hostOf(url) } : { agent: agents["http:"] }),
          }
          const request = (isSecure ? https : http).request(options, (response) => {
            let bytes = 0
            response.on("data", (chunk: Uint8Array) => {
              bytes += chunk.length
              if (bytes > mostBodyBytes) response.destroy()
            })
            const patience = setTimeout(() => response.destroy(), bodyMillis)
            response.on("close", () => clearTimeout(patience))
            // The status is all that was waited for.
            response.on("error", () => {})
            const { date, "retry-after": retryAfter } = response.headers
            resume(Effect.succeed({ status: response.statusCode ?? 0, retryAfter, date }))
          })
          request.on("error", (error) => resume(Effect.fail(error)))
          request.end(body)
          return Effect.sync(() => request.destroy())
        })

      /** A name may have addresses that cannot be reached from here: of another IP version, or of a machine that is down. */
      const postToFirst = (
        url: URL,
        addresses: ReadonlyArray<string>,
        headers: Record<string, string>,
        body: string,
      ) => {
        const [first = "", ...others] = addresses
        return others.reduce(
          (attempt, address) => Effect.catchIf(attempt, isUnreachable, () => post(url, address, headers, body)),
          post(url, first, headers, body),
        )
      }

      const attempt = Effect.fnUntraced(function* (target: WebhookTarget, message: WebhookMessage) {
        const url = new URL(target.url)
        const addresses = yield* resolve(url)
        const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
        const headers = {
          "content-type": "application/json",
          "content-length": String(Buffer.byteLength(message.body)),
          "user-agent": "Mailfleet",
          "webhook-id": message.id,
          "webhook-timestamp": String(seconds),
          "webhook-signature": target.secrets.map((secret) =>
            new Signer(Redacted.value(secret)).sign(message.id, new Date(seconds * 1_000), message.body)
          ).join(" "),
        }
        return yield* postToFirst(url, addresses, headers, message.body)
      })

      const send = Effect.fn("WebhookSender.send")(
        function* (target: WebhookTarget, message: WebhookMessage): Effect.fn.Return<SendOutcome> {
          const clock = yield* Clock.Clock
          const [took, outcome] = yield* attempt(target, message).pipe(
            Effect.timeoutOption(webhookTimeout),
            Effect.map(Option.match({
              onNone: () => failed(null, `no answer within ${Duration.format(webhookTimeout)}`),
              onSome: (answer) => outcomeOf(answer, clock.currentTimeMillisUnsafe()),
            })),
            Effect.catch((error) => Effect.succeed(failed(null, reasonOf(error)))),
            Effect.timed,
          )
          return { ...outcome, milliseconds: Math.round(Duration.toMillis(took)) }
        },
      )

      return WebhookSender.of({ send })
    }),
  )
}

const failed = (status: number | null, error: string) => ({
  delivered: false,
  status,
  error,
  gone: false,
  retryAfter: Option.none<Duration.Duration>(),
})

const outcomeOf = (answer: Answer, nowMillis: number) => {
  const { status } = answer
  if (status >= 200 && status < 300) return { ...failed(status, ""), delivered: true, error: null }
  if (status === 410) return { ...failed(status, "the receiver is gone: it answered 410"), gone: true }
  if (status >= 300 && status < 400) return failed(status, `it answered ${status}: redirects are not followed`)
  const wait = status === 429 || status === 503 ? waitOf(answer, nowMillis) : Option.none()
  return { ...failed(status, `it answered ${status}`), retryAfter: wait }
}

const waitOf = ({ date, retryAfter }: Answer, nowMillis: number): Option.Option<Duration.Duration> =>
  Option.map(
    Option.fromUndefinedOr(parseRetryAfter(retryAfter, date, nowMillis)),
    (millis) => Duration.min(Duration.millis(millis), longestWait),
  )

const codeOf = (error: unknown): string | undefined =>
  typeof error === "object" && error !== null && "code" in error ? String(error.code) : undefined

const isUnreachable = (error: Error): boolean =>
  ["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EADDRNOTAVAIL", "ETIMEDOUT"].includes(codeOf(error) ?? "")

const reasons: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nobody listens there",
  ECONNRESET: "it hung up without an answer",
  EPIPE: "it hung up without an answer",
  EHOSTUNREACH: "there is no way to its address",
  ENETUNREACH: "there is no way to its address",
  ERR_TLS_CERT_ALTNAME_INVALID: "its certificate is of another name",
  CERT_HAS_EXPIRED: "its certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is of an authority that is not trusted",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is of an authority that is not trusted",
}

/** In words of ours: those of the network may repeat what the receiver sent. */
const reasonOf = (error: Error): string => {
  if ("_tag" in error && error._tag === "WebhookRefused") return error.message
  const code = codeOf(error)
  return code === undefined ? "it did not answer in HTTP" : reasons[code] ?? `it cannot be reached (${code})`
}
