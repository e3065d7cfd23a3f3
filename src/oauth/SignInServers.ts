/** Where people sign in: the endpoints of a provider for one app, and which issuers its answers may come from. */
import { Clock, Effect, Option } from "effect"
import { Buffer } from "node:buffer"
import * as oauth from "oauth4webapi"
import type { AppCredentials } from "../domain/App.ts"
import { SignInRefused } from "../domain/ConnectSession.ts"
import type { SettingsValues } from "../domain/Settings.ts"
import type { GetText } from "./SignInHttp.ts"

export interface Server {
  readonly authorizationEndpoint: string
  readonly tokenEndpoint: string
  /** By which the answer in the browser is checked (RFC 9207). Undefined = the issuer that it names is none of this server. */
  readonly forResponse: (iss: string | null) => oauth.AuthorizationServer | undefined
  /** By which an id token is checked, given the tenant that it names. Undefined = no such tenant may sign in here. */
  readonly forIdToken: (idToken: string) => oauth.AuthorizationServer | undefined
}

/** The tenant of all personal accounts (provider-facts A1). */
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

const guid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** Its claims before anything of it has been checked. */
export const peek = (idToken: string): Readonly<Record<string, unknown>> => {
  try {
    const claims: unknown = JSON.parse(Buffer.from(idToken.split(".")[1] ?? "", "base64url").toString())
    return typeof claims === "object" && claims !== null ? claims as Record<string, unknown> : {}
  } catch {
    return {}
  }
}

/** Whether people of a tenant may sign in to an app: `organizations` are work accounts only, a tenant id is that tenant alone. */
const admits = (tenant: string, tid: string): boolean => {
  if (!guid.test(tid)) return false
  if (guid.test(tenant)) return tenant.toLowerCase() === tid.toLowerCase()
  if (tenant === "consumers") return tid === personalTenant
  return tenant !== "organizations" || tid !== personalTenant
}

export const microsoftUrl = (app: AppCredentials, settings: SettingsValues, tenant: string, path: string): string =>
  `${app.authority ?? settings.microsoftAuthority}/${encodeURIComponent(tenant)}${path}`

/** Microsoft's metadata is not asked for: for several tenants its issuer is a placeholder, which equals no issuer. */
export const microsoftServer = (app: AppCredentials, settings: SettingsValues): Server => {
  const url = (path: string) => microsoftUrl(app, settings, app.tenant, path)
  const issuerOf = (tid: string) => microsoftUrl(app, settings, tid, "/v2.0")
  const tokenEndpoint = url("/oauth2/v2.0/token")
  const server = (issuer: string): oauth.AuthorizationServer => ({ issuer, token_endpoint: tokenEndpoint })
  const tenantOf = (iss: string) => iss.slice(issuerOf("").indexOf("//v2.0") + 1, -"/v2.0".length)
  return {
    authorizationEndpoint: url("/oauth2/v2.0/authorize"),
    tokenEndpoint,
    forResponse: (iss) => {
      if (iss === null) return server(url("/v2.0"))
      const tid = tenantOf(iss)
      return admits(app.tenant, tid) && iss === issuerOf(tid) ? server(iss) : undefined
    },
    forIdToken: (idToken) => {
      const { tid } = peek(idToken)
      return typeof tid === "string" && admits(app.tenant, tid) ? server(issuerOf(tid)) : undefined
    },
  }
}

/** Milliseconds. What a provider publishes about itself changes about once in years. */
const keptFor = 3_600_000

/** By what Google publishes (OpenID Connect Discovery); kept for an hour. */
export const makeGoogleServer = (
  settings: SettingsValues,
  getText: GetText,
): Effect.Effect<Server, SignInRefused> => {
  let kept: { readonly until: number; readonly server: Server } | undefined
  return Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    if (kept !== undefined && kept.until > now) return kept.server
    const text = yield* getText(`${settings.googleAuthority}/.well-known/openid-configuration`)
    const found = Option.isNone(text)
      ? Option.none()
      : yield* Effect.option(Effect.tryPromise(() =>
        oauth.processDiscoveryResponse(
          new URL(settings.googleAuthority),
          new Response(text.value, { headers: { "content-type": "application/json" } }),
        )
      ))
    const authorizationEndpoint = Option.getOrUndefined(found)?.authorization_endpoint
    if (Option.isNone(found) || authorizationEndpoint === undefined || !URL.canParse(authorizationEndpoint)) {
      return yield* new SignInRefused({
        code: "provider_unavailable",
        message: "Google's configuration cannot be read; try again, and check MAILFLEET_GOOGLE_AUTHORITY if it goes on",
      })
    }
    // Tokens are redeemed where they are refreshed, whatever the document says.
    const as = { ...found.value, token_endpoint: settings.googleTokenUrl }
    const server: Server = {
      authorizationEndpoint,
      tokenEndpoint: settings.googleTokenUrl,
      forResponse: (iss) => iss === null || iss === as.issuer ? as : undefined,
      forIdToken: () => as,
    }
    kept = { until: now + keptFor, server }
    return server
  })
}
