/** Apps over HTTP: their secrets go in and never come out. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { App } from "../../src/domain/App.ts"
import { newId } from "../../src/domain/Ids.ts"
import { privateKey } from "../simulator/certificate.ts"
import { certified, otherCertificate, otherKey } from "../support/certificates.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, logged, refused, send, server, taken } from "./stack.ts"

const Page = Schema.Struct({ items: Schema.Array(App), nextCursor: Schema.NullOr(Schema.String) })

const googleId = () => `${newId()}.apps.googleusercontent.com`

await onDatabases("Apps", server, (it) => {
  it.effect("an app is added, shown and listed, its secret changed and taken away", () =>
    Effect.gen(function* () {
      const clientId = googleId()
      const made = yield* send("/v1/apps", { json: { provider: "google", clientId, secret: " CANARY-secret\n" } })
      assert.strictEqual(made.status, 201, made.text)
      const path = made.headers.get("location") ?? ""
      const app = yield* taken(App, 200, path)
      assert.deepStrictEqual(made.json, (yield* send(path)).json)
      assert.deepInclude(app, { provider: "google", clientId, tenant: "", hasSecret: true })
      const patch = (secret: unknown) => taken(App, 200, path, { method: "PATCH", json: { secret } })
      assert.isFalse((yield* patch(null)).hasSecret)
      assert.isTrue((yield* patch("CANARY-another")).hasSecret)
      assert.isTrue((yield* patch(`  ${"C".repeat(1_000)}  `)).hasSecret)
      const { items } = yield* taken(Page, 200, "/v1/apps?limit=500")
      assert.isTrue(items.some(({ id }) => id === app.id))
      for (const line of yield* logged) assert.notInclude(line, "CANARY")
    }))

  it.effect("an app is named as rows of imports name it", () =>
    Effect.gen(function* () {
      const id = newId()
      const make = (json: unknown) => taken(App, 201, "/v1/apps", { json })
      const microsoft = yield* make({ provider: "microsoft", clientId: `"${id.toUpperCase()}" ` })
      assert.deepInclude(microsoft, { clientId: id, tenant: "common", hasSecret: false })
      const { problem } = yield* refused(409, "duplicate_app", "/v1/apps", {
        json: { provider: "microsoft", clientId: id, tenant: "common", secret: "CANARY" },
      })
      assert.isNotEmpty(problem.detail)
      yield* make({ provider: "microsoft", clientId: id, tenant: "contoso.example" })
      const google = yield* make({ provider: "google", clientId: googleId(), tenant: "common" })
      assert.strictEqual(google.tenant, "")
      yield* refused(409, "duplicate_app", "/v1/apps", { json: { provider: "google", clientId: google.clientId } })

      const imported = newId()
      yield* addAccount(`${imported}@apps.example`, "ok", imported)
      const { answer } = yield* refused(409, "duplicate_app", "/v1/apps", {
        json: { provider: "microsoft", clientId: imported },
      })
      const { appId } = Schema.decodeUnknownSync(Schema.Struct({ appId: Schema.String }))(answer.json)
      assert.deepInclude(yield* taken(App, 200, `/v1/apps/${appId}`), { clientId: imported, hasSecret: false })
    }))

  it.effect("each field of an app is set, changed by itself, and taken away by null", () =>
    Effect.gen(function* () {
      const whole = {
        authority: "https://login.microsoftonline.us",
        redirectUri: "https://mail.example/connect/callback",
        scopes: { graph: "Mail.Read User.Read" },
        registration: "spa" as const,
        secretExpiresAt: "2027-06-30T00:00:00.000Z",
      }
      const json = { provider: "microsoft", clientId: newId(), secret: "CANARY-secret", ...whole }
      const made = yield* send("/v1/apps", { json })
      assert.strictEqual(made.status, 201, made.text)
      const path = made.headers.get("location") ?? ""
      const patch = (json: unknown) =>
        Effect.map(send(path, { method: "PATCH", json }), (answer) => {
          assert.strictEqual(answer.status, 200, answer.text)
          assert.notInclude(answer.text, "PRIVATE KEY")
          return answer.json as typeof App.Encoded
        })
      assert.deepInclude(made.json, { ...whole, hasSecret: true })
      assert.deepInclude(yield* patch({ scopes: { imap: "https://outlook.office.com/IMAP.AccessAsUser.All" } }), {
        ...whole,
        scopes: { ...whole.scopes, imap: "https://outlook.office.com/IMAP.AccessAsUser.All" },
      })
      const bare = yield* patch({
        authority: null,
        redirectUri: null,
        scopes: null,
        registration: null,
        secretExpiresAt: null,
      })
      assert.doesNotHaveAnyKeys(bare, ["authority", "redirectUri", "secretExpiresAt"])
      assert.deepInclude(bare, { scopes: {}, registration: "standard", hasSecret: true })

      yield* refused(422, "invalid_body", path, { method: "PATCH", json: { certificate: certified } })
      const app = yield* patch({ certificate: certified, secret: null })
      assert.isFalse(app.hasSecret)
      assert.match(app.certificate?.thumbprint ?? "", /^[\w-]{43}$/)
      assert.match(app.certificate?.expiresAt ?? "", /^2126-/)
      const other = yield* patch({ certificate: otherCertificate + otherKey })
      assert.notStrictEqual(other.certificate?.thumbprint, app.certificate?.thumbprint)
      assert.notProperty(yield* patch({ certificate: null }), "certificate")

      const file = { type: "service_account", client_email: "m@fleet.iam.gserviceaccount.com", private_key: privateKey }
      const google = yield* taken(App, 201, "/v1/apps", {
        json: { provider: "google", clientId: googleId(), serviceAccountKey: JSON.stringify(file) },
      })
      assert.strictEqual(google.serviceAccount, file.client_email)
      for (const line of yield* logged) {
        assert.notInclude(line, "CANARY")
        assert.notInclude(line, "PRIVATE KEY")
      }
    }))

  it.effect("what cannot be taken is said without repeating it", () =>
    Effect.gen(function* () {
      const good = { provider: "google", clientId: googleId() }
      const microsoft = { provider: "microsoft", clientId: newId() }
      for (
        const [json, field] of [
          [{ ...good, secret: "" }, "secret"],
          [{ ...good, secret: " \n" }, "secret"],
          [{ ...good, secret: `CANARY${"x".repeat(1_000)}` }, "secret"],
          [{ ...good, secret: "CANARY\nCANARY" }, "secret"],
          [{ ...good, secret: "CANARY\0" }, "secret"],
          [{ ...good, secret: 5 }, "secret"],
          [{ ...good, secret: null }, "secret"],
          [{ ...good, secret: { CANARY: 1 } }, "secret"],
          [{ ...good, clientId: "" }, "clientId"],
          [{ ...good, clientId: "CANARY CANARY" }, "clientId"],
          [{ provider: "microsoft", clientId: "CANARY" }, "clientId"],
          [{ provider: "microsoft", clientId: newId(), tenant: "CANARY/" }, "tenant"],
          [{ ...good, provider: "CANARY" }, "provider"],
          [{ ...good, authority: "https://CANARY.example" }, "authority"],
          [{ ...microsoft, authority: "CANARY" }, "authority"],
          [{ ...good, redirectUri: "http://CANARY.example/" }, "redirectUri"],
          [{ ...good, redirectUri: 5 }, "redirectUri"],
          [{ ...microsoft, scopes: { graph: "Mail.Read https://outlook.office.com/CANARY" } }, "scopes.graph"],
          [{ ...microsoft, scopes: { gmail: "CANARY" } }, "scopes.gmail"],
          [{ ...microsoft, scopes: { pop: "CANARY" } }, "scopes.pop"],
          [{ ...microsoft, registration: "CANARY" }, "registration"],
          [{ ...microsoft, registration: "testing" }, "registration"],
          [{ ...microsoft, secretExpiresAt: "2027-01-31" }, "secretExpiresAt"],
          [{ ...microsoft, secret: "CANARY", secretExpiresAt: "CANARY" }, "secretExpiresAt"],
          [{ ...microsoft, certificate: "CANARY" }, "certificate"],
          [{ ...microsoft, certificate: otherCertificate + privateKey }, "certificate"],
          [{ ...microsoft, certificate: certified, secret: "CANARY" }, "certificate"],
          [{ ...good, serviceAccountKey: "CANARY" }, "serviceAccountKey"],
          [{ ...good, client_secret: "CANARY" }, "client_secret"],
          [{ provider: "google" }, "clientId"],
        ] as const
      ) {
        const { problem } = yield* refused(422, "invalid_body", "/v1/apps", { json })
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], JSON.stringify(json))
      }
      const made = yield* taken(App, 201, "/v1/apps", { json: good })
      for (
        const json of [
          {},
          { secret: "" },
          { secret: "x".repeat(1_001) },
          { secret: 5 },
          { clientId: "x" },
          { authority: "CANARY" },
          { scopes: { graph: "Mail.Read" } },
          { certificate: certified },
          { secretExpiresAt: "2027-01-31T00:00:00Z" },
        ]
      ) {
        yield* refused(422, "invalid_body", `/v1/apps/${made.id}`, { method: "PATCH", json })
      }
      for (const id of [newId(), "nothing", "%00"]) {
        yield* refused(404, "not_found", `/v1/apps/${id}`)
        yield* refused(404, "not_found", `/v1/apps/${id}`, { method: "PATCH", json: { secret: null } })
      }
      yield* refused(400, "invalid_cursor", "/v1/apps?cursor=x")
      yield* refused(400, "invalid_request", "/v1/apps?limit=0")
      yield* refused(401, "unauthorized", "/v1/apps", { key: null })
    }))
})
