/** A simulated provider behind real HTTP, and accounts that sign in to it. */
import { Context, DateTime, Duration, Effect, Layer, Redacted, Schema, type Scope } from "effect"
import { FetchHttpClient } from "effect/http"
import { codeOf } from "../../src/domain/FailureClass.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Gmail } from "../../src/mail/gmail/Gmail.ts"
import { Graph } from "../../src/mail/graph/Graph.ts"
import type { MailAccount } from "../../src/mail/Mailbox.ts"
import { Imap } from "../../src/mail/imap/Imap.ts"
import { ImapTransport } from "../../src/mail/imap/ImapTransport.ts"
import { Mailboxes } from "../../src/mail/Mailboxes.ts"
import { MimeParser } from "../../src/mail/mime/MimeParser.ts"
import { type AccessToken, Tokens } from "../../src/oauth/Tokens.ts"
import { ConnectionLimiter } from "../../src/pacing/ConnectionLimiter.ts"
import { MailboxLimiter } from "../../src/pacing/MailboxLimiter.ts"
import { MailboxUnits } from "../../src/pacing/MailboxUnits.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { make, type Simulator, type SimulatorOptions } from "../../src/simulator/Simulator.ts"
import { mailStorage, makeAccount } from "./mail.ts"

/** Serves a web handler on a free port of this machine; answers its origin. */
export const serve = (
  handler: (request: Request) => Response | Promise<Response>,
): Effect.Effect<string, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, handler)),
      (server) => Effect.promise(() => server.shutdown()),
    ),
    (server) => `http://127.0.0.1:${server.addr.port}`,
  )

export class Provider extends Context.Service<Provider, {
  readonly simulator: Simulator
  readonly origin: string
  /** Grants and whose they are. */
  readonly grants: Map<string, string>
}>()("test/Provider") {
  static readonly layer = (options: Partial<SimulatorOptions> = {}): Layer.Layer<Provider> =>
    Layer.effect(
      Provider,
      Effect.gen(function* () {
        const simulator = yield* make({ oddPages: 0, ...options })
        const origin = yield* serve((request) => simulator.handler(request))
        yield* Effect.addFinalizer(() => Effect.sync(() => simulator.close()))
        return { simulator, origin, grants: new Map() }
      }),
    )
}

const TokenAnswer = Schema.fromJsonString(Schema.Struct({ access_token: Schema.String, expires_in: Schema.Number }))

/** Access tokens straight from the provider, kept until one is to be refreshed. */
export const plainTokens: Layer.Layer<Tokens, never, Provider> = Layer.effect(
  Tokens,
  Effect.gen(function* () {
    const { grants, origin, simulator } = yield* Provider
    const cache = new Map<string, AccessToken>()
    const redeem = (grantId: string) =>
      Effect.tryPromise(async () => {
        const { clientId, clientSecret, provider, refreshToken } = simulator.account(grants.get(grantId)!)
        const isGoogle = provider === "google"
        const response = await fetch(`${origin}/${isGoogle ? "google/token" : "common/oauth2/v2.0/token"}`, {
          method: "POST",
          body: new URLSearchParams({
            grant_type: "refresh_token",
            client_id: clientId,
            refresh_token: refreshToken,
            ...(isGoogle
              ? { client_secret: clientSecret ?? "" }
              : { scope: "https://graph.microsoft.com/.default offline_access" }),
          }),
        })
        const answer = Schema.decodeUnknownSync(TokenAnswer)(await response.text())
        const token: AccessToken = {
          token: Redacted.make(answer.access_token),
          resource: isGoogle ? "gmail" : "graph",
          expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), Duration.seconds(answer.expires_in)),
        }
        cache.set(grantId, token)
        return token
      }).pipe(
        Effect.mapError(() => new ProviderError({ class: "needs_user", code: codeOf.needs_user, message: "no token" })),
      )
    return Tokens.of({
      accessToken: (grantId) =>
        Effect.suspend(() => {
          const cached = cache.get(grantId)
          return cached === undefined ? redeem(grantId) : Effect.succeed(cached)
        }),
      refresh: redeem,
      refreshSince: redeem,
    })
  }),
)

/** Pacing, network and settings for the providers' mail at `origin`. */
export const graphOver = (origin: string): Layer.Layer<Mailboxes, never, Tokens> =>
  Mailboxes.layer.pipe(
    Layer.provide([Gmail.layer, Graph.layer, Imap.layer]),
    Layer.provide(MailboxUnits.layer),
    Layer.provide([
      ConnectionLimiter.layer,
      FetchHttpClient.layer,
      ImapTransport.layer,
      MimeParser.layer,
      Throttle.layer,
      MailboxLimiter.layer,
      Layer.orDie(
        Settings.layerWith({
          graphUrl: `${origin}/v1.0`,
          gmailUrl: `${origin}/gmail/v1`,
          gmailUnitsPerMinute: 1_000_000,
        }),
      ),
    ]),
  )

/** Everything that syncs, over a database and a simulated provider. */
export const syncing = (options: Partial<SimulatorOptions> = {}) =>
  SyncAccount.layer.pipe(
    Layer.provideMerge(Layer.unwrap(Effect.map(Provider, ({ origin }) => graphOver(origin)))),
    Layer.provideMerge(plainTokens),
    Layer.provideMerge(SyncPace.layer),
    Layer.provideMerge(Provider.layer(options)),
    Layer.provideMerge(Layer.orDie(Settings.layerWith({}))),
    Layer.provideMerge(mailStorage),
  )

/** The provider's account number `n`, from 1, put into the database. */
export const simulatedAccount = Effect.fnUntraced(
  function* (n: number, provider: MailAccount["provider"] = "microsoft") {
    const { grants, simulator } = yield* Provider
    const isGoogle = provider === "google"
    const email = `sim${String(n).padStart(5, "0")}@${isGoogle ? "gmail." : ""}sim.example`
    const { clientId } = simulator.account(email)
    const account = yield* makeAccount({ email, clientId, provider, channel: isGoogle ? "gmail" : "graph" })
    grants.set(account.grantId, email)
    return account
  },
)
