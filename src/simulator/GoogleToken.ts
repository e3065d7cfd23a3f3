/**
 * Google's token endpoint (Google Identity, OAuth 2.0 for web server applications: refreshing an access token). It does
 * not rotate: the refresh token of the consent stays the one.
 */
import type { Answer } from "./Answer.ts"
import { googleError } from "./GoogleErrors.ts"
import type { App } from "./Population.ts"
import { refusal } from "./Refusals.ts"
import { googleScopes } from "./Scopes.ts"
import { type Authority, basicSecret, type Call, type Held } from "./TokenEndpoint.ts"
import type { World } from "./World.ts"

export class GoogleToken implements Authority {
  constructor(private readonly world: World) {}

  inspect(): void {}

  decide({ app, form, headers, held, now, shown }: Call): Answer {
    const grantType = form.get("grant_type")
    if (!grantType) return googleError("invalid_request", { text: "Required parameter is missing: grant_type" })
    if (grantType !== "refresh_token") {
      return googleError("unsupported_grant_type", { text: `Invalid grant_type: ${grantType}` })
    }
    if (!form.get("client_id")) {
      return googleError("invalid_request", { text: "Could not determine client ID from request." })
    }
    if (app?.provider !== "google") return googleError("invalid_client", { text: "The OAuth client was not found." })
    if (app.fault !== undefined) return refusal(app.fault, shown)
    if ((form.get("client_secret") ?? basicSecret(headers)) !== app.secret) return googleError("invalid_client")
    if (!form.get("refresh_token")) {
      return googleError("invalid_request", { text: "Missing required parameter: refresh_token" })
    }
    if (held === undefined || this.world.population.appOf(held.index) !== app) {
      return googleError("invalid_grant", { text: "Bad Request" })
    }
    const { grant } = held
    if (held.family !== grant.family) return googleError("invalid_grant")
    grant.presented = 0
    const reason = grant.revoked ?? grant.lock
    return reason === undefined ? this.redeem(held, app, now) : refusal(reason, shown)
  }

  private redeem({ index }: Held, app: App, now: number): Answer {
    const { counters, grants, settings } = this.world
    counters.redemptions++
    const lifetime = grants.lifetime(index, 0)
    const seconds = Math.floor(lifetime / 1000)
    return {
      status: 200,
      headers: { "content-type": "application/json; charset=utf-8", "cache-control": "no-store" },
      body: JSON.stringify({
        access_token: grants.accessToken({
          index,
          app: app.index,
          resource: "gmail",
          issuedAt: now,
          expiresAt: now + lifetime,
          mask: 0,
        }),
        // `undefined` leaves the field out.
        expires_in: settings.expiresIn === "absent"
          ? undefined
          : settings.expiresIn === "string"
          ? `${seconds}`
          : seconds,
        scope: scopeText,
        token_type: "Bearer",
      }),
    }
  }
}

const scopeText = googleScopes.join(" ")
