/**
 * Google's token endpoint (Google Identity, OAuth 2.0 for web server applications). It does not rotate: the refresh token
 * of the consent stays the one.
 */
import type { Answer } from "./Answer.ts"
import { challengeOf, type Code, codeLifetime } from "./Codes.ts"
import { googleError } from "./GoogleErrors.ts"
import type { GoogleGrant } from "./GoogleGrants.ts"
import { testingLife } from "./GoogleGrants.ts"
import { basicMask, emailMask, googleNamesOf, openidMask } from "./GoogleScopes.ts"
import { deviceGrant } from "./MicrosoftClients.ts"
import type { App } from "./Population.ts"
import { type Reason, refusal } from "./Refusals.ts"
import { type Authority, basicSecret, type Call } from "./TokenEndpoint.ts"
import type { World } from "./World.ts"

/** A part of the origin's path, so that Microsoft's addresses may stand beside Google's. */
export const googleBase = "/google"

export class GoogleToken implements Authority {
  constructor(private readonly world: World) {}

  inspect(): void {}

  decide(call: Call): Answer {
    const { app, form, headers, shown } = call
    const grantType = form.get("grant_type")
    if (!grantType) return googleError("invalid_request", { text: "Required parameter is missing: grant_type" })
    if (!grantTypes.has(grantType)) {
      return googleError("unsupported_grant_type", { text: `Invalid grant_type: ${grantType}` })
    }
    if (grantType === jwtBearer) return this.delegated(call)
    if (!form.get("client_id")) {
      return googleError("invalid_request", { text: "Could not determine client ID from request." })
    }
    if (app?.provider !== "google") return googleError("invalid_client", { text: "The OAuth client was not found." })
    if (app.fault !== undefined) return refusal(app.fault, shown)
    if ((form.get("client_secret") ?? basicSecret(headers)) !== app.secret) return googleError("invalid_client")
    if (grantType === deviceGrant) return this.redeemDevice(call, app)
    return grantType === "authorization_code" ? this.redeemCode(call, app) : this.refresh(call, app)
  }

  private refresh({ form, held, now, shown, url }: Call, app: App): Answer {
    if (!form.get("refresh_token")) {
      return googleError("invalid_request", { text: "Missing required parameter: refresh_token" })
    }
    if (held === undefined || this.world.population.providerOf(held.index) !== "google") return badRequest
    const { grant, index } = held
    const found = this.world.googleGrants.find(index, held.family, now)
    if (found !== undefined && found.app !== app) return badRequest
    // A token that is dead does not tell any more whose it was.
    if (found === undefined) return this.isForeign(index, app) ? badRequest : googleError("invalid_grant")
    grant.presented = 0
    const reason: Reason | undefined = grant.revoked ?? grant.lock
    if (reason !== undefined) return refusal(reason, shown)
    grant.usedAt = now
    return this.success(index, app.index, found.mask, now, {
      id_token: this.idToken(index, found, shown, url, undefined),
      refresh_token_expires_in: secondsLeft(found, now),
    })
  }

  /** A service account in the name of a user. */
  private delegated({ form, now, url }: Call): Answer {
    const { grants, serviceAccounts } = this.world
    const assertion = form.get("assertion")
    if (!assertion) return googleError("invalid_request", { text: "Missing required parameter: assertion" })
    const allowed = serviceAccounts.check(assertion, url.replace(/\?.*$/, ""), now)
    if ("status" in allowed) return allowed
    const lock = allowed.index < 0 ? undefined : grants.peek(allowed.index)?.lock
    // A service account is no OAuth client: its tokens name none.
    return lock === undefined ? this.success(allowed.index, -1, allowed.mask, now, {}) : refusal(lock, now)
  }

  private isForeign(index: number, app: App): boolean {
    return this.world.grants.appOf(index) !== app && this.world.population.appOf(index) !== app
  }

  /** Texts are those seen in the wild; that a code lives as long as Microsoft's is a guess. */
  private redeemCode(call: Call, app: App): Answer {
    const { form, now, shown } = call
    const { codes, grants } = this.world
    const code = codes.get(form.get("code") ?? "")
    if (!form.get("code")) return googleError("invalid_request", { text: "Missing required parameter: code" })
    if (code === undefined) return googleError("invalid_grant", { text: "Malformed auth code." })
    if (code.app !== app || code.isRedeemed || now - code.issuedAt >= codeLifetime) return badRequest
    if (form.get("redirect_uri") !== code.redirectUri) return googleError("redirect_uri_mismatch")
    if (code.challenge !== undefined) {
      const verifier = form.get("code_verifier")
      if (!verifier) return googleError("invalid_grant", { text: "Missing code verifier." })
      if (challengeOf(verifier) !== code.challenge) {
        return googleError("invalid_grant", { text: "Invalid code verifier." })
      }
    }
    const lock = grants.peek(code.index)?.lock
    if (lock !== undefined) return refusal(lock, shown)
    code.isRedeemed = true
    return this.grantTo(call, app, code)
  }

  /** A device gets name and address only, and always a refresh token. */
  private redeemDevice(call: Call, app: App): Answer {
    const polled = this.world.devices.poll(call.form.get("device_code") ?? "", app, call.now)
    if (polled === undefined || polled === "expired") return badRequest
    if (polled === "pending") return googleError("authorization_pending")
    if (polled === "too-soon") return googleError("slow_down")
    if (polled === "declined") return googleError("access_denied")
    polled.redeem()
    return this.grantTo(call, app, { ...polled, nonce: undefined, offline: true })
  }

  /** Tokens for somebody who signed in just now. */
  private grantTo(
    { exchange, now, shown, url }: Call,
    app: App,
    code: Pick<Code, "consent" | "index" | "nonce" | "offline">,
  ): Answer {
    const { googleGrants, grants } = this.world
    const expiresAt = app.isTesting && (code.consent & ~basicMask) !== 0 ? now + testingLife : Infinity
    const granted: GoogleGrant = { app, mask: code.consent, expiresAt }
    if (code.offline) {
      googleGrants.signIn(code.index, app, code.consent, expiresAt)
      exchange.issued(grants.get(code.index), code.index, now)
    }
    return this.success(code.index, app.index, code.consent, now, {
      id_token: this.idToken(code.index, granted, shown, url, code),
      refresh_token: code.offline ? grants.refreshToken(code.index, grants.get(code.index).family, 0) : undefined,
      refresh_token_expires_in: code.offline ? secondsLeft(granted, now) : undefined,
    })
  }

  /** @param fields `undefined` ones are left out */
  private success(
    index: number,
    app: number,
    mask: number,
    now: number,
    fields: Readonly<Record<string, string | number | undefined>>,
  ): Answer {
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
          app,
          resource: "gmail",
          issuedAt: now,
          expiresAt: now + lifetime,
          mask,
        }),
        expires_in: settings.expiresIn === "absent"
          ? undefined
          : settings.expiresIn === "string"
          ? `${seconds}`
          : seconds,
        scope: googleNamesOf(mask).join(" "),
        token_type: "Bearer",
        ...fields,
      }),
    }
  }

  private idToken(
    index: number,
    { app, mask }: GoogleGrant,
    shown: number,
    url: string,
    code: Pick<Code, "nonce"> | undefined,
  ) {
    if ((mask & openidMask) === 0) return undefined
    const { googleGrants, population, signingKey } = this.world
    const seconds = Math.floor(shown / 1000)
    return signingKey.sign({
      iss: new URL(url).origin + googleBase,
      azp: app.clientId,
      aud: app.clientId,
      sub: googleGrants.subject(index),
      ...((mask & emailMask) === 0 ? {} : { email: population.email(index), email_verified: true }),
      nonce: code?.nonce,
      iat: seconds,
      exp: seconds + 3600,
    })
  }
}

/** RFC 7523 §2.1 */
export const jwtBearer = "urn:ietf:params:oauth:grant-type:jwt-bearer"

const grantTypes = new Set(["refresh_token", "authorization_code", jwtBearer, deviceGrant])

const badRequest = googleError("invalid_grant", { text: "Bad Request" })

const secondsLeft = ({ expiresAt }: GoogleGrant, now: number): number | undefined =>
  expiresAt === Infinity ? undefined : Math.floor((expiresAt - now) / 1000)
