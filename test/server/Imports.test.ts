/** Imports over HTTP: what is taken, what is refused, and uploads that break off. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Schema } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Run, RunItem } from "../../src/domain/Run.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import {
  type Call,
  clientId,
  csv,
  logged,
  problemOf,
  raw,
  refreshToken,
  refused,
  send,
  server,
  taken,
} from "./stack.ts"

const Items = Schema.Struct({ items: Schema.Array(RunItem), nextCursor: Schema.NullOr(Schema.String) })

const upload = (body: BodyInit, type: string, headers: Record<string, string> = {}): Call => ({
  method: "POST",
  body,
  headers: { "content-type": type, ...headers },
})

const ended = (id: string) =>
  taken(Run, 200, `/v1/runs/${id}`).pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: ({ state }) => state !== "queued" && state !== "running" }),
  )

const address = () => `${newId()}@imports.example`

await onDatabases("Imports", server, (it) => {
  it.effect("each media type is taken, whatever its case and parameters", () =>
    Effect.gen(function* () {
      const row = () => ({ email: address(), clientId, refreshToken: refreshToken("ok") })
      const line = () => Object.values(row()).join("----")
      for (
        const [type, body] of [
          ["text/csv", csv([[address(), "ok"]])],
          ["Text/CSV; charset=utf-8; header=present", csv([[address(), "ok"]])],
          ["text/plain", line()],
          ["text/plain;charset=UTF-8", line()],
          ["application/x-ndjson", JSON.stringify(row())],
          ["application/ndjson", JSON.stringify(row())],
          ["application/jsonl", JSON.stringify(row())],
          ["application/json", JSON.stringify([row()])],
        ] as const
      ) {
        const answer = yield* send("/v1/imports?tags=x,y", upload(body, type))
        assert.strictEqual(answer.status, 202, `${type} ${answer.text}`)
        const run = Schema.decodeUnknownSync(Schema.toCodecJson(Run))(answer.json)
        assert.strictEqual(answer.headers.get("location"), `/v1/runs/${run.id}`)
        assert.deepInclude(run, { kind: "import", trigger: "api", total: 1 })
        const end = yield* ended(run.id)
        assert.deepInclude(end, { state: "completed", processed: 1, succeeded: 1 })
      }
    }))

  it.effect("a missing or another media type is 415 and says what is taken", () =>
    Effect.gen(function* () {
      for (
        const type of ["application/xml", "multipart/form-data; boundary=x", "application/octet-stream", "text", ";"]
      ) {
        const { problem } = yield* refused(415, "unsupported_media_type", "/v1/imports", upload("a", type))
        for (const taken of ["text/csv", "text/plain", "application/x-ndjson", "application/json"]) {
          assert.include(problem.accepted ?? [], taken)
        }
      }
      // Bytes, since a text body would bring a content type of its own.
      yield* refused(415, "unsupported_media_type", "/v1/imports", { method: "POST", body: new Uint8Array([65]) })
    }))

  it.effect("an unknown or a wrong parameter is 400 and starts nothing", () =>
    Effect.gen(function* () {
      for (
        const [query, field] of [
          ["onDuplicate=x", "onDuplicate"],
          ["dryRun=yes", "dryRun"],
          ["dryRun=", "dryRun"],
          ["verify=TRUE", "verify"],
          ["provider=yahoo", "provider"],
          ["channel=pop", "channel"],
          [`tags=${"x".repeat(65)}`, "tags.0"],
          ["dryrun=true", "dryrun"],
        ] as const
      ) {
        const { problem } = yield* refused(400, "invalid_request", `/v1/imports?${query}`, upload(csv([]), "text/csv"))
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), [field], query)
      }
      for (const key of ["", "a b", "ü", "x".repeat(256)]) {
        const { problem } = yield* refused(
          400,
          "invalid_request",
          "/v1/imports",
          upload(csv([]), "text/csv", { "idempotency-key": encodeURI(key) === key || key === "a b" ? key : "\u00fc" }),
        )
        assert.deepStrictEqual(problem.issues?.map((issue) => issue.field), ["idempotency-key"])
      }
    }))

  it.effect("switches take true, false, 1 and 0", () =>
    Effect.gen(function* () {
      for (const [value, dry] of [["true", true], ["1", true], ["false", undefined], ["0", undefined]] as const) {
        const run = yield* taken(
          Run,
          202,
          `/v1/imports?dryRun=${value}&verify=0`,
          upload(csv([[address(), "ok"]]), "text/csv"),
        )
        assert.strictEqual(run.dryRun, dry)
      }
    }))

  it.effect("a file that cannot be read is refused with its line", () =>
    Effect.gen(function* () {
      for (
        const [body, type, line] of [
          ["", "text/csv", undefined],
          ["\n# nothing\n", "text/plain", undefined],
          ["[]", "application/json", undefined],
          ["email,token\n", "text/csv", 1],
          ["a\0b", "text/plain", 1],
          ["{}", "application/json", 1],
        ] as const
      ) {
        const answer = yield* send("/v1/imports", upload(body, type))
        assert.strictEqual(answer.status, 422, `${JSON.stringify(body)} ${answer.text}`)
        if (line !== undefined) assert.strictEqual(problemOf(answer).line, line)
      }
      const none = yield* send("/v1/imports", { method: "POST", headers: { "content-type": "text/csv" } })
      assert.strictEqual(none.status, 422)
    }))

  it.effect("bad rows fail alone, and repeat nothing of what they hold", () =>
    Effect.gen(function* () {
      const file = `${csv([[address(), "ok"]])}\nnot-an-address,${clientId},CANARY\n${
        csv([[address(), "needs_user"]]).split("\n")[1]
      }`
      const run = yield* taken(Run, 202, "/v1/imports", upload(file, "text/csv"))
      const end = yield* ended(run.id)
      assert.deepInclude(end, { state: "completed", total: 3, processed: 3, succeeded: 1, failed: 2 })
      const { items } = yield* taken(Items, 200, `/v1/runs/${run.id}/items`)
      assert.deepStrictEqual(items.map(({ line }) => line), [2, 3, 4])
      assert.strictEqual(items[1]?.error?.code, "invalid_email")
      assert.strictEqual(items[1]?.error?.field, "email")
      const failed = yield* taken(Items, 200, `/v1/runs/${run.id}/items?outcome=failed&limit=1`)
      assert.strictEqual(failed.items.length, 1)
      const rest = yield* taken(Items, 200, `/v1/runs/${run.id}/items?outcome=failed&cursor=${failed.nextCursor}`)
      assert.deepStrictEqual([...failed.items, ...rest.items].map(({ line }) => line), [3, 4])
    }))

  it.effect("the same key and body answer with the same run, another body is refused", () =>
    Effect.gen(function* () {
      const file = csv([[address(), "ok"]])
      const key = { "idempotency-key": newId() }
      const first = yield* taken(Run, 202, "/v1/imports", upload(file, "text/csv", key))
      const second = yield* taken(Run, 202, "/v1/imports", upload(file, "text/csv", key))
      assert.strictEqual(second.id, first.id)
      yield* refused(422, "idempotency_key_reused", "/v1/imports", upload(`${file}\n`, "text/csv", key))
      yield* refused(422, "idempotency_key_reused", "/v1/imports?dryRun=true", upload(file, "text/csv", key))
    }))

  it.effect("while the first upload goes on, its key is in use", () =>
    Effect.gen(function* () {
      const key = { "idempotency-key": newId() }
      const file = csv([[address(), "ok"]])
      const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
      const writer = writable.getWriter()
      const first = yield* Effect.forkChild(send("/v1/imports", upload(readable, "text/csv", key)))
      yield* Effect.promise(() => writer.write(new TextEncoder().encode(file)))
      yield* send("/v1/imports", upload(file, "text/csv", key)).pipe(
        Effect.delay("20 millis"),
        Effect.repeat({ until: ({ status }) => status === 409 }),
      )
      yield* refused(409, "idempotency_key_in_use", "/v1/imports", upload(file, "text/csv", key))
      yield* Effect.promise(() => writer.close())
      assert.strictEqual((yield* Fiber.join(first)).status, 202)
    }))

  it.effect("an upload that breaks off leaves no run, frees its key and makes no noise", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const count = Effect.map(sql`select 1 from ${t.runs}`, (rows) => rows.length)
      const before = yield* count
      const key = { "idempotency-key": newId() }
      const file = csv([[address(), "ok"], [address(), "ok"]])
      let pulls = 0
      const broken = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (pulls++ === 0) controller.enqueue(new TextEncoder().encode(file.slice(0, -20)))
          else controller.error(new Error("connection reset"))
        },
      })
      yield* refused(400, "upload_broken", "/v1/imports", upload(broken, "text/csv", key))
      assert.strictEqual(yield* count, before)

      // The client hangs up: the request is interrupted.
      const abort = new AbortController()
      const endless = new ReadableStream<Uint8Array>({ pull: () => new Promise(() => {}) })
      const path = "http://mailfleet.test/v1/imports"
      const hung = yield* Effect.forkChild(
        raw("/v1/imports", { ...upload(endless, "text/csv", key), signal: abort.signal }),
      )
      yield* Effect.sleep("100 millis")
      abort.abort()
      const response = yield* Fiber.join(hung)
      assert.isAtLeast(response.status, 400, path)
      yield* Effect.repeat(Effect.delay(count, "20 millis"), { until: (now) => now === before })

      assert.strictEqual((yield* send("/v1/imports", upload(file, "text/csv", key))).status, 202)
      assert.deepStrictEqual((yield* logged).filter((line) => line.includes("connection reset")), [])
    }))
})
