/** What a link leads to, told before anybody uses it: to look changes nothing, so that those who look beforehand spend none. */
import { Effect, Option, Redacted } from "effect"
import type { Provider } from "../domain/Account.ts"
import type { App } from "../domain/App.ts"
import type { ConnectKind, ConnectSession } from "../domain/ConnectSession.ts"
import type { AccountId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { Accounts } from "../storage/Accounts.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { ConnectSessions, type StoredSession } from "../storage/grants/ConnectSessions.ts"
import type { ConnectRequest } from "./ConnectRequest.ts"
import { makeSteps } from "./ConnectSteps.ts"
import { PublicUrl } from "./PublicUrl.ts"

export interface Invitation {
  readonly kind: ConnectKind
  readonly provider: Provider
  /** Who is to sign in, where that is known. */
  readonly expected: string | undefined
  /** Where the redirects of a browser that sets out from the link may lead to. */
  readonly origins: ReadonlyArray<string>
  readonly usable: "yes" | "used" | "expired"
}

/** Links, states and what browsers bear are ours, and so never longer: what is longer is not looked up. */
export const secretForm = /^[\w-]{43}$/

/** Of a session that is not open any more. */
export const whyNot = ({ state }: ConnectSession) => state === "expired" ? "expired" as const : "used" as const

const originsOf = (urls: ReadonlyArray<string | undefined>): ReadonlyArray<string> =>
  urls.flatMap((url) => url === undefined ? [] : [new URL(url).origin])

export const makeInvitations = Effect.gen(function* () {
  const accounts = yield* Accounts
  const apps = yield* Apps
  const publicUrl = yield* PublicUrl
  const sessions = yield* ConnectSessions
  const settings = yield* Settings
  const { expectedOf } = yield* makeSteps

  const authorityOf = ({ authority = settings.microsoftAuthority, provider }: App) =>
    provider === "google" ? settings.googleAuthority : authority

  const invitationTo = Effect.fnUntraced(function* ({ redirectUri, session }: StoredSession) {
    const app = yield* apps.get(session.appId)
    if (Option.isNone(app)) return Option.none<Invitation>()
    return Option.some<Invitation>({
      kind: session.kind,
      provider: app.value.provider,
      expected: yield* expectedOf(session),
      origins: originsOf([authorityOf(app.value), redirectUri, session.returnUrl]),
      usable: session.state === "open" ? "yes" : whyNot(session),
    })
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

  const byLink = (link: string) =>
    secretForm.test(link) ? sessions.byLink(Redacted.make(link)) : Effect.succeed(Option.none<StoredSession>())

  return {
    byLink,
    look: Effect.fn("Connect.look")(function* (link: string) {
      const stored = yield* byLink(link)
      return Option.isNone(stored) ? Option.none<Invitation>() : yield* invitationTo(stored.value)
    }),
    lookAgain: Effect.fn("Connect.lookAgain")(function* (accountId: AccountId) {
      const request = Option.getOrUndefined(yield* requestFor(accountId))
      const app = request === undefined ? Option.none<App>() : yield* apps.get(request.appId)
      if (request === undefined || Option.isNone(app)) return Option.none<Invitation>()
      const { kind = "sign_in" } = request
      return Option.some<Invitation>({
        kind,
        provider: app.value.provider,
        expected: yield* expectedOf({ accountId, kind }),
        origins: originsOf([authorityOf(app.value), app.value.redirectUri ?? (yield* publicUrl.get)]),
        usable: "yes",
      })
    }),
  }
})
