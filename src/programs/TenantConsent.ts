/**
 * An administrator consents for a tenant, and comes back twice: from the consent, whose answer anybody can forge, and from a
 * sign-in to the tenant that it names, which nobody can who is not of it.
 */
import { Effect, Option, Redacted } from "effect"
import type { ConnectSession, SignInRefused } from "../domain/ConnectSession.ts"
import { SignIn } from "../oauth/SignIn.ts"
import { Accounts } from "../storage/Accounts.ts"
import { AppOnlyGrants } from "../storage/grants/AppOnlyGrants.ts"
import { Audit } from "../storage/Audit.ts"
import { ConnectSessions, type StoredSession } from "../storage/grants/ConnectSessions.ts"
import { actorOf, makeSteps, misconfigured, unexpected } from "./ConnectSteps.ts"

export type ConsentArrived =
  | { readonly _tag: "Consented"; readonly session: ConnectSession; readonly tenant: string }
  /** It goes to the provider once more. */
  | { readonly _tag: "Onward"; readonly session: ConnectSession; readonly url: string }
  | { readonly _tag: "Unusable"; readonly why: "expired" }

export const makeTenantConsent = Effect.gen(function* () {
  const accounts = yield* Accounts
  const appOnly = yield* AppOnlyGrants
  const audit = yield* Audit
  const sessions = yield* ConnectSessions
  const signIn = yield* SignIn
  const { credentialsOf } = yield* makeSteps

  /** The app at the tenant that is to consent: that of the account, where there is one. */
  const appFor = Effect.fnUntraced(function* ({ accountId, appId }: ConnectSession) {
    const app = yield* credentialsOf(appId)
    const account = accountId === undefined ? undefined : Option.getOrUndefined(yield* accounts.get(accountId))
    return { account, app: account === undefined ? app : { ...app, tenant: account.tenant } }
  })

  const take = Effect.fnUntraced(function* (
    { redirectUri, secret, session }: StoredSession & { readonly secret: Redacted.Redacted },
    state: Redacted.Redacted,
    parameters: URLSearchParams,
  ): Effect.fn.Return<ConsentArrived, SignInRefused> {
    const { account, app } = yield* appFor(session)
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
    const proof = { app: { ...app, tenant }, redirectUri, state, secret: flow, parameters }
    const stranger = unexpected(session, Option.getOrUndefined(yield* signIn.arriveWithProof(proof)))
    if (stranger !== undefined) return yield* stranger
    const grantId = yield* Effect.mapError(
      appOnly.ensure(session.appId, tenant),
      ({ message }) => misconfigured(message),
    )
    yield* sessions.consented(session.id, grantId)
    yield* audit.record({ actor: actorOf(session), action: "admin_consent", grantId, outcome: "connected" })
    return { _tag: "Consented", session, tenant }
  })

  return {
    depart: Effect.fnUntraced(function* (session: ConnectSession, redirectUri: string) {
      return signIn.departForConsent({ app: (yield* appFor(session)).app, redirectUri })
    }),
    take,
  }
})

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
