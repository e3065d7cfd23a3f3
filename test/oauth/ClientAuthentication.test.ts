/** How an app proves itself: against a provider that verifies each assertion, and answers a replayed one with a refusal. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted, Result } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { constants, createPublicKey, verify } from "node:crypto"
import { Settings } from "../../src/domain/Settings.ts"
import { readCertificate } from "../../src/oauth/AppKeys.ts"
import { clientAuthentication } from "../../src/oauth/ClientAuthentication.ts"
import { type AppCredentials, OAuthProvider } from "../../src/oauth/OAuthProvider.ts"
import { layerProviders } from "../../src/oauth/Providers.ts"
import { certificate } from "../simulator/certificate.ts"
import { email, provider } from "../simulator/provider.ts"
import { certified, otherCertificate, otherKey } from "../support/certificates.ts"

const read = (pem: string) =>
  Result.getOrThrow(readCertificate(Redacted.make(pem), DateTime.makeUnsafe("2026-12-01T00:00:00Z")))

const app = (more: Partial<AppCredentials> = {}): AppCredentials => ({
  provider: "microsoft",
  clientId: "9e5f94bc-e8a4-4e73-8f7d-1c0d5f5c5c5c",
  tenant: "common",
  ...more,
})

const tokenUrl = "https://login.example/common/oauth2/v2.0/token"
const decode = (part = "") => JSON.parse(Buffer.from(part, "base64url").toString())

/** Redeems at a provider that only the app's authority leads to. */
const redeem = (app: AppCredentials, refreshToken: string) =>
  Effect.flatMap(
    OAuthProvider,
    (provider) => provider.redeem({ app, refreshToken: Redacted.make(refreshToken), resource: "graph" }),
  ).pipe(Effect.provide(layerProviders.pipe(
    Layer.provide([FetchHttpClient.layer, Settings.layerWith({ microsoftAuthority: "http://127.0.0.1:1" })]),
    Layer.orDie,
  )))

describe("A client proves itself", () => {
  it.effect("by its secret, or not at all where it has none", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* clientAuthentication(app(), tokenUrl), {})
      assert.deepStrictEqual(yield* clientAuthentication(app({ secret: Redacted.make(" \n") }), tokenUrl), {})
      assert.deepStrictEqual(yield* clientAuthentication(app({ secret: Redacted.make(" s~1\n") }), tokenUrl), {
        client_secret: "s~1",
      })
    }))

  it.effect("by an assertion of its own for each request, signed with the key of its certificate", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.UTC(2027, 0, 1))
      const certified_ = app({ certificate: read(certified) })
      const seen = new Set<unknown>()
      for (let round = 0; round < 3; round++) {
        const { client_assertion = "", client_assertion_type, ...others } = yield* clientAuthentication(
          certified_,
          tokenUrl,
        )
        assert.deepStrictEqual(others, {})
        assert.strictEqual(client_assertion_type, "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
        const [head, claims, signature = ""] = client_assertion.split(".")
        assert.deepStrictEqual(decode(head), { alg: "PS256", typ: "JWT", "x5t#S256": read(certified).thumbprint })
        const { jti, ...rest } = decode(claims)
        seen.add(jti)
        const seconds = Date.UTC(2027, 0, 1) / 1_000
        assert.deepStrictEqual(rest, {
          aud: tokenUrl,
          iss: certified_.clientId,
          sub: certified_.clientId,
          iat: seconds,
          nbf: seconds,
          exp: seconds + 300,
        })
        assert.isTrue(verify(
          "sha256",
          Buffer.from(`${head}.${claims}`),
          { key: createPublicKey(certificate), padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
          Buffer.from(signature, "base64url"),
        ))
      }
      assert.strictEqual(seen.size, 3)
    }))

  it.live("to a provider that verifies it; with another certificate it is a fault of the app", () =>
    Effect.gen(function* () {
      const { base, control, simulator } = yield* provider({ accounts: 1 })
      const { clientId, refreshToken } = simulator.account(email(1))
      const registered = yield* Effect.promise(() => control("POST", "apps", { clientId, certificates: [certificate] }))
      assert.strictEqual(registered.status, 200)
      const good = app({ clientId, authority: base, certificate: read(certified) })
      const first = yield* redeem(good, refreshToken)
      const second = yield* redeem(
        { ...good, scopes: { graph: "Mail.Read" } },
        Redacted.value(first.refreshToken ?? Redacted.make("")),
      )
      assert.include(second.scope, "Mail.Read")
      assert.notInclude(second.scope, "Mail.ReadWrite")
      // Asked for `offline_access` though the app does not name it.
      assert.isDefined(second.refreshToken)

      const wrong = [
        [{ certificate: read(otherCertificate + otherKey) }, "AADSTS700027"],
        [{ secret: Redacted.make("CANARY") }, "AADSTS7000215"],
        [{}, "AADSTS7000218"],
      ] as const
      for (const [proof, code] of wrong) {
        const { error } = yield* Effect.flip(redeem(app({ clientId, authority: base, ...proof }), refreshToken))
        assert.deepInclude(error, { class: "app", code: "app_misconfigured", providerCode: code })
        assert.notInclude(error.message, "CANARY")
      }
    }))
})
