/** What the values of an app must be, each by itself and all together. */
import { type DateTime, Redacted, Result } from "effect"
import { Channel, type Provider } from "./Account.ts"
import {
  type AppChange,
  type AppName,
  type AppPatch,
  type AppScopes,
  InvalidApp,
  type NewApp,
  type Registration,
} from "./App.ts"
import { readClientId, readTenant } from "./import/Row.ts"

type Field = InvalidApp["field"]

const invalid = (field: Field, message: string) => new InvalidApp({ field, message })

/** What a client secret is made of (RFC 6749, appendix A.2); the length is ours. */
const secretForm = /^[\x20-\x7e]{1,1000}$/

/** The secret without surrounding white space, which pasting brings along. */
const readSecret = (secret: Redacted.Redacted): Result.Result<Redacted.Redacted, InvalidApp> => {
  const trimmed = Redacted.value(secret).trim()
  return secretForm.test(trimmed)
    ? Result.succeed(Redacted.make(trimmed))
    : Result.fail(invalid("secret", "Expected a secret of 1 to 1000 printable ASCII characters"))
}

const mostOfUrl = 2_000

/** Undefined where it is no http or https URL, or one with a user or a fragment, neither of which has a place here. */
const httpUrl = (text: string): URL | undefined => {
  if (text.length > mostOfUrl || !/^https?:\/\/[!-~]+$/i.test(text) || text.includes("#")) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url !== undefined && url.username === "" && url.password === "" ? url : undefined
}

const readAuthority = (text: string): Result.Result<string, InvalidApp> => {
  const authority = text.trim().replace(/\/+$/, "")
  return httpUrl(authority) !== undefined && !authority.includes("?") ? Result.succeed(authority) : Result.fail(
    invalid(
      "authority",
      "Expected an http or https URL without query and without the tenant, which is a field of its own",
    ),
  )
}

const isLoopback = (host: string): boolean =>
  host === "localhost" || host === "[::1]" || /^127(?:\.\d{1,3}){3}$/.test(host)

/** As written: providers compare it character by character (RFC 9700 §2.1). */
const readRedirectUri = (text: string): Result.Result<string, InvalidApp> => {
  const redirectUri = text.trim()
  const url = httpUrl(redirectUri)
  return url !== undefined && (url.protocol === "https:" || isLoopback(url.hostname))
    ? Result.succeed(redirectUri)
    : Result.fail(
      invalid(
        "redirectUri",
        "Expected an absolute https URL without fragment; http only for a loopback host such as localhost",
      ),
    )
}

const mostOfScopes = 2_000

/** A scope token of RFC 6749 §3.3. */
const scopeForm = /^[!#-[\]-~]+$/

/** Scopes of no resource, which may stand beside those of any (Microsoft identity platform, scopes and permissions). */
export const openIdScopes: ReadonlySet<string> = new Set(["openid", "profile", "email", "offline_access"])

const isGraph = (resource: string): boolean => /^https:\/\/(?:[\w-]+\.)*(?:microsoft)?graph\./i.test(resource)

/** What a scope opens: all before its last slash. A bare name is one of Microsoft Graph. */
const resourceOfScope = (scope: string): string => {
  const resource = scope.slice(0, scope.lastIndexOf("/") + 1).toLowerCase()
  return resource === "" || isGraph(resource) ? "graph" : resource
}

/** One access token, one resource: Microsoft's answer to a mixture is an error or a token for the first. */
const faultOfScopes = (channel: Channel, scopes: ReadonlyArray<string>): string | undefined => {
  if (channel === "gmail") return undefined
  const named = scopes.filter((scope) => !openIdScopes.has(scope.toLowerCase()))
  const resources = new Set(named.map(resourceOfScope))
  if (resources.size > 1) return "Expected scopes of one resource: an access token opens only one"
  if (resources.has("graph") !== (channel === "graph")) {
    return channel === "graph"
      ? "Expected scopes of Microsoft Graph, such as Mail.Read"
      : "Expected scopes of Outlook, such as https://outlook.office.com/IMAP.AccessAsUser.All"
  }
  return named.length > 1 && named.some((scope) => scope.toLowerCase().endsWith("/.default"))
    ? "Expected .default alone, without other scopes of the resource"
    : undefined
}

const readScopes = (channel: Channel, text: string): Result.Result<string, InvalidApp> => {
  const scopes = text.split(/\s+/).filter((scope) => scope !== "")
  const wellFormed = scopes.length > 0 && text.length <= mostOfScopes && scopes.every((scope) => scopeForm.test(scope))
  const fault = wellFormed
    ? faultOfScopes(channel, scopes)
    : `Expected scopes separated by blanks, of at most ${mostOfScopes} characters`
  return fault === undefined ? Result.succeed(scopes.join(" ")) : Result.fail(invalid(`scopes.${channel}`, fault))
}

/** The last moment that has four digits of a year, as ISO 8601 wants it. */
const lastMoment = Date.UTC(9999, 11, 31)

const readExpiry = (time: DateTime.Utc): Result.Result<DateTime.Utc, InvalidApp> =>
  time.epochMilliseconds > 0 && time.epochMilliseconds <= lastMoment
    ? Result.succeed(time)
    : Result.fail(invalid("secretExpiresAt", "Expected a time between the years 1970 and 9999"))

/** Checks the value unless it is absent or null, which stay so. */
const optional = <A, B>(
  value: A | null | undefined,
  read: (value: A) => Result.Result<B, InvalidApp>,
): Result.Result<B | null | undefined, InvalidApp> =>
  value === null ? Result.succeed(null) : value === undefined ? Result.succeed(undefined) : read(value)

/** Under its name, unless it is absent. */
const under = <const Name extends keyof AppChange>(
  name: Name,
  value: AppChange[Name] | undefined,
): Pick<AppChange, Name> => (value === undefined ? {} : { [name]: value }) as Pick<AppChange, Name>

/** Checks each value that needs no key to be read. */
export const readChange = (
  patch: AppPatch,
): Result.Result<Omit<AppChange, "certificate" | "serviceAccount">, InvalidApp> =>
  Result.gen(function* () {
    const scopes: { [C in Channel]?: string | null } = {}
    for (const channel of Channel.literals) {
      const read = yield* optional(patch.scopes?.[channel], (text) => readScopes(channel, text))
      if (read !== undefined) scopes[channel] = read
    }
    return {
      ...under("authority", yield* optional(patch.authority, readAuthority)),
      ...under("redirectUri", yield* optional(patch.redirectUri, readRedirectUri)),
      ...under("scopes", patch.scopes === null || patch.scopes === undefined ? patch.scopes : scopes),
      ...under("registration", patch.registration === null ? "standard" : patch.registration),
      ...under("secret", yield* optional(patch.secret, readSecret)),
      ...under("secretExpiresAt", yield* optional(patch.secretExpiresAt, readExpiry)),
    }
  })

/** Checks the name of an app by the rules of import files, so that it is the one that their rows find it by. */
export const readName = (app: NewApp, defaultTenant: string): Result.Result<AppName, InvalidApp> =>
  Result.gen(function* () {
    const fault = (field: Field) => (expected: string) => invalid(field, expected.replace(/^e/, "E"))
    const clientId = yield* Result.mapError(readClientId(app.provider, app.clientId), fault("clientId"))
    const tenant = yield* Result.mapError(readTenant(app.provider, app.tenant ?? ""), fault("tenant"))
    return { provider: app.provider, clientId, tenant: tenant === "" ? defaultTenant : tenant }
  })

/** What the rules below want to know of an app as it is. */
export interface Held {
  readonly provider: Provider
  readonly hasSecret: boolean
  readonly hasCertificate: boolean
}

const channelsOf: Readonly<Record<Provider, ReadonlyArray<Channel>>> = {
  microsoft: ["graph", "imap"],
  google: ["gmail"],
}

const registrationsOf: Readonly<Record<Provider, ReadonlyArray<Registration>>> = {
  microsoft: ["standard", "spa"],
  google: ["standard", "testing"],
}

const isGiven = <A>(value: A | null | undefined): value is A => value !== null && value !== undefined

/** Why the app cannot be changed in this way, if it cannot. */
export const faultOfChange = (
  { hasCertificate, hasSecret, provider }: Held,
  change: AppChange,
): InvalidApp | undefined => {
  const { authority, certificate, registration, scopes, secret, secretExpiresAt, serviceAccount } = change
  if (provider === "google") {
    if (isGiven(authority)) return invalid("authority", "Expected none: all apps at Google have the same")
    if (isGiven(certificate)) {
      return invalid("certificate", "Expected none: an app at Google has a secret or a service account's key")
    }
  }
  if (provider === "microsoft" && isGiven(serviceAccount)) {
    return invalid("serviceAccountKey", "Expected none: service accounts are Google's")
  }
  for (const channel of Channel.literals) {
    if (isGiven(scopes?.[channel]) && !channelsOf[provider].includes(channel)) {
      return invalid(
        `scopes.${channel}`,
        `Expected none: ${provider} has scopes for ${channelsOf[provider].join(" and ")}`,
      )
    }
  }
  if (registration !== undefined && !registrationsOf[provider].includes(registration)) {
    return invalid("registration", `Expected ${registrationsOf[provider].join(" or ")} for ${provider}`)
  }
  const secretAfter = secret === undefined ? hasSecret : secret !== null
  const certificateAfter = certificate === undefined ? hasCertificate : certificate !== null
  if (secretAfter && certificateAfter) {
    return isGiven(certificate)
      ? invalid(
        "certificate",
        "Expected an app without a secret: it has one or the other; take the secret away with the same request",
      )
      : invalid(
        "secret",
        "Expected an app without a certificate: it has one or the other; take the certificate away with the same request",
      )
  }
  if (isGiven(secretExpiresAt) && !secretAfter) {
    return invalid("secretExpiresAt", "Expected only along with a secret; a certificate says itself when it ends")
  }
  return undefined
}

/** Whether a redemption may end otherwise after the change. */
export const concernsRedemption = (
  { authority, certificate, scopes, secret, serviceAccount }: AppChange,
): boolean => [authority, certificate, scopes, secret, serviceAccount].some((value) => value !== undefined)

/** The scopes after a change: of the channels that are given, null takes away; without any channel, of all. */
export const mergeScopes = (before: AppScopes, change: AppChange["scopes"]): AppScopes => {
  if (change === null) return {}
  const merged = { ...before, ...change }
  return Object.fromEntries(Object.entries(merged).filter(([, scopes]) => isGiven(scopes)))
}
