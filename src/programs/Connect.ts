/** People sign in, and administrators consent: from a link to an account, or to the grant of a tenant. */
import { Context, Duration, Effect, Fiber, Layer, Option, Redacted, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { Provider } from "../domain/Account.ts"
import type { ConnectSession, InvalidConnectSession, SignInRefused } from "../domain/ConnectSession.ts"
import type { AccountId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { SignIn } from "../oauth/SignIn.ts"
import { Accounts } from "../storage/Accounts.ts"
import type { AppOnlyGrants } from "../storage/grants/AppOnlyGrants.ts"
import { Apps } from "../storage/grants/Apps.ts"
import type { Audit } from "../storage/Audit.ts"
import { ConnectSessions, type StoredSession } from "../storage/grants/ConnectSessions.ts"
import type { Connected, SignedIn } from "../storage/grants/SignedIn.ts"
import { checked, type ConnectRequest } from "./ConnectRequest.ts"
import { makeSteps } from "./ConnectSteps.ts"
import { type Invitation, makeInvitations, secretForm, whyNot } from "./Invitations.ts"
import { PublicUrl } from "./PublicUrl.ts"
import { type ConsentArrived, makeTenantConsent } from "./TenantConsent.ts"

export type { ConnectRequest, Invitation }

/** How a browser is sent on; or why it is not. */
export type Departed =
  | {
    readonly _tag: "Departed"
    readonly url: string
    readonly session: ConnectSession
    readonly browser: Redacted.Redacted
  }
  | { readonly _tag: "Unusable"; readonly why: "unknown" | "used" | "expired" }
  /** The link can be opened again. */
  | {
    readonly _tag: "Failed"
    readonly session: ConnectSession
    readonly provider: Provider
    readonly refused: SignInRefused
  }

/** What came of a browser that came back. */
export type Arrived =
  /** It came with no state of ours, with one that is spent or has ended, or it is not the browser that set out. */
  | { readonly _tag: "Unusable"; readonly why: "unknown" | "used" | "expired" | "other_browser" }
  | {
    readonly _tag: "Refused"
    readonly session: ConnectSession
    readonly provider: Provider
    readonly refused: SignInRefused
  }
  | { readonly _tag: "Connected"; readonly session: ConnectSession; readonly account: Connected }
  | ConsentArrived

/** 256 bits that nobody guesses. */
const secret = Effect.sync(() => Redacted.make(randomBytes(32).toString("base64url")))

export class Connect extends Context.Service<Connect, {
  /** Makes a session. Its `url` is not kept: this is the only time that it is told. */
  readonly create: (request: ConnectRequest) => Effect.Effect<ConnectSession, InvalidConnectSession>
  readonly get: (id: string) => Effect.Effect<Option.Option<ConnectSession>>
  /** What a link is for. It changes nothing, so that those who look at links beforehand spend none. */
  readonly look: (link: string) => Effect.Effect<Option.Option<Invitation>>
  /** Spends a link. */
  readonly depart: (link: string) => Effect.Effect<Departed>
  /** What the lasting link of an account is for, each use of which is a session of its own. */
  readonly lookAgain: (accountId: AccountId) => Effect.Effect<Option.Option<Invitation>>
  /**
   * Takes what a provider sends back by way of a browser. It goes on to its end even if the browser hangs up: a code can be
   * redeemed once.
   *
   * @param browserOf what the browser bears of a session
   */
  readonly arrive: (
    parameters: URLSearchParams,
    browserOf: (sessionId: string) => string | undefined,
  ) => Effect.Effect<Arrived>
}>()("mailfleet/programs/Connect") {
  static readonly layer: Layer.Layer<
    Connect,
    never,
    Accounts | AppOnlyGrants | Apps | Audit | ConnectSessions | PublicUrl | Settings | SignedIn | SignIn
  > = Layer.effect(
    Connect,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const apps = yield* Apps
      const publicUrl = yield* PublicUrl
      const sessions = yield* ConnectSessions
      const settings = yield* Settings
      const signIn = yield* SignIn
      const consent = yield* makeTenantConsent
      const { byLink, look, lookAgain } = yield* makeInvitations
      const { credentialsOf, expectedOf, keep, refuse } = yield* makeSteps
      const scope: Scope.Scope = yield* Effect.scope
      const ttlSeconds = Duration.toSeconds(settings.connectTtl)

      const create = Effect.fn("Connect.create")(function* (request: ConnectRequest) {
        const { accountId, appId, expectedEmail, kind = "sign_in", returnUrl, tags = [] } = request
        const app = Option.getOrUndefined(yield* apps.get(appId))
        const account = accountId === undefined ? undefined : Option.getOrUndefined(yield* accounts.get(accountId))
        const { channel, redirectUri } = yield* Effect.fromResult(checked(settings, request, app, account))
        const link = yield* secret
        const origin = yield* publicUrl.get
        const { session } = yield* sessions.create({
          kind,
          appId,
          accountId,
          expectedEmail,
          returnUrl,
          tags: [...new Set(tags)],
          channel,
          redirectUri: request.redirectUri ?? redirectUri ?? `${origin}/connect/callback`,
          link,
          ttlSeconds,
        })
        return { ...session, url: `${origin}/connect/${Redacted.value(link)}` }
      })

      const depart = Effect.fn("Connect.depart")(function* (link: string): Effect.fn.Return<Departed> {
        const found = yield* byLink(link)
        if (Option.isNone(found)) return { _tag: "Unusable", why: "unknown" }
        const { channel, provider, redirectUri, session } = found.value
        if (session.state !== "open") return { _tag: "Unusable", why: whyNot(session) }
        const going = Effect.gen(function* () {
          if (session.kind === "admin_consent") return yield* consent.depart(session, redirectUri)
          const app = yield* credentialsOf(session.appId)
          return yield* signIn.depart({ app, channel, redirectUri, loginHint: yield* expectedOf(session) })
        })
        return yield* Effect.matchEffect(going, {
          onFailure: (refused) => Effect.succeed<Departed>({ _tag: "Failed", session, provider, refused }),
          onSuccess: Effect.fnUntraced(function* ({ secret: flow, state, url }): Effect.fn.Return<Departed> {
            const browser = yield* secret
            const started = yield* sessions.start(Redacted.make(link), { browser, state, secret: flow, ttlSeconds })
            return started ? { _tag: "Departed", url, session, browser } : { _tag: "Unusable", why: "used" }
          }),
        })
      })

      const takeSignIn = Effect.fnUntraced(function* (
        { channel, redirectUri, secret, session }: StoredSession & { readonly secret: Redacted.Redacted },
        state: Redacted.Redacted,
        parameters: URLSearchParams,
      ) {
        const app = yield* credentialsOf(session.appId)
        const person = yield* signIn.arrive({ app, channel, redirectUri, state, secret, parameters })
        return yield* keep(session, channel, app, person)
      })

      /** From the moment that the state is spent: what is begun then has an end, whoever waits for it. */
      const take = Effect.fnUntraced(function* (
        { id }: ConnectSession,
        state: Redacted.Redacted,
        browser: string,
        parameters: URLSearchParams,
      ): Effect.fn.Return<Arrived> {
        const found = yield* sessions.take(state, Redacted.make(browser))
        if (Option.isNone(found)) {
          return { _tag: "Unusable", why: (yield* sessions.isTaken(id)) ? "used" : "other_browser" }
        }
        const taken = found.value
        const { provider, session } = taken
        const work: Effect.Effect<Arrived, SignInRefused> = session.kind === "admin_consent"
          ? consent.take(taken, state, parameters)
          : Effect.map(takeSignIn(taken, state, parameters), (account) => ({ _tag: "Connected", session, account }))
        return yield* Effect.catch(
          work,
          (refused) => Effect.as(refuse(session, refused), { _tag: "Refused", session, provider, refused } as const),
        )
      })

      const arrive = Effect.fn("Connect.arrive")(function* (
        parameters: URLSearchParams,
        browserOf: (sessionId: string) => string | undefined,
      ): Effect.fn.Return<Arrived> {
        const states = parameters.getAll("state")
        const state = Redacted.make(states.length === 1 && secretForm.test(states[0]!) ? states[0]! : "")
        const found = Redacted.value(state) === "" ? Option.none<StoredSession>() : yield* sessions.byState(state)
        if (Option.isNone(found)) return { _tag: "Unusable", why: "unknown" }
        const { session } = found.value
        const browser = browserOf(session.id)
        if (browser === undefined || !secretForm.test(browser)) return { _tag: "Unusable", why: "other_browser" }
        if (session.state !== "started") return { _tag: "Unusable", why: whyNot(session) }
        return yield* Effect.flatMap(Effect.forkIn(take(session, state, browser, parameters), scope), Fiber.join)
      })

      return Connect.of({
        create,
        get: (id) => Effect.map(sessions.get(id), Option.map(({ session }) => session)),
        look,
        lookAgain,
        depart,
        arrive,
      })
    }),
  )
}
