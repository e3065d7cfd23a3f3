import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  constants,
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  X509Certificate,
} from "node:crypto"
import { certificate, privateKey } from "./certificate.ts"
import { email, failure, mailScope, provider } from "./provider.ts"

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
const thumbprint = (algorithm: string) =>
  createHash(algorithm).update(new X509Certificate(certificate).raw).digest("base64url")

const signed = (
  header: Record<string, unknown>,
  claims: Record<string, unknown>,
  key: KeyObject = createPrivateKey(privateKey),
) => {
  const text = `${part(header)}.${part(claims)}`
  const pss = { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
  return `${text}.${sign("sha256", Buffer.from(text), header["alg"] === "PS256" ? pss : key).toString("base64url")}`
}

describe("client assertions", () => {
  it.live("let an app in by its certificate, once, and are refused for what is wrong with them", () =>
    Effect.gen(function* () {
      const { base, control, redeem, simulator } = yield* provider({ accounts: 1 })
      const { clientId } = simulator.account(email(1))
      const register = (body: unknown) => Effect.promise(() => control("POST", "apps", body))
      assert.strictEqual((yield* register({ clientId, certificates: ["none"] })).status, 422)
      assert.strictEqual((yield* register({ clientId, certificates: [certificate] })).status, 200)

      const seconds = Math.floor(Date.now() / 1000)
      const claims = (change: Record<string, unknown> = {}) => ({
        aud: `${base}/common/oauth2/v2.0/token`,
        iss: clientId,
        sub: clientId,
        jti: crypto.randomUUID(),
        nbf: seconds,
        exp: seconds + 600,
        ...change,
      })
      const ps = { typ: "JWT", alg: "PS256", "x5t#S256": thumbprint("sha256") }
      const rs = { typ: "JWT", alg: "RS256", x5t: thumbprint("sha1") }
      const client_assertion_type = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
      const present = (client_assertion: string, form: Record<string, string> = {}) =>
        Effect.promise(() =>
          redeem(email(1), undefined, { client_assertion_type, client_assertion, scope: mailScope, ...form })
        )

      const good = signed(ps, claims())
      assert.strictEqual((yield* present(good)).status, 200)
      assert.strictEqual((yield* present(signed(rs, claims()))).status, 200)
      const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 })
      const cases: ReadonlyArray<readonly [number, string, string]> = [
        [50013, "invalid_client", good],
        [50027, "invalid_request", "a.b.c"],
        [50027, "invalid_request", signed({ ...ps, alg: "none" }, claims())],
        [50027, "invalid_request", signed(ps, claims({ jti: undefined }))],
        [700027, "invalid_client", signed(ps, claims(), stranger)],
        [700027, "invalid_client", signed({ ...rs, alg: "PS256", x5t: thumbprint("sha256") }, claims())],
        [700027, "invalid_client", signed({ typ: "JWT", alg: "RS256" }, claims())],
        [700027, "invalid_client", `${good.slice(0, good.lastIndexOf("."))}.AAAA`],
        [700023, "invalid_client", signed(ps, claims({ aud: "https://else.example/" }))],
        [700021, "invalid_client", signed(ps, claims({ sub: "somebody" }))],
        [700024, "invalid_client", signed(ps, claims({ exp: seconds - 301 }))],
        [700024, "invalid_client", signed(ps, claims({ nbf: seconds + 360 }))],
      ]
      for (const [code, error, assertion] of cases) {
        const { error: told, error_codes } = failure(yield* present(assertion))
        assert.deepStrictEqual([told, error_codes], [error, [code]])
      }
      const untyped = failure(yield* present(signed(ps, claims()), { client_assertion_type: "" }))
      assert.deepStrictEqual(untyped.error_codes, [50027])
      const bare = failure(yield* Effect.promise(() => redeem(email(1))))
      assert.deepStrictEqual(bare.error_codes, [7000218])
      const secret = failure(yield* Effect.promise(() => redeem(email(1), undefined, { client_secret: "undefined" })))
      assert.deepStrictEqual(secret.error_codes, [7000215])
    }))
})
