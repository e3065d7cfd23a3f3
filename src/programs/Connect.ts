/** People sign in, and administrators consent: from a link to an account, or to the grant of a tenant. */
import { Context, Duration, Effect, Fiber, Layer, Option, Redacted, type Scope } from "effect"
import { randomBytes } from "node:crypto"
import type { Provider } from "../domain/Account.ts"
import type { App } from "../domain/App.ts"
import {
  type ConnectKind,
  type ConnectSession,
  type InvalidConnectSession,
  SignInRefused,
} from "../domain/ConnectSession.ts"
import type { AccountId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { SignIn } from "../oauth/SignIn.ts"
import { Accounts } from "../storage/Accounts.ts"
import { AppOnlyGrants } from "../storage/AppOnlyGrants.ts"
import { Apps } from "../storage/Apps.ts"
import { Audit } from "../storage/Audit.ts"
import { ConnectSessions, type StoredSession } from "../storage/ConnectSessions.ts"
import type { Connected, SignedIn } from "../storage/SignedIn.ts"
import { checked, type ConnectRequest } from "./ConnectRequest.ts"
import { actorOf, makeSteps, misconfigured } from "./ConnectSteps.ts"
import { PublicUrl } from "./PublicUrl.ts"

export type { ConnectRequest }

/** What a link leads to. */
export interface Invitation {
  readonly kind: ConnectKind
  readonly provider: Provider
  /** Who is to sign in, where that is known. */
  readonly expected: string | undefined
  /** Where the redirects of a browser that sets out from the link may lead to. */
  readonly origins: ReadonlyArray<string>
  readonly usable: "yes" | "used" | "expired"
}

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
  | { readonly _tag: "Consented"; readonly session: ConnectSession; readonly tenant: string }
  /** It goes to the provider once more. */
  | { readonly _tag: "Onward"; readonly session: ConnectSession; readonly url: string }

/** 256 bits that nobody guesses. */
const secret = Effect.sync(() => Redacted.make(randomBytes(32).toString("base64url")))

/** Ours, and so never longer: what is longer is not looked up. */
const secretForm = /^[\w-]{43}$/

const whyNot = ({ state }: ConnectSession) => state === "expired" ? "expired" as const : "used" as const

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
      const appOnly = yield* AppOnlyGrants
      const audit = yield* Audit
      const publicUrl = yield* PublicUrl
      const sessions = yield* ConnectSessions
      const settings = yield* Settings
      const signIn = yield* SignIn
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

      const invitationTo = Effect.fnUntraced(function* ({ redirectUri, session }: StoredSession) {
        const app = yield* apps.get(session.appId)
        if (Option.isNone(app)) return Option.none<Invitation>()
        const { authority = settings.microsoftAuthority, provider } = app.value
        const visited = [provider === "google" ? settings.googleAuthority : authority, redirectUri]
        const { returnUrl } = session
        return Option.some<Invitation>({
          kind: session.kind,
          provider,
          expected: yield* expectedOf(session),
          origins: [...visited, ...(returnUrl === undefined ? [] : [returnUrl])].map((url) => new URL(url).origin),
          usable: session.state === "open" ? "yes" : whyNot(session),
        })
      })

      const byLink = (link: string) =>
        secretForm.test(link) ? sessions.byLink(Redacted.make(link)) : Effect.succeed(Option.none<StoredSession>())

      const look = Effect.fn("Connect.look")(function* (link: string) {
        const stored = yield* byLink(link)
        return Option.isNone(stored) ? Option.none<Invitation>() : yield* invitationTo(stored.value)
      })

      /** What a session for an account that is there asks for. None = there is nobody to sign in. */
      const requestFor = Effect.fnUntraced(function* (accountId: AccountId) {
        const account = Option.getOrUndefined(yield* accounts.get(accountId))
        const appId = Option.getOrUndefined(yield* sessions.appOf(accountId))
        if (account === undefined || appId === undefined || account.access === "service-account") {
          return Option.none<ConnectRequest>()
        }
        const kind: ConnectKind = account.access === "app-only" ? "admin_consent" : "sign_in"
        return Option.some<ConnectRequest>({ appId, accountId, kind })
      })

      const lookAgain = Effect.fn("Connect.lookAgain")(function* (accountId: AccountId) {
        const request = Option.getOrUndefined(yield* requestFor(accountId))
        const app = request === undefined ? Option.none<App>() : yield* apps.get(request.appId)
        if (request === undefined || Option.isNone(app)) return Option.none<Invitation>()
        const { kind = "sign_in" } = request
        const { authority = settings.microsoftAuthority, provider, redirectUri } = app.value
        const visited = [
          provider === "google" ? settings.googleAuthority : authority,
          redirectUri ?? (yield* publicUrl.get),
        ]
        return Option.some<Invitation>({
          kind,
          provider,
          expected: yield* expectedOf({ accountId, kind }),
          origins: visited.map((url) => new URL(url).origin),
          usable: "yes",
        })
      })

      /** The app at the tenant that is to consent: that of the account, where there is one. */
      const consentApp = Effect.fnUntraced(function* ({ accountId, appId }: ConnectSession) {
        const app = yield* credentialsOf(appId)
        const account = accountId === undefined ? undefined : Option.getOrUndefined(yield* accounts.get(accountId))
        return { account, app: account === undefined ? app : { ...app, tenant: account.tenant } }
      })

      const depart = Effect.fn("Connect.depart")(function* (link: string): Effect.fn.Return<Departed> {
        const found = yield* byLink(link)
        if (Option.isNone(found)) return { _tag: "Unusable", why: "unknown" }
        const { channel, provider, redirectUri, session } = found.value
        if (session.state !== "open") return { _tag: "Unusable", why: whyNot(session) }
        const going = Effect.gen(function* () {
          if (session.kind === "admin_consent") {
            return signIn.departForConsent({ app: (yield* consentApp(session)).app, redirectUri })
          }
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

      /**
       * An administrator comes back twice: from the consent, whose answer anybody can forge, and from a sign-in to the tenant that
       * it names, which nobody can who is not of it.
       */
      const takeConsent = Effect.fnUntraced(function* (
        { redirectUri, secret, session }: StoredSession & { readonly secret: Redacted.Redacted },
        state: Redacted.Redacted,
        parameters: URLSearchParams,
      ): Effect.fn.Return<Arrived, SignInRefused> {
        const { account, app } = yield* consentApp(session)
        const [tenant, flow] = consentFlow.read(secret)
        if (tenant === undefined) {
          const named = yield* signIn.arriveFromConsent({ app, parameters })
          // A tenant that is known by its domain is asked by its domain: the provider knows whose it is.
          const at = account?.tenant ?? named
          const departure = yield* signIn.departForProof({ app: { ...app, tenant: at }, redirectUri })
          const flow = consentFlow.write(at, departure.secret)
          return (yield* sessions.goOn(session.id, { state: departure.state, secret: flow }))
            ? { _tag: "Onward", session, url: departure.url }
            : { _tag: "Unusable", why: "expired" }
        }
        yield* signIn.arriveWithProof({ app: { ...app, tenant }, redirectUri, state, secret: flow, parameters })
        const grantId = yield* Effect.mapError(
          appOnly.ensure(session.appId, tenant),
          ({ message }) => misconfigured(message),
        )
        yield* sessions.consented(session.id, grantId)
        yield* audit.record({ actor: actorOf(session), action: "admin_consent", grantId, outcome: "connected" })
        return { _tag: "Consented", session, tenant }
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
        const taken = yield* sessions.take(state, Redacted.make(browser))
        if (Option.isNone(taken)) {
          const isTaken = yield* sessions.isTaken(session.id)
          return { _tag: "Unusable", why: isTaken ? "used" : "other_browser" }
        }
        const work: Effect.Effect<Arrived> = Effect.catch(
          taken.value.session.kind === "admin_consent" ? takeConsent(taken.value, state, parameters) : Effect.map(
            takeSignIn(taken.value, state, parameters),
            (account): Arrived => ({ _tag: "Connected", session, account }),
          ),
          (refused) =>
            Effect.as(refuse(taken.value.session, refused), {
              _tag: "Refused",
              session: taken.value.session,
              provider: taken.value.provider,
              refused,
            }),
        )
        return yield* Effect.flatMap(Effect.forkIn(work, scope), Fiber.join)
      })

      return Connect.of({
        create,
        get: (id) => Effect.map(sessions.get(id), Option.map(({ session }) => session)),
        look,
        depart,
        lookAgain,
        arrive,
      })
    }),
  )
}

/** What is kept between the two ways of an administrator: the tenant, and the flow of the sign-in to it. */
const consentFlow = {
  write: (tenant: string, flow: Redacted.Redacted): Redacted.Redacted =>
    Redacted.make(`${tenant}\n${Redacted.value(flow)}`),
  /** No tenant: the consent is still to come. */
  read: (secret: Redacted.Redacted): readonly [tenant: string | undefined, flow: Redacted.Redacted] => {
    const [tenant = "", ...flow] = Redacted.value(secret).split("\n")
    return [tenant === "" ? undefined : tenant, Redacted.make(flow.join("\n"))]
  },
}
