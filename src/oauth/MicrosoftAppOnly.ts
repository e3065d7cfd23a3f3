/** Access tokens of an app that acts by itself in a tenant (Microsoft identity platform, OAuth 2.0 client credentials flow). */
import { type Duration, Effect } from "effect"
import { Settings } from "../domain/Settings.ts"
import { clientAuthentication } from "./ClientAuthentication.ts"
import { microsoftCodesIn, microsoftRefusal } from "./Microsoft.ts"
import { type Refusal, reportUnknown, toFailure } from "./Refusal.ts"
import { appOnlyScope } from "./Scopes.ts"
import { spanned } from "./spanned.ts"
import { makeTokenEndpoint, type Obtain, redemptionOf, type TokenAnswer, tokenTimeout } from "./TokenEndpoint.ts"

export const makeMicrosoftAppOnly = (
  options: { readonly timeout?: Duration.Input } = {},
): Effect.Effect<Obtain, never, Settings> =>
  Effect.gen(function* () {
    const settings = yield* Settings
    const post = yield* makeTokenEndpoint(options.timeout ?? tokenTimeout)

    const obtain: Obtain = Effect.fnUntraced(function* ({ app, resource }) {
      const proof = app.secret ?? app.certificate
      const amiss = resource === "gmail" ? wrongResource : proof === undefined ? noProof : undefined
      if (amiss !== undefined) return yield* Effect.fail(toFailure(amiss, undefined))

      const tenant = encodeURIComponent(app.tenant.trim().toWellFormed())
      const url = `${app.authority ?? settings.microsoftAuthority}/${tenant}/oauth2/v2.0/token`
      const answer = yield* post(url, {
        client_id: app.clientId.trim(),
        grant_type: "client_credentials",
        scope: appOnlyScope(settings, resource),
        ...yield* clientAuthentication(app, url),
      })
      const redemption = redemptionOf(answer)
      // There is no refresh token in this flow; one that came all the same is nobody's.
      if (redemption !== undefined) return { accessToken: redemption.accessToken, expiresIn: redemption.expiresIn }

      const failure = toFailure(refusalOf(answer), answer)
      if (failure.error.class === "unknown") yield* reportUnknown(failure, answer.status)
      return yield* Effect.fail(failure)
    })

    return (request) => spanned("Microsoft.obtain", { resource: request.resource })(obtain(request))
  })

/** What a tenant says where its administrator has not consented, or has taken the consent back: it concerns this grant alone. */
const consentCodes: ReadonlySet<number> = new Set([
  65001,
  65004,
  90094,
  90095,
  500011,
  650051,
  650052,
  700011,
  700016,
  7000229,
])

const refusalOf = (answer: TokenAnswer): Refusal => {
  const refusal = microsoftRefusal(answer)
  const code = microsoftCodesIn(answer).find((code) => consentCodes.has(code))
  if (code === undefined || refusal.class === "throttled" || refusal.class === "transient") return refusal
  return {
    class: "scope",
    message: "no administrator of the tenant has consented to the app, or the consent was taken back; have one consent",
    providerCode: `AADSTS${code}`,
  }
}

const wrongResource: Refusal = {
  class: "unknown",
  message: "a Microsoft tenant has no such resource; check the provider and channel of its accounts",
}
const noProof: Refusal = {
  class: "app",
  message: "the app has neither secret nor certificate, and cannot act by itself without one; set one of them",
  // Where people have signed in under the same client id, their grants go on.
  reach: "tenant",
}
