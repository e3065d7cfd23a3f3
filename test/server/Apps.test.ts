/** Apps over HTTP: their secrets go in and never come out. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { App } from "../../src/domain/App.ts"
import { newId } from "../../src/domain/Ids.ts"
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

  it.effect("what cannot be taken is said without repeating it", () =>
    Effect.gen(function* () {
      const good = { provider: "google", clientId: googleId() }
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
          [{ ...good, client_secret: "CANARY" }, "client_secret"],
          [{ provider: "google" }, "clientId"],
        ] as const
      ) {
        const { problem } = yield* refused(422, "invalid_body", "/v1/apps", { json })
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], JSON.stringify(json))
      }
      const made = yield* taken(App, 201, "/v1/apps", { json: good })
      for (const json of [{}, { secret: "" }, { secret: "x".repeat(1_001) }, { secret: 5 }, { clientId: "x" }]) {
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
