/** Who may ask Microsoft's token endpoint: tenant, required fields, app registration and client credentials. */
import { aadsts } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { refusal } from "./Refusals.ts"
import { basicSecret, type Call } from "./TokenEndpoint.ts"
import type { World } from "./World.ts"

/** A tenant is one of three words, a GUID or a domain name. */
export const tenants =
  /^(common|organizations|consumers|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z0-9-]+(\.[a-z0-9-]+)+)$/i

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
/** RFC 8628 §3.4 */
export const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

const requestFields = ["grant_type", "client_id"]
/** The grant types that there are, and what each must come with. */
const requiredFields: ReadonlyMap<string, ReadonlyArray<string>> = new Map([
  ["refresh_token", [...requestFields, "refresh_token"]],
  ["authorization_code", [...requestFields, "code", "redirect_uri"]],
  ["client_credentials", requestFields],
  [deviceGrant, [...requestFields, "device_code"]],
])

/** The answer to a request that is wrong in one of these, in the order in which Entra looks at them. */
export const checkClient = (world: World, call: Call): Answer | undefined => {
  const { app, form, headers, now, shown } = call
  const isKnown = call.tenant === "common" || tenants.test(call.tenant)
  if (!isKnown) return aadsts(900023, shown, { detail: call.tenant })
  const grantType = form.get("grant_type")
  const missing = (requiredFields.get(grantType ?? "") ?? requestFields).find((name) => !form.get(name))
  if (missing !== undefined) return aadsts(900144, shown, { detail: `Parameter: '${missing}'.` })
  if (grantType === undefined || !requiredFields.has(grantType)) return aadsts(70003, shown)
  if (app?.provider !== "microsoft") {
    return aadsts(700016, shown, { detail: `Identifier: '${form.get("client_id")}'.` })
  }
  if (app.fault !== undefined) return refusal(app.fault, shown)
  if (app.tenant !== undefined && app.tenant !== call.tenant) return aadsts(50194, shown)
  const presented = presentsCredentials(form, headers)
  if (presented && headers.has("origin")) return aadsts(9002326, shown)
  if (app.secret === undefined && app.certificates.length === 0) {
    if (!presented) return grantType === "client_credentials" ? aadsts(7000218, shown) : undefined
    world.violations.add({ kind: "secret-from-public-client", at: now })
    return aadsts(700025, shown)
  }
  if (!presented) return aadsts(7000218, shown)
  const assertion = form.get("client_assertion")
  if (assertion !== undefined) {
    if (form.get("client_assertion_type") !== assertionType) return aadsts(50027, shown)
    const wrong = world.assertions.check(app, assertion, call.url.replace(/\?.*$/, ""), now)
    return wrong === undefined ? undefined : aadsts(wrong, shown)
  }
  return app.secret !== undefined && (form.get("client_secret") ?? basicSecret(headers)) === app.secret
    ? undefined
    : aadsts(7000215, shown)
}

export const presentsCredentials = (form: Call["form"], headers: Headers): boolean =>
  form.has("client_secret") || form.has("client_assertion") ||
  headers.get("authorization")?.startsWith("Basic ") === true
