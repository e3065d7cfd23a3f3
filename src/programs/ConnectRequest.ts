/** What somebody asks of a sign-in, checked before a link is made. */
import { Option, Result } from "effect"
import { type Account, type Channel, type Provider, resourceOf } from "../domain/Account.ts"
import type { App } from "../domain/App.ts"
import { canReadMail, type ConnectKind, InvalidConnectSession, isReturnUrl } from "../domain/ConnectSession.ts"
import type { AccountId, AppId } from "../domain/Ids.ts"
import type { SettingsValues } from "../domain/Settings.ts"
import { scopesOf } from "../oauth/Scopes.ts"

export interface ConnectRequest {
  readonly appId: AppId
  /** Default `sign_in`. */
  readonly kind?: ConnectKind | undefined
  /** The account to be revived; absent = whichever the person has, else a new one. */
  readonly accountId?: AccountId | undefined
  /** Who is to sign in; anybody else is refused. */
  readonly expectedEmail?: string | undefined
  /** Where the browser goes in the end, with `connectSession` and `state` in its query; absent = a page says how it ended. */
  readonly returnUrl?: string | undefined
  /** Where the provider sends the browser, instead of to this server: a port of the machine that the browser runs on. */
  readonly redirectUri?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  /** How the mailbox is to be read; absent = as the account is, else `graph` or `gmail`. */
  readonly channel?: Channel | undefined
}

/** RFC 8252 §7.3: as it is registered, but for the port. Nobody but this machine is reached by it. */
const loopback = /^http:\/\/(?:localhost|127\.0\.0\.1|\[::1\]):\d{1,5}(?:\/[\w./-]{0,100})?$/

const addressForm = /^[^\s@\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,255}$/u

const channelsOf: Readonly<Record<Provider, readonly [Channel, ...ReadonlyArray<Channel>]>> = {
  microsoft: ["graph", "imap"],
  google: ["gmail", "imap"],
}

const invalid = (field: InvalidConnectSession["field"], message: string) =>
  Result.fail(new InvalidConnectSession({ field, message }))

/** Without an account of this id, `account` is undefined; likewise `app`. */
export const checked = (
  settings: SettingsValues,
  { accountId, channel: wanted, expectedEmail, kind = "sign_in", redirectUri, returnUrl }: ConnectRequest,
  app: App | undefined,
  account: Account | undefined,
): Result.Result<{ readonly channel: Channel; readonly redirectUri: string | undefined }, InvalidConnectSession> =>
  Result.gen(function* () {
    if (app === undefined) return yield* invalid("appId", "Expected the id of an app")
    if (accountId !== undefined) yield* checkAccount(app, account, kind)
    if (kind === "admin_consent") yield* checkConsent(app)
    const channels = channelsOf[app.provider]
    // Of an app that has scopes for one of them only, that one.
    const opens = (one: Channel) => {
      const scopes = scopesOf(app, settings, resourceOf(app.provider, one))
      return app.scopes?.[one] !== undefined && canReadMail(app.provider, one, scopes)
    }
    const channel = wanted ?? account?.channel ?? channels.find(opens) ?? channels[0]
    if (!channels.includes(channel)) return yield* invalid("channel", `Expected ${channels.join(" or ")}`)
    const scopes = scopesOf(app, settings, resourceOf(app.provider, channel))
    // What `.default` stands for is known to the provider only.
    if (kind === "sign_in" && !/\/\.default(?:\s|$)/i.test(scopes) && !canReadMail(app.provider, channel, scopes)) {
      return yield* invalid("appId", `Expected an app whose scopes for ${channel} let mail be read`)
    }
    if (expectedEmail !== undefined && !addressForm.test(expectedEmail)) {
      return yield* invalid("expectedEmail", "Expected an e-mail address")
    }
    if (redirectUri !== undefined && !(loopback.test(redirectUri) && URL.canParse(redirectUri))) {
      return yield* invalid("redirectUri", "Expected http, a loopback host and a port, such as http://localhost:51234")
    }
    if (returnUrl !== undefined && !isReturnUrl(returnUrl, Option.getOrUndefined(settings.returnOrigins))) {
      return yield* invalid(
        "returnUrl",
        "Expected an absolute http or https URL without user and fragment, within MAILFLEET_RETURN_ORIGINS if that is set",
      )
    }
    return { channel, redirectUri: app.redirectUri }
  })

const checkAccount = (app: App, account: Account | undefined, kind: ConnectKind) => {
  if (account === undefined) return invalid("accountId", "Expected the id of an account")
  if (account.provider !== app.provider) return invalid("accountId", "Expected an account at the provider of the app")
  if (account.access === "service-account") {
    return invalid("accountId", "Expected an account that people sign in to: a service account reads this one")
  }
  if ((account.access === "app-only") === (kind === "admin_consent")) {
    return kind === "sign_in" || account.clientId === app.clientId
      ? Result.void
      : invalid("appId", "Expected the app by whose right the account is read")
  }
  return invalid(
    "kind",
    kind === "sign_in"
      ? "Expected admin_consent: the account is read by the app's own right"
      : "Expected sign_in: the account is read by the right of a person",
  )
}

const checkConsent = (app: App) => {
  if (app.provider !== "microsoft") {
    return invalid("kind", "Expected sign_in: only Microsoft gives an app a whole tenant by consent")
  }
  return app.hasSecret || app.certificate !== undefined
    ? Result.void
    : invalid("appId", "Expected an app with a secret or a certificate: without, it cannot act by itself")
}
