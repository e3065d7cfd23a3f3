/** Runs over HTTP: starting, watching, stopping and repeating them. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Option, Schema } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Run, RunItem } from "../../src/domain/Run.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, type Call, raw, refused, send, server, serverWithoutWorker, taken } from "./stack.ts"

const Items = Schema.Struct({ items: Schema.Array(RunItem), nextCursor: Schema.NullOr(Schema.String) })
const Page = Schema.Struct({ items: Schema.Array(Run), nextCursor: Schema.NullOr(Schema.String) })

const start = (path: string, json: unknown, call: Call = {}) => taken(Run, 202, path, { ...call, json })

const ended = (id: string) =>
  taken(Run, 200, `/v1/runs/${id}`).pipe(
    Effect.delay("20 millis"),
    Effect.repeat({ until: ({ state }) => state !== "queued" && state !== "running" }),
  )

interface Event {
  readonly id: string
  readonly event: string
  readonly run: typeof Run.Type
}

const decodeRun = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(Run)))

/** Every frame of an event stream, until it ends. */
const events = Effect.fnUntraced(function* (id: string) {
  const response = yield* raw(`/v1/runs/${id}/events`)
  assert.strictEqual(response.status, 200)
  assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
  assert.strictEqual(response.headers.get("cache-control"), "no-store")
  const text = yield* Effect.promise(() => response.text())
  assert.notInclude(text, "CANARY")
  return text.split("\n\n").filter((frame) => frame !== "" && !frame.startsWith(":")).map((frame): Event => {
    const match = /^id: (\d+)\nevent: (\w+)\ndata: (.*)$/.exec(frame)
    assert.isNotNull(match, frame)
    return { id: match![1]!, event: match![2]!, run: decodeRun(match![3]!) }
  })
})

/** A run that nobody works on: its lease belongs to a process that does not exist. */
const stuckRun = Effect.fnUntraced(function* (accounts: number) {
  const { sql, tables: t } = yield* Database
  const id = newId()
  yield* sql`insert into ${t.runs} (id, kind, state, trigger, total, owner_until, started_at)
    values (${id}, 'refresh', 'running', 'api', ${accounts}, now() + interval '1 hour', now())`
  return id
})

await onDatabases("Runs", server, (it) => {
  it.effect("a refresh and a sync work on what was selected", () =>
    Effect.gen(function* () {
      const one = yield* addAccount("one@runs.example")
      const other = yield* addAccount("other@runs.example")
      yield* send(`/v1/accounts/${other.id}`, { method: "PATCH", json: { tags: ["blue"] } })
      for (const path of ["/v1/refreshes", "/v1/syncs"]) {
        const kind = path === "/v1/syncs" ? "sync" : "refresh"
        for (
          const [selection, total] of [
            [{ accountIds: [one.id, other.id, one.id] }, 2],
            [{ filter: { search: "RUNS.example" } }, 2],
            [{ filter: { tag: "blue", status: "active", provider: "microsoft" } }, 1],
            [{ filter: { search: "runs.example", refreshedBefore: "2020-01-01T00:00:00Z" } }, 0],
            [{ all: true }, 2],
          ] as const
        ) {
          const answer = yield* send(path, { json: selection })
          assert.strictEqual(answer.status, 202, answer.text)
          const run = Schema.decodeUnknownSync(Schema.toCodecJson(Run))(answer.json)
          assert.strictEqual(answer.headers.get("location"), `/v1/runs/${run.id}`)
          assert.deepInclude(run, { kind, trigger: "api", total })
          assert.deepInclude(yield* ended(run.id), { state: "completed", succeeded: total, failed: 0 })
        }
      }
    }))

  it.effect("ids of any form are taken", () =>
    Effect.gen(function* () {
      const account = yield* addAccount("any@form.example")
      const run = yield* start("/v1/refreshes", { accountIds: [account.id, newId(), "nothing", "%00", ""] })
      const end = yield* ended(run.id)
      assert.strictEqual(end.state, "completed")
      assert.strictEqual(end.succeeded, 1)
    }))

  it.effect("a selection names exactly one of its three forms", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<readonly [unknown, string]> = [
        [{}, ""],
        [{ accountIds: ["a"], all: true }, ""],
        [{ filter: {}, all: true }, ""],
        [{ accountIds: [] }, "accountIds"],
        [{ accountIds: Array.from({ length: 10_001 }, () => "a") }, "accountIds"],
        [{ accountIds: "a" }, "accountIds"],
        [{ accountIds: [1] }, "accountIds.0"],
        [{ all: false }, "all"],
        [{ filter: { state: "active" } }, "filter.state"],
        [{ filter: { status: "x" } }, "filter.status"],
        [{ filter: { refreshedBefore: "yesterday" } }, "filter.refreshedBefore"],
        [{ filter: { tag: "\0" } }, "filter.tag"],
      ]
      for (const path of ["/v1/refreshes", "/v1/syncs"]) {
        for (const [json, field] of wrong) {
          const { problem } = yield* refused(422, "invalid_body", path, { json })
          assert.deepStrictEqual(
            problem.issues?.map((issue) => issue.field),
            [field],
            JSON.stringify(json).slice(0, 80),
          )
        }
      }
    }))

  it.effect("the same key and selection answer with the same run", () =>
    Effect.gen(function* () {
      const headers = { "idempotency-key": newId() }
      const first = yield* start("/v1/refreshes", { all: true }, { headers })
      assert.strictEqual((yield* start("/v1/refreshes", { all: true }, { headers })).id, first.id)
      yield* refused(422, "idempotency_key_reused", "/v1/refreshes", { json: { filter: { tag: "x" } }, headers })
      yield* refused(422, "idempotency_key_reused", "/v1/syncs", { json: { all: true }, headers })
    }))

  it.effect("runs are listed newest first, by kind and state", () =>
    Effect.gen(function* () {
      const found: Array<string> = []
      for (let cursor = "";;) {
        const page = yield* taken(Page, 200, `/v1/runs?limit=3${cursor}`)
        found.push(...page.items.map(({ id }) => id))
        if (page.nextCursor === null) break
        cursor = `&cursor=${page.nextCursor}`
      }
      assert.isAtLeast(found.length, 8)
      assert.deepStrictEqual(found, [...new Set(found)].sort().reverse())
      const syncs = yield* taken(Page, 200, "/v1/runs?kind=sync&state=completed")
      assert.isNotEmpty(syncs.items)
      assert.isTrue(syncs.items.every(({ kind, state }) => kind === "sync" && state === "completed"))
    }))

  it.effect("failed items are run again", () =>
    Effect.gen(function* () {
      const dead = yield* addAccount("dead@retry.example", "needs_user", newId())
      const good = yield* addAccount("good@retry.example")
      const run = yield* start("/v1/refreshes", { accountIds: [dead.id, good.id] })
      assert.deepInclude(yield* ended(run.id), { succeeded: 1, failed: 1 })
      const { items } = yield* taken(Items, 200, `/v1/runs/${run.id}/items?outcome=failed`)
      assert.deepInclude(items[0]?.error, { code: "needs_reauth", retryable: false })

      const answer = yield* send(`/v1/runs/${run.id}/retry`, { method: "POST" })
      assert.strictEqual(answer.status, 202, answer.text)
      const again = Schema.decodeUnknownSync(Schema.toCodecJson(Run))(answer.json)
      assert.strictEqual(answer.headers.get("location"), `/v1/runs/${again.id}`)
      assert.deepInclude(again, { kind: "refresh", trigger: "retry", retryOf: run.id, total: 1 })
      yield* ended(again.id)

      const fine = yield* start("/v1/refreshes", { accountIds: [good.id] })
      yield* ended(fine.id)
      yield* refused(409, "nothing_to_retry", `/v1/runs/${fine.id}/retry`, { method: "POST" })
    }))

  it.effect("events tell each change, then the end", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const id = yield* stuckRun(2)
      const watching = yield* Effect.forkChild(events(id))
      yield* Effect.sleep("400 millis")
      yield* sql`update ${t.runs} set succeeded = 1 where id = ${id}`
      yield* Effect.sleep("400 millis")
      yield* sql`update ${t.runs} set failed = 1, state = 'completed', finished_at = now() where id = ${id}`
      const seen = yield* Fiber.join(watching)
      assert.deepStrictEqual(seen.map(({ event, run }) => [event, run.state, run.processed]), [
        ["progress", "running", 0],
        ["progress", "running", 1],
        ["progress", "completed", 2],
        ["end", "completed", 2],
      ])
      assert.deepStrictEqual(seen.map((event) => event.id), ["0", "1", "2", "3"])
      assert.deepStrictEqual((yield* events(id)).map(({ event }) => event), ["progress", "end"])
    }))

  it.effect("a reader that goes away ends its stream", () =>
    Effect.gen(function* () {
      const id = yield* stuckRun(1)
      const response = yield* raw(`/v1/runs/${id}/events`)
      const reader = response.body!.getReader()
      assert.isFalse((yield* Effect.promise(() => reader.read())).done)
      yield* Effect.promise(() => reader.cancel())
      assert.isTrue((yield* Effect.promise(() => reader.read())).done)
    }))

  // The last one: the server does not come back from it.
  it.effect("a shutdown ends all event streams and readiness", () =>
    Effect.gen(function* () {
      const shutdown = yield* Shutdown
      const id = yield* stuckRun(1)
      const responses = yield* Effect.forEach([1, 2, 3], () => raw(`/v1/runs/${id}/events`))
      const bodies = yield* Effect.forkChild(
        Effect.forEach(responses, (response) => Effect.promise(() => response.text()), { concurrency: 3 }),
      )
      yield* Effect.sleep("300 millis")
      assert.strictEqual((yield* send("/health/ready")).status, 200)
      yield* shutdown.begin
      const ends = yield* Effect.timeoutOption(Fiber.join(bodies), "2 seconds")
      assert.isTrue(Option.isSome(ends))
      assert.strictEqual(
        yield* raw(`/v1/runs/${id}/events`).pipe(Effect.flatMap((late) => Effect.promise(() => late.text()))),
        "",
      )
      yield* refused(503, "not_ready", "/health/ready")
      assert.strictEqual((yield* send("/health/live")).status, 200)
    }))
})

// A worker would take up what nobody owns.
await onDatabases("Runs without a worker", serverWithoutWorker, (it) => {
  it.effect("a run is cancelled once, and retried only after its end", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const id = yield* stuckRun(3)
      yield* refused(409, "run_active", `/v1/runs/${id}/retry`, { method: "POST" })
      // Its owner is asked to stop it.
      assert.strictEqual((yield* taken(Run, 202, `/v1/runs/${id}/cancel`, { method: "POST" })).state, "running")
      // Nobody owns it any more: it is stopped at once.
      yield* sql`update ${t.runs} set owner_until = null, cancel_requested = false where id = ${id}`
      assert.strictEqual((yield* taken(Run, 202, `/v1/runs/${id}/cancel`, { method: "POST" })).state, "cancelled")
      yield* refused(409, "run_ended", `/v1/runs/${id}/cancel`, { method: "POST" })
    }))
})
