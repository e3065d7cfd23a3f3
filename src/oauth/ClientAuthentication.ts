/** How an app proves itself at a token endpoint: by its secret, by a signed assertion, or not at all. */
import { Clock, Effect, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { type AuthorizationServer, modifyAssertion, PrivateKeyJwt } from "oauth4webapi"
import type { AppCredentials } from "../domain/App.ts"

/** Seconds. Microsoft advises 5 to 10 minutes (certificate credentials); clocks may be off by as much. */
const assertionLife = 300

/** Keys in the form that signs, by the thumbprint of their certificate: importing one takes as long as signing. */
const keys = new Map<string, Promise<CryptoKey>>()
const keysAtHand = 1_024

const signingKey = (thumbprint: string, privateKey: Redacted.Redacted): Promise<CryptoKey> => {
  let key = keys.get(thumbprint)
  if (key === undefined) {
    if (keys.size >= keysAtHand) keys.clear()
    const der = Buffer.from(Redacted.value(privateKey).replace(/-----[^-]+-----|\s/g, ""), "base64")
    key = crypto.subtle.importKey("pkcs8", der, { name: "RSA-PSS", hash: "SHA-256" }, false, ["sign"])
    keys.set(thumbprint, key)
  }
  return key
}

/** An assertion is signed for each request: its `jti` may be used once (RFC 7523 §3). */
const assertion = Effect.fnUntraced(function* (
  clientId: string,
  { privateKey, thumbprint }: NonNullable<AppCredentials["certificate"]>,
  audience: string,
) {
  const seconds = Math.floor((yield* Clock.currentTimeMillis) / 1_000)
  const form = new URLSearchParams()
  const server: AuthorizationServer = { issuer: audience }
  yield* Effect.promise(async () => {
    const authenticate = PrivateKeyJwt(await signingKey(thumbprint, privateKey), {
      [modifyAssertion]: (header, payload) => {
        Object.assign(header, { typ: "JWT", "x5t#S256": thumbprint })
        Object.assign(payload, { aud: audience, iat: seconds, nbf: seconds, exp: seconds + assertionLife })
      },
    })
    await authenticate(server, { client_id: clientId }, form, new Headers())
  })
  form.delete("client_id")
  return Object.fromEntries(form)
})

const noFields: Effect.Effect<Readonly<Record<string, string>>> = Effect.succeed({})

/**
 * The form fields that prove an app: `client_secret`; `client_assertion_type` and `client_assertion` (RFC 7523, PS256 with
 * `x5t#S256`); or none for a public client.
 *
 * @param audience the address of the token endpoint
 */
export const clientAuthentication = (
  { certificate, clientId, secret }: AppCredentials,
  audience: string,
): Effect.Effect<Readonly<Record<string, string>>> => {
  if (certificate !== undefined) return assertion(clientId.trim(), certificate, audience)
  // Values are not trimmed over there: a stray blank or line break makes them wrong (breaking changes, September 2019).
  const plain = secret === undefined ? "" : Redacted.value(secret).trim()
  return plain === "" ? noFields : Effect.succeed({ client_secret: plain })
}
