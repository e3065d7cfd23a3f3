/** Receivers of webhooks that verify what they are sent, and processes that send. */
import { Effect, Layer, Option, Redacted, type Scope } from "effect"
import type { AddressInfo, Socket } from "node:net"
import http from "node:http"
import { Webhook as Verifier } from "standardwebhooks"
import { Settings, type SettingsValues } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { PublicUrl } from "../../src/programs/PublicUrl.ts"
import { ReconnectLinks } from "../../src/programs/ReconnectLinks.ts"
import { WebhookAddress } from "../../src/programs/webhooks/WebhookAddress.ts"
import { WebhookRequests } from "../../src/programs/webhooks/WebhookRequests.ts"
import { WebhookSender } from "../../src/programs/webhooks/WebhookSender.ts"
import { WebhookSession } from "../../src/programs/webhooks/WebhookSession.ts"
import * as WebhookSchedule from "../../src/schedules/Webhooks.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Reconnects } from "../../src/storage/grants/Reconnects.ts"
import { appendChanges, type NewChange } from "../../src/storage/mail/ChangeLog.ts"
import { WebhookOutbox } from "../../src/storage/webhooks/WebhookOutbox.ts"
import { Webhooks } from "../../src/storage/webhooks/Webhooks.ts"
import { eventually, type NotYet } from "./processes.ts"

/** What a receiver was sent. */
export interface Received {
  readonly id: string
  readonly type: string
  readonly timestamp: string
  // deno-lint-ignore no-explicit-any -- of each type another one
  readonly data: any
  /** Which of the secrets it is signed with. */
  readonly signedWith: ReadonlyArray<string>
  readonly answered: Answer
}

/** A status, with headers if wanted; or no answer at all. */
export type Answer =
  | number
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: string }
  | "hang"
  | "reset"
  /** Success, with a body that never ends. */
  | "endless"

export interface Receiver {
  readonly url: string
  readonly port: number
  /** All that came, refused ones included. */
  readonly received: Array<Received>
  /** Where each of these was sent. */
  readonly requests: Array<{ readonly host: string | undefined; readonly url: string | undefined }>
  /** What verifies; more than one while secrets are rotated. */
  readonly secrets: Array<string>
  /** How it answers. */
  answer: (message: Omit<Received, "answered">) => Answer
  /** It is not there any more; what is on its way breaks off. */
  readonly die: Effect.Effect<void>
  readonly live: Effect.Effect<void>
  /** Nobody is connected any more. */
  readonly quiet: Effect.Effect<unknown, NotYet>
}

const signedWith = (secrets: ReadonlyArray<string>, body: string, headers: http.IncomingHttpHeaders) =>
  secrets.filter((secret) => {
    try {
      new Verifier(secret).verify(body, headers as Record<string, string>)
      return true
    } catch {
      return false
    }
  })

/** Takes everything unless it is told otherwise. */
export const startReceiverAt = Effect.fnUntraced(function* (
  host: string,
): Effect.fn.Return<Receiver, never, Scope.Scope> {
  const received: Array<Received> = []
  const requests: Receiver["requests"] = []
  const secrets: Array<string> = []
  const sockets = new Set<Socket>()
  let answer: Receiver["answer"] = () => 200
  let server: http.Server | undefined

  const listener: http.RequestListener = (request, response) => {
    let body = ""
    request.setEncoding("utf8")
    request.on("data", (piece) => body += piece)
    request.on("end", () => {
      const { data, timestamp, type } = JSON.parse(body)
      const message = {
        id: String(request.headers["webhook-id"]),
        type,
        timestamp,
        data,
        signedWith: signedWith(secrets, body, request.headers),
      }
      const answered = answer(message)
      received.push({ ...message, answered })
      requests.push({ host: request.headers.host, url: request.url })
      if (answered === "hang") return
      if (answered === "reset") return void request.socket.destroy()
      if (answered === "endless") {
        const more = setInterval(() => response.write("more"), 10)
        return void response.on("close", () => clearInterval(more))
      }
      const { body: text = "", headers = {}, status } = typeof answered === "number" ? { status: answered } : answered
      response.writeHead(status, headers).end(text)
    })
  }
  const listen = (port: number) =>
    Effect.promise(() =>
      new Promise<number>((resolve) => {
        server = http.createServer(listener)
        server.on("connection", (socket) => {
          sockets.add(socket)
          socket.on("close", () => sockets.delete(socket))
        })
        server.listen(port, host, () => resolve((server!.address() as AddressInfo).port))
      })
    )
  const die = Effect.promise(() =>
    new Promise<void>((resolve) => {
      if (server === undefined) return resolve()
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
      server = undefined
    })
  )
  const port = yield* Effect.acquireRelease(listen(0), () => die)
  return {
    url: `http://${host}:${port}/hook`,
    port,
    received,
    requests,
    secrets,
    get answer() {
      return answer
    },
    set answer(next) {
      answer = next
    },
    die,
    live: Effect.asVoid(Effect.suspend(() => listen(port))),
    quiet: eventually("nobody is connected", Effect.sync(() => sockets.size), (open) => open === 0),
  }
})

/** On the loopback address. */
export const startReceiver = startReceiverAt("127.0.0.1")

/** Those that it took, each once. */
export const takenBy = ({ received }: Receiver): ReadonlyArray<Received> => {
  const seen = new Set<string>()
  return received.filter(({ answered, id }) => {
    const status = typeof answered === "object" ? answered.status : answered === "endless" ? 200 : answered
    if (typeof status !== "number" || status >= 300 || seen.has(id)) return false
    seen.add(id)
    return true
  })
}

export const encryptionKeys = Option.some(Redacted.make(`k1:${btoa("w".repeat(32))}`))

/** Settings that let tests send to themselves, and do not let them wait. */
export const webhookSettings = (overrides: Partial<SettingsValues> = {}) =>
  Settings.layerWith({ encryptionKeys, webhookAllowPrivate: true, ...overrides }).pipe(Layer.orDie)

const services = Layer.mergeAll(WebhookRequests.layer, WebhookSession.layer).pipe(
  Layer.provide(WebhookSender.layer),
  Layer.provide(WebhookAddress.layerSystem),
  Layer.provide(ReconnectLinks.layer.pipe(Layer.provide(PublicUrl.layer))),
  Layer.provide(Reconnects.layer.pipe(Layer.provide(Accounts.layer))),
  Layer.provideMerge(Layer.mergeAll(WebhookOutbox.layer, Webhooks.layer)),
  Layer.provide(Vault.layerConfigured),
  Layer.orDie,
)

export type WebhookServices = WebhookOutbox | WebhookRequests | Webhooks | WebhookSession

/** Requests and storage, without anybody who sends. */
export const webhookServices = (
  overrides: Partial<SettingsValues> = {},
): Layer.Layer<WebhookServices, never, Database> => Layer.provide(services, webhookSettings(overrides))

/** One process that sends, until the scope ends. */
export const startSending = (overrides: Partial<SettingsValues> = {}) =>
  Effect.asVoid(Layer.build(Layer.fresh(Layer.provide(WebhookSchedule.layer, webhookServices(overrides)))))

/** Makes a webhook at a receiver, which knows its secret. It goes with the scope. */
export const makeWebhook = Effect.fnUntraced(function* (
  receiver: Receiver,
  options: Partial<Parameters<WebhookRequests["Service"]["create"]>[0]> = {},
) {
  const requests = yield* WebhookRequests
  const webhooks = yield* Webhooks
  const { secret, webhook } = yield* Effect.acquireRelease(
    Effect.orDie(requests.create({ url: receiver.url, ...options })),
    ({ webhook }) => webhooks.remove(webhook.id),
  )
  receiver.secrets.push(Redacted.value(secret))
  return webhook
})

/** Writes to the change log, as a sync does. */
export const append = (changes: ReadonlyArray<NewChange>) =>
  Effect.flatMap(Database, (database) => orDie(database.sql.withTransaction(appendChanges(database, changes))))

/** Changes of an account that are told apart, and put in order, by their only field. */
export const numbered = (accountId: string, from: number, count: number): ReadonlyArray<NewChange> =>
  Array.from({ length: count }, (_, n) => ({
    accountId,
    kind: "message.updated" as const,
    origin: "live" as const,
    fields: [String(from + n)],
  }))

/** The numbers that arrived of an account, in the order in which they did, each once. */
export const numbersOf = (receiver: Receiver, accountId: string): ReadonlyArray<number> =>
  takenBy(receiver).filter(({ data }) => data.accountId === accountId && data.fields !== undefined)
    .map(({ data }) => Number(data.fields[0]))
