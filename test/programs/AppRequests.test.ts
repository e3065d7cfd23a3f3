/** A Google account of a confidential client, from its import to an access token, over real HTTP. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option, Redacted, Ref } from "effect"
import { FetchHttpClient } from "effect/http"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { AppRequests } from "../../src/programs/AppRequests.ts"
import { RunRequests } from "../../src/programs/RunRequests.ts"
import { layerEngine } from "../../src/schedules/Engine.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Apps } from "../../src/storage/grants/Apps.ts"
import { onDatabases } from "../support/databases.ts"
import { certificate } from "../simulator/certificate.ts"
import { email, provider } from "../simulator/provider.ts"
import { certified, otherCertificate, otherKey } from "../support/certificates.ts"
import { serve } from "../support/simulator.ts"

const rightSecret = "GOCSPX-CANARY-right"

/** As Google's token endpoint answers a client that must prove itself. */
class Google extends Context.Service<Google, { readonly origin: string; readonly refusals: Ref.Ref<number> }>()(
  "test/Google",
) {
  static readonly layer = Layer.effect(
    Google,
    Effect.gen(function* () {
      const refusals = yield* Ref.make(0)
      const origin = yield* serve(async (request) => {
        const form = new URLSearchParams(await request.text())
        if (form.get("client_secret") === rightSecret) {
          return Response.json({ access_token: `CANARY-${newId()}`, expires_in: 3_599, token_type: "Bearer" })
        }
        await Effect.runPromise(Ref.update(refusals, (count) => count + 1))
        const error_description = form.has("client_secret") ? "The provided client secret is invalid." : "Unauthorized"
        return Response.json({ error: "invalid_client", error_description }, { status: 401 })
      })
      return { origin, refusals }
    }),
  )
}

const lines: Array<string> = []
const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => {
  lines.push(line)
})])

const engine = Layer.unwrap(Effect.map(Google, ({ origin }) =>
  layerEngine.pipe(
    Layer.provideMerge(Settings.layerWith({
      databaseUrl: Option.none(),
      encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
      googleTokenUrl: `${origin}/token`,
    })),
  ))).pipe(
    Layer.provideMerge(Google.layer),
    Layer.provide(FetchHttpClient.layer),
    Layer.provideMerge(capture),
    Layer.orDie,
  )

await onDatabases("AppRequests", engine, (it) => {
  const clientId = () => `${newId()}.apps.googleusercontent.com`

  const addAccount = (clientId: string) =>
    Effect.flatMap(
      RunRequests,
      ({ addAccount }) =>
        Effect.orDie(
          addAccount({ email: `${newId()}@gmail.example`, clientId, refreshToken: Redacted.make("1//CANARY") }),
        ),
    )

  it.effect("an account whose app is there with its secret is redeemed", () =>
    Effect.gen(function* () {
      const requests = yield* AppRequests
      const app = yield* requests.add({
        provider: "google",
        clientId: clientId(),
        secret: Redacted.make(` ${rightSecret}\n`),
      })
      const account = yield* addAccount(app.clientId)
      assert.strictEqual(account.status, "active")
      assert.strictEqual(account.clientId, app.clientId)
      assert.isNotNull(account.token.refreshedAt)
      const duplicate = yield* Effect.flip(requests.add({ provider: "google", clientId: app.clientId }))
      assert.deepInclude(duplicate, { _tag: "DuplicateApp", appId: app.id })
    }))

  it.effect("a secret that comes late, or after a wrong one, is in force at once", () =>
    Effect.gen(function* () {
      const requests = yield* AppRequests
      const apps = yield* Apps
      const tokens = yield* Tokens
      const { refusals } = yield* Google
      const account = yield* addAccount(clientId())
      assert.strictEqual(account.status, "pending")
      assert.strictEqual(account.token.lastError?.class, "app")
      const refresh = tokens.refresh(account.grantId, "gmail")
      // The circuit of the app is open: nothing is sent any more.
      const before = yield* Ref.get(refusals)
      assert.strictEqual((yield* Effect.flip(refresh)).providerCode, "breaker_open")
      assert.strictEqual(yield* Ref.get(refusals), before)

      const { items } = yield* Effect.orDie(apps.list({ limit: 500 }))
      const { id } = items.find((app) => app.clientId === account.clientId)!
      yield* requests.patch(id, { secret: Redacted.make("CANARY-wrong") })
      assert.strictEqual((yield* Effect.flip(refresh)).class, "app")
      assert.strictEqual(yield* Ref.get(refusals), before + 1)

      yield* requests.patch(id, { secret: Redacted.make(rightSecret) })
      assert.strictEqual((yield* refresh).resource, "gmail")
      const after = Option.getOrThrow(yield* (yield* Accounts).get(account.id))
      assert.strictEqual(after.status, "active")
      assert.notProperty(after.token, "lastError")
      for (const line of lines) assert.notInclude(line, "CANARY")
    }))

  it.effect("a certificate, and where the app signs in, are in force at once", () =>
    Effect.gen(function* () {
      const requests = yield* AppRequests
      const tokens = yield* Tokens
      const { base, control, simulator } = yield* provider({ accounts: 1 })
      const { clientId, refreshToken } = simulator.account(email(1))
      yield* Effect.promise(() => control("POST", "apps", { clientId, certificates: [certificate] }))
      const app = yield* requests.add({
        provider: "microsoft",
        clientId,
        authority: base,
        certificate: Redacted.make(otherCertificate + otherKey),
      })
      const account = yield* Effect.flatMap(
        RunRequests,
        ({ addAccount }) =>
          Effect.orDie(
            addAccount({ email: `${newId()}@sim.example`, clientId, refreshToken: Redacted.make(refreshToken) }),
          ),
      )
      assert.deepInclude(account.token.lastError, { class: "app", code: "AADSTS700027" })
      const refresh = tokens.refresh(account.grantId, "graph")
      assert.strictEqual((yield* Effect.flip(refresh)).providerCode, "breaker_open")
      // What no redemption uses cures nothing.
      yield* requests.patch(app.id, { registration: "spa", redirectUri: "https://mail.example/callback" })
      yield* requests.patch(app.id, { certificate: Redacted.make(certified) })
      assert.strictEqual((yield* refresh).resource, "graph")
      // Each assertion is another one: the provider refuses a second use.
      yield* refresh

      yield* requests.patch(app.id, { authority: "http://127.0.0.1:1" })
      assert.strictEqual((yield* Effect.flip(refresh)).class, "transient")
      yield* requests.patch(app.id, { authority: base, scopes: { graph: "Mail.Read" } })
      yield* refresh
      for (const line of lines) assert.notMatch(line, /PRIVATE KEY|eyJ/)
    }))

  it.effect("what cannot be taken is refused with its field, and not repeated", () =>
    Effect.gen(function* () {
      const requests = yield* AppRequests
      const app = { provider: "google" as const, clientId: clientId() }
      for (const secret of ["", " ", "CANARY\u00e9", "x".repeat(1_001)]) {
        const error = yield* Effect.flip(requests.add({ ...app, secret: Redacted.make(secret) }))
        assert(error._tag === "InvalidApp")
        assert.strictEqual(error.field, "secret")
        assert.notInclude(JSON.stringify(error), "CANARY")
        assert.strictEqual(
          (yield* Effect.flip(requests.patch(newId(), { secret: Redacted.make(secret) })))._tag,
          "InvalidApp",
        )
      }
      assert.deepStrictEqual(yield* requests.patch(newId(), { secret: null }), Option.none())
    }))
})
