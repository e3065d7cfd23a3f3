/** Who signed in, as the provider says: never what a browser or a link says. */
import { Effect, Option, Redacted, Result, Schema } from "effect"
import type { IDToken } from "oauth4webapi"
import type { Provider, Resource } from "../domain/Account.ts"
import { SignInRefused } from "../domain/ConnectSession.ts"
import type { GetText } from "./SignInHttp.ts"

export interface Person {
  /** The provider's own id of the person, which survives a change of address. */
  readonly subject: string
  /** That of the mailbox. */
  readonly address: string
  /** All that are said to be the person's, this one included. */
  readonly addresses: ReadonlyArray<string>
  /** Those of them that the provider vouches for: no others decide whose account it is. */
  readonly verified: ReadonlyArray<string>
}

const Me = Schema.fromJsonString(Schema.Struct({
  mail: Schema.optionalKey(Schema.NullOr(Schema.String)),
  userPrincipalName: Schema.optionalKey(Schema.NullOr(Schema.String)),
}))
const decodeMe = Schema.decodeUnknownResult(Me)

/** Guests have names such as `ada_example.com#EXT#@contoso.example`, which are no addresses. */
const addressForm = /^[^\s@#\p{Cc}]{1,64}@[^\s@\p{Cc}]{1,255}$/u

const addressesIn = (candidates: ReadonlyArray<unknown>): ReadonlyArray<string> => {
  const found = new Map<string, string>()
  for (const one of candidates) {
    if (typeof one === "string" && addressForm.test(one) && !found.has(one.toLowerCase())) {
      found.set(one.toLowerCase(), one)
    }
  }
  return [...found.values()]
}

/** The object id is the same for every app of a tenant, `sub` is one for each app (Microsoft, id token claims). */
const subjectOf = (provider: Provider, { oid, sub, tid }: IDToken): string =>
  provider === "google" ? sub : `${String(tid).toLowerCase()}.${typeof oid === "string" ? oid.toLowerCase() : sub}`

/** Of all personal accounts (provider-facts A1): there every address has been proved. */
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

const domainOf = (address: string): string => address.slice(address.lastIndexOf("@") + 1).toLowerCase()

/**
 * The user name has a domain that the tenant has proved to own; `mail` and `email` are whatever the tenant's administrator wrote,
 * unless they are of the same domain, or Microsoft says that it has checked them (`xms_edov`).
 */
const verifiedAtMicrosoft = (
  addresses: ReadonlyArray<string>,
  userNames: ReadonlyArray<unknown>,
  { email, tid, xms_edov }: IDToken,
): ReadonlyArray<string> => {
  if (tid === personalTenant) return addresses
  const domains = new Set(addressesIn(userNames).map(domainOf))
  const isChecked = xms_edov === true || xms_edov === 1 || xms_edov === "1" || xms_edov === "true"
  return addresses.filter((one) =>
    domains.has(domainOf(one)) || (isChecked && typeof email === "string" && email.toLowerCase() === one.toLowerCase())
  )
}

/** From what the id token states, and what its directory says where that was asked. */
export const personFrom = Effect.fnUntraced(function* ({ claims, me, provider }: {
  readonly provider: Provider
  readonly claims: IDToken
  readonly me: typeof Me.Type | undefined
}): Effect.fn.Return<Person, SignInRefused> {
  const { email, preferred_username: userName } = claims
  const isVerified = provider === "microsoft" || claims["email_verified"] === true ||
    claims["email_verified"] === "true"
  // What the directory says comes first: claims may be missing, and the mailbox is read under the address that it has there.
  const addresses = addressesIn(
    provider === "google" ? isVerified ? [email] : [] : [me?.mail, me?.userPrincipalName, email, userName],
  )
  const [address] = addresses
  if (address === undefined) {
    return yield* new SignInRefused({
      code: "no_address",
      message: "the provider names no address of who signed in; check that the app may read the profile",
    })
  }
  const verified = provider === "google"
    ? addresses
    : verifiedAtMicrosoft(addresses, [me?.userPrincipalName, userName], claims)
  return { subject: subjectOf(provider, claims), address, addresses, verified }
})

export const personOf = Effect.fnUntraced(function* (options: {
  readonly provider: Provider
  readonly resource: Resource
  readonly claims: IDToken
  readonly accessToken: Redacted.Redacted
  readonly graphUrl: string
  readonly getText: GetText
}) {
  const { accessToken, claims, getText, graphUrl, provider, resource } = options
  const text = resource === "graph"
    ? yield* getText(`${graphUrl}/me?$select=mail,userPrincipalName`, accessToken)
    : Option.none<string>()
  const me = Option.isNone(text) ? undefined : Result.getOrUndefined(decodeMe(text.value))
  return yield* personFrom({ provider, claims, me })
})
