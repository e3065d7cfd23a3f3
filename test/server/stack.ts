/** The whole server over a real database. Only the edges are doubled: the token endpoint and the mailboxes. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option, Redacted, References, Schema, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { newId } from "../../src/domain/Ids.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { codeOf, type FailureClass } from "../../src/domain/FailureClass.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { TenantDirectory } from "../../src/mail/graph/TenantDirectory.ts"
import { MessageGone } from "../../src/mail/Mailbox.ts"
import { Mailboxes } from "../../src/mail/Mailboxes.ts"
import { GrantRequests } from "../../src/programs/GrantRequests.ts"
import { GrantAccounts } from "../../src/storage/grants/GrantAccounts.ts"
import { GrantCatalog } from "../../src/storage/grants/GrantCatalog.ts"
import { OAuthProvider } from "../../src/oauth/OAuthProvider.ts"
import { SignIn } from "../../src/oauth/SignIn.ts"
import { SignInDevice } from "../../src/oauth/SignInDevice.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { ReauthSpike } from "../../src/pacing/ReauthSpike.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { TokenRate } from "../../src/pacing/TokenRate.ts"
import { AccessTokens } from "../../src/programs/AccessTokens.ts"
import { AppRequests } from "../../src/programs/AppRequests.ts"
import { Attachments } from "../../src/programs/Attachments.ts"
import { Concurrency } from "../../src/programs/Concurrency.ts"
import { ConnectDevice } from "../../src/programs/ConnectDevice.ts"
import { Connect } from "../../src/programs/Connect.ts"
import * as OperatorEvents from "../../src/programs/OperatorEvents.ts"
import { PublicUrl } from "../../src/programs/PublicUrl.ts"
import { Reconnect } from "../../src/programs/Reconnect.ts"
import { ReconnectLinks } from "../../src/programs/ReconnectLinks.ts"
import { RotateEncryption } from "../../src/programs/RotateEncryption.ts"
import { RunRequests } from "../../src/programs/RunRequests.ts"
import { RunWorker } from "../../src/programs/RunWorker.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { WebhookAddress } from "../../src/programs/webhooks/WebhookAddress.ts"
import { WebhookRequests } from "../../src/programs/webhooks/WebhookRequests.ts"
import { WebhookSender } from "../../src/programs/webhooks/WebhookSender.ts"
import { makeHandler } from "../../src/server/Http.ts"
import { RemoteAddress } from "../../src/server/RateLimits.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import { Cluster } from "../../src/schedules/Cluster.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { AppOnlyGrants } from "../../src/storage/grants/AppOnlyGrants.ts"
import { Apps } from "../../src/storage/grants/Apps.ts"
import { ApiKeys } from "../../src/storage/ApiKeys.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { DashboardSessions } from "../../src/storage/DashboardSessions.ts"
import { DueStats } from "../../src/storage/grants/DueStats.ts"
import { ConnectSessions } from "../../src/storage/grants/ConnectSessions.ts"
import { Erasures } from "../../src/storage/Erasures.ts"
import { Events } from "../../src/storage/Events.ts"
import { layerDataKeys } from "../../src/storage/encryption/DataKeys.ts"
import { Rotations } from "../../src/storage/encryption/Rotations.ts"
import { layerGrantStore } from "../../src/storage/grants/Grants.ts"
import { ImportStaging } from "../../src/storage/runs/ImportStaging.ts"
import { Notifications } from "../../src/storage/mail/Notifications.ts"
import { Policies } from "../../src/storage/grants/Policies.ts"
import { Reattempts } from "../../src/storage/grants/Reattempts.ts"
import { Reconnects } from "../../src/storage/grants/Reconnects.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { SignedIn } from "../../src/storage/grants/SignedIn.ts"
import { Stats } from "../../src/storage/Stats.ts"
import { Subscriptions } from "../../src/storage/mail/Subscriptions.ts"
import { WebhookOutbox } from "../../src/storage/webhooks/WebhookOutbox.ts"
import { Webhooks } from "../../src/storage/webhooks/Webhooks.ts"
import { mailStorage } from "../support/mail.ts"

export const adminKey = "CANARY-admin-key"
export const metricsKey = "CANARY-metrics-key"

/** No answer and no log line may hold this; every secret of these tests does. */
const canary = "CANARY"

/** A refresh token that the provider answers with this class to. */
export const refreshToken = (outcome: FailureClass | "ok"): string => `CANARY.${outcome}.${newId()}`

const settings = Settings.layerWith({
  databaseUrl: Option.none(),
  adminKey: Option.some(Redacted.make(adminKey)),
  metricsKey: Option.some(Redacted.make(metricsKey)),
  encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
  gmailPushToken: Option.some(Redacted.make("CANARY-push-token")),
  schedules: false,
}).pipe(Layer.orDie)

const provider = Layer.succeed(OAuthProvider, {
  obtain: () => Effect.succeed({ accessToken: Redacted.make(`CANARY-access-${newId()}`), expiresIn: 3_600 }),
  redeem: ({ refreshToken }) => {
    const outcome = Redacted.value(refreshToken).split(".")[1]
    if (outcome === "ok") {
      return Effect.succeed({ accessToken: Redacted.make(`CANARY-access-${newId()}`), expiresIn: 3_600 })
    }
    const failureClass = outcome as FailureClass
    return Effect.fail({
      error: new ProviderError({
        class: failureClass,
        code: codeOf[failureClass],
        message: `the provider said ${failureClass}`,
        providerCode: "AADSTS0",
        traceId: "00000000-0000-0000-0000-000000000000",
        ...(failureClass === "throttled" ? { retryAfterMillis: 7_500 } : {}),
      }),
      ...(failureClass === "throttled" ? { reach: "grant" as const } : {}),
      ...(failureClass === "app" ? { reach: "app" as const } : {}),
    })
  },
})

/** Its second attachment has another id by now, and the third is gone. */
const lookedAtAgain = {
  text: null,
  html: null,
  bodyState: "complete" as const,
  bodyReason: null,
  attachments: ["a", "new"].map((remoteId) => ({
    remoteId,
    name: "Rechnung März.pdf",
    contentType: "application/pdf",
    size: null,
    inline: false,
    contentId: null,
  })),
}

const mailboxes = Layer.succeed(Mailboxes, {
  open: () =>
    Effect.succeed({
      concurrency: 4,
      folders: () => Effect.succeed([]),
      page: () => Effect.never,
      bodies: (_folder, ids) => Effect.succeed(new Map(ids.map((id) => [id, lookedAtAgain]))),
      attachment: (_folder, _message, id) =>
        id === "gone" || id === "old" ? Stream.fail(new MessageGone()) : id === "refused"
          ? Stream.fail(
            new ProviderError({ class: "throttled", code: codeOf.throttled, message: "the provider said throttled" }),
          )
          : Stream.make("content ", "of ", id).pipe(Stream.encodeText),
    }),
})

const directory = Layer.succeed(TenantDirectory, {
  isNext: () => false,
  page: () => Effect.succeed({ mailboxes: [], next: undefined }),
})

const lines: Array<string> = []

const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => {
  lines.push(line)
})])

/** All that was logged, debug lines included. */
export const logged = Effect.sync((): ReadonlyArray<string> => lines)

export class Server extends Context.Service<Server, {
  readonly handler: (request: Request, context?: Context.Context<never>) => Promise<Response>
}>()("test/Server") {
  static readonly layer = Layer.effect(Server, Effect.map(makeHandler, (handler) => ({ handler })))
}

const vault = Layer.provideMerge(Vault.layer, layerDataKeys)

const storage = Layer.mergeAll(
  Accounts.layer,
  AppOnlyGrants.layer,
  Apps.layer.pipe(Layer.provide(vault)),
  ApiKeys.layer,
  Audit.layer,
  DashboardSessions.layer.pipe(Layer.provide(vault)),
  DueStats.layer,
  Erasures.layer,
  Events.layer,
  GrantAccounts.layer,
  GrantCatalog.layer,
  Layer.mergeAll(ConnectSessions.layer, SignedIn.layer, Notifications.layer, Subscriptions.layer).pipe(
    Layer.provide(vault),
  ),
  Policies.layer,
  Reattempts.layer,
  Reconnects.layer.pipe(Layer.provide(Accounts.layer)),
  Runs.layer,
  WebhookOutbox.layer,
  Webhooks.layer.pipe(Layer.provide(vault)),
  mailStorage,
)

const tokens = Tokens.layer.pipe(Layer.provide([layerGrantStore.pipe(Layer.provide(vault)), provider]))

const pacing = Layer.mergeAll(
  AdaptiveConcurrency.layer,
  AppBreaker.layer,
  Cluster.layerAlone,
  ReauthSpike.layer,
  SyncPace.layer,
  Throttle.layer,
  TokenRate.layer,
)

const edges = Layer.mergeAll(
  AccessTokens.layer.pipe(Layer.provideMerge(tokens)),
  AppRequests.layer,
  GrantRequests.layer.pipe(Layer.provide(directory)),
  ReconnectLinks.layer.pipe(Layer.provideMerge(PublicUrl.layer), Layer.provide(vault)),
  OperatorEvents.layer,
  SyncAccount.layer.pipe(Layer.provide(mailboxes), Layer.provide(tokens)),
  Attachments.layer.pipe(Layer.provide(mailboxes)),
  Concurrency.layer,
  ImportStaging.layer.pipe(Layer.provide(vault)),
  RotateEncryption.layer.pipe(Layer.provide([vault, Rotations.layer])),
  WebhookRequests.layer.pipe(
    Layer.provide(WebhookSender.layer),
    Layer.provide(WebhookAddress.layerSystem),
    Layer.provide(vault),
  ),
).pipe(
  (services) =>
    Reconnect.layer.pipe(
      Layer.provideMerge(Connect.layer),
      Layer.provideMerge(ConnectDevice.layer),
      Layer.provide(Layer.merge(SignIn.layer, SignInDevice.layer)),
      Layer.provide(FetchHttpClient.layer),
      Layer.provideMerge(services),
    ),
  Layer.provideMerge(Stats.layer),
  Layer.provideMerge(pacing),
)

/** Nobody takes up runs: what becomes of them is the test's affair. */
const noRunWorker = Layer.succeed(RunWorker, { wake: () => Effect.void })

const serverWith = <R>(worker: Layer.Layer<RunWorker, never, R>) =>
  Server.layer.pipe(
    Layer.provideMerge(Shutdown.layer),
    Layer.provideMerge(RunRequests.layer),
    Layer.provideMerge(worker),
    Layer.provideMerge(edges),
    Layer.provideMerge(storage),
    Layer.provideMerge(settings),
    Layer.provideMerge(capture),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Debug")),
    Layer.orDie,
  )

export const server = serverWith(RunWorker.layer)

export const serverWithoutWorker = serverWith(noRunWorker)

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** The body as JSON; fails the test where it is none. */
  readonly json: unknown
}

export interface Call {
  readonly method?: string
  /** `null` = no key. */
  readonly key?: string | null
  readonly headers?: Record<string, string>
  readonly body?: BodyInit
  /** Sent as JSON. */
  readonly json?: unknown
  /** Set where the answer is meant to hold a secret. */
  readonly secret?: boolean
  /** The address that it comes from. */
  readonly from?: string
  readonly signal?: AbortSignal
}

const request = (path: string, call: Call): Request => {
  const { key = adminKey, method, headers, body, json, signal } = call
  const sent = json === undefined ? body : JSON.stringify(json)
  return new Request(`http://mailfleet.test${path}`, {
    method: method ?? (sent === undefined ? "GET" : "POST"),
    headers: {
      ...(key === null ? {} : { authorization: `Bearer ${key}` }),
      ...(json === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(sent === undefined ? {} : { body: sent }),
    ...(signal === undefined ? {} : { signal }),
  })
}

export const raw = (path: string, call: Call = {}) =>
  Effect.flatMap(
    Server,
    ({ handler }) =>
      Effect.promise(() => handler(request(path, call), Context.make(RemoteAddress, () => call.from ?? ""))),
  )

/** Calls the server. Every answer is searched for secrets, and every error is checked to be a problem. */
export const send = Effect.fnUntraced(function* (path: string, call: Call = {}) {
  const response = yield* raw(path, call)
  const text = yield* Effect.promise(() => response.text())
  if (call.secret !== true) assert.notInclude(text, canary)
  for (const [name, value] of response.headers) assert.notInclude(value, canary, name)
  assert.strictEqual(response.headers.get("x-content-type-options"), "nosniff")
  if (response.status >= 400 && call.method !== "HEAD") {
    assert.strictEqual(response.headers.get("content-type"), "application/problem+json", `${response.status} ${text}`)
    const problem = Schema.decodeUnknownSync(Problem)(JSON.parse(text))
    assert.strictEqual(problem.status, response.status)
  }
  return {
    status: response.status,
    headers: response.headers,
    text,
    get json(): unknown {
      return JSON.parse(text)
    },
  } satisfies Answer
})

const Issue = Schema.Struct({ in: Schema.String, field: Schema.String, message: Schema.String })

/** What every error body holds. */
export const Problem = Schema.Struct({
  type: Schema.String.check(Schema.isStartingWith("urn:mailfleet:problem:")),
  title: Schema.NonEmptyString,
  status: Schema.Int,
  detail: Schema.NonEmptyString,
  code: Schema.String.check(Schema.isPattern(/^[a-z0-9_]+$/)),
  issues: Schema.optionalKey(Schema.Array(Issue).check(Schema.isNonEmpty())),
  accepted: Schema.optionalKey(Schema.Array(Schema.String)),
  accountId: Schema.optionalKey(Schema.String),
  line: Schema.optionalKey(Schema.Int),
})

export const problemOf = (answer: Answer) => Schema.decodeUnknownSync(Problem)(answer.json)

/** Asserts the status and the code of a refused call. */
export const refused = Effect.fnUntraced(function* (status: number, code: string, path: string, call: Call = {}) {
  const answer = yield* send(path, call)
  assert.strictEqual(answer.status, status, answer.text)
  const problem = problemOf(answer)
  assert.strictEqual(problem.code, code)
  return { answer, problem }
})

/** Asserts the status of a call that succeeds, and decodes its body. */
export const taken = Effect.fnUntraced(function* <S extends Schema.Top & { readonly DecodingServices: never }>(
  schema: S,
  status: number,
  path: string,
  call: Call = {},
) {
  const answer = yield* send(path, call)
  assert.strictEqual(answer.status, status, answer.text)
  assert.strictEqual(answer.headers.get("content-type"), "application/json")
  return Schema.decodeUnknownSync(Schema.toCodecJson(schema))(answer.json, { onExcessProperty: "error" })
})

export const clientId = "11111111-2222-3333-4444-555555555555"

/** A CSV of accounts. */
export const csv = (rows: ReadonlyArray<readonly [email: string, outcome: FailureClass | "ok"]>): string =>
  ["email,client_id,refresh_token", ...rows.map(([email, outcome]) => `${email},${clientId},${refreshToken(outcome)}`)]
    .join("\n")

/** Adds one account; a failure of its token shows in its status. */
export const addAccount = (email: string, outcome: FailureClass | "ok" = "ok", app: string = clientId) =>
  Effect.map(
    send("/v1/accounts", { json: { email, clientId: app, refreshToken: refreshToken(outcome) } }),
    (answer) => {
      assert.strictEqual(answer.status, 201, answer.text)
      return Schema.decodeUnknownSync(Schema.Struct({ id: Schema.String, status: Schema.String }))(answer.json)
    },
  )
