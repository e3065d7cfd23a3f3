import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { gmail, provider } from "./provider.ts"

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
const signed = (claims: Record<string, unknown>, key: KeyObject, alg = "RS256") => {
  const text = `${part({ typ: "JWT", alg })}.${part(claims)}`
  return `${text}.${sign("sha256", Buffer.from(text), key).toString("base64url")}`
}
const scope = "https://mail.google.com/"
const service = "sync@project.iam.gserviceaccount.com"

describe("service accounts of Google's", () => {
  it.live("act for a user within what was delegated, and are refused otherwise", () =>
    Effect.gen(function* () {
      const { base, control, simulator } = yield* provider({ accounts: 3, googleAccounts: 2 })
      const answer = yield* Effect.promise(() =>
        control("POST", "service-accounts", { email: service, scopes: [scope] })
      )
      const file = JSON.parse(JSON.parse(answer.text).keyFile)
      assert.deepStrictEqual([file.client_email, file.token_uri], [service, `${base}/google/token`])
      const key = createPrivateKey(file.private_key)
      const now = Math.floor(Date.now() / 1000)
      const claims = { iss: service, sub: gmail(2), scope, aud: file.token_uri, iat: now, exp: now + 3600 }
      const ask = (assertion: string) =>
        Effect.promise(async () => {
          const grant_type = "urn:ietf:params:oauth:grant-type:jwt-bearer"
          const body = new URLSearchParams({ grant_type, assertion })
          const response = await fetch(file.token_uri, { method: "POST", body })
          return { status: response.status, ...await response.json() }
        })
      const granted = yield* ask(signed(claims, key))
      assert.deepStrictEqual([granted.status, granted.scope, granted.refresh_token], [200, scope, undefined])
      const { privateKey: stranger } = generateKeyPairSync("rsa", { modulusLength: 2048 })
      const cases: ReadonlyArray<readonly [string, string]> = [
        ["invalid_grant", signed(claims, stranger)],
        ["invalid_grant", signed(claims, key, "none")],
        ["invalid_grant", "a.b.c"],
        ["invalid_grant", signed({ ...claims, iss: "else@x.example" }, key)],
        ["invalid_grant", signed({ ...claims, aud: "https://else.example/" }, key)],
        ["invalid_grant", signed({ ...claims, exp: now + 3601 }, key)],
        ["invalid_grant", signed({ ...claims, iat: now - 7200, exp: now - 3600 }, key)],
        ["invalid_grant", signed({ ...claims, sub: "nobody@gmail.sim.example" }, key)],
        ["invalid_scope", signed({ ...claims, scope: "" }, key)],
        ["unauthorized_client", signed({ ...claims, scope: "https://www.googleapis.com/auth/gmail.readonly" }, key)],
      ]
      for (const [error, assertion] of cases) assert.strictEqual((yield* ask(assertion)).error, error)
      simulator.lock(gmail(2))
      assert.strictEqual((yield* ask(signed(claims, key))).error, "admin_policy_enforced")
      assert.isAtLeast(simulator.counters().tokenRequests[service]?.["jwt-bearer"] ?? 0, 9)
    }))
})
