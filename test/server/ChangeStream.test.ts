/** The change log as server-sent events. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Change } from "../../src/domain/Mail.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { appendChanges } from "../../src/storage/mail/ChangeLog.ts"
import { Changes } from "../../src/storage/mail/Changes.ts"
import { Database } from "../../src/storage/Database.ts"
import { Sweeps } from "../../src/storage/Sweeps.ts"
import { onDatabases } from "../support/databases.ts"
import { raw, refused, send, server } from "./stack.ts"

const append = (accountId: string, names: ReadonlyArray<string>) =>
  Effect.flatMap(Database, (database) =>
    Effect.orDie(database.sql.withTransaction(appendChanges(
      database,
      names.map((name) => ({ accountId, kind: "message.updated", origin: "live", fields: [name] })),
    ))))

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Schema.toCodecJson(Change)))

interface Reader {
  /** The next `count` entries. */
  readonly take: (count: number) => Effect.Effect<ReadonlyArray<Change>>
  readonly cancel: Effect.Effect<void>
}

const open = Effect.fnUntraced(function* (path: string, headers: Record<string, string> = {}) {
  const response = yield* raw(path, { headers })
  assert.strictEqual(response.status, 200)
  assert.strictEqual(response.headers.get("content-type"), "text/event-stream")
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
  let text = ""
  const one = async (): Promise<Change> => {
    while (true) {
      const end = text.indexOf("\n\n")
      if (end >= 0) {
        const frame = text.slice(0, end)
        text = text.slice(end + 2)
        if (frame.startsWith(":")) continue
        const [, id, kind, data] = /^id: (.*)\nevent: (.*)\ndata: (.*)$/.exec(frame)!
        const change = decode(data)
        assert.deepStrictEqual([change.position, change.kind], [id, kind])
        return change
      }
      const { done, value } = await reader.read()
      if (done) throw new Error("the stream ended")
      text += value
    }
  }
  return {
    take: (count) => Effect.replicateEffect(Effect.promise(one), count),
    cancel: Effect.promise(() => reader.cancel()),
  } satisfies Reader
})

const names = (changes: ReadonlyArray<Change>) => changes.map(({ fields }) => fields?.[0])

const sweeps = Sweeps.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({ changeDays: 30 }))))

await onDatabases("Change stream", Layer.merge(server, sweeps), (it) => {
  it.effect("brings what is there and then what comes, and goes on after the last event", () =>
    Effect.gen(function* () {
      const account = newId()
      const start = yield* Effect.flatMap(Changes, ({ latest }) => latest)
      yield* append(account, ["a", "b"])

      const first = yield* open(`/v1/changes/stream?after=${start}`)
      const there = yield* first.take(2)
      assert.deepStrictEqual(names(there), ["a", "b"])
      yield* append(account, ["c"])
      assert.deepStrictEqual(names(yield* first.take(1)), ["c"])
      yield* first.cancel

      yield* append(account, ["d"])
      const again = yield* open(`/v1/changes/stream?after=${start}`, { "last-event-id": there[1]!.position })
      assert.deepStrictEqual(names(yield* again.take(2)), ["c", "d"])
      yield* again.cancel
    }))

  it.effect("more than a page, to several readers, each in order and once", () =>
    Effect.gen(function* () {
      const account = newId()
      const start = yield* Effect.flatMap(Changes, ({ latest }) => latest)
      const expected = Array.from({ length: 250 }, (_, n) => String(n))
      const readers = yield* Effect.replicateEffect(open(`/v1/changes/stream?after=${start}`), 3)
      for (let n = 0; n < expected.length; n += 50) yield* append(account, expected.slice(n, n + 50))
      for (const reader of readers) {
        assert.deepStrictEqual(names(yield* reader.take(expected.length)), expected)
        yield* reader.cancel
      }
    }))

  it.effect("where changes are past their time a position is refused by all that take one, and is told where to go on", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const account = newId()
      const start = yield* Effect.flatMap(Changes, ({ latest }) => latest)
      const made = yield* send("/v1/webhooks", { json: { url: "https://example.com/hook" }, secret: true })
      const webhook = `/v1/webhooks/${(made.json as { readonly id: string }).id}`
      yield* send(webhook, { method: "PATCH", json: { enabled: false } })
      yield* append(account, ["old", "new"])
      yield* sql`update ${t.changes} set at = now() - interval '40 days' where fields[1] <> 'new'`
      yield* Effect.flatMap(Sweeps, ({ changes }) => changes)

      const latest = yield* Effect.flatMap(Changes, ({ latest }) => latest)
      const { nextCursor } = (yield* send("/v1/changes?after=latest")).json as { readonly nextCursor: string }
      assert.strictEqual(nextCursor, latest)
      for (
        const [path, call] of [
          [`/v1/changes?after=${start}`, {}],
          [`/v1/changes?cursor=${start}`, {}],
          [`/v1/changes/stream?after=${start}`, {}],
          ["/v1/changes/stream", { headers: { "last-event-id": start } }],
          [`${webhook}/replay`, { json: { after: start } }],
          [webhook, { method: "PATCH", json: { enabled: true } }],
        ] as const
      ) {
        const { answer } = yield* refused(410, "position_expired", path, call)
        assert.include(answer.text, latest)
        assert.strictEqual((answer.json as { readonly position: string }).position, latest)
      }
      assert.strictEqual((yield* send(webhook)).status, 200)
      assert.deepInclude((yield* send(webhook)).json, { enabled: false })
      yield* send(`${webhook}/replay`, { json: { after: "latest" } })
      const enabled = yield* send(webhook, { method: "PATCH", json: { enabled: true } })
      assert.deepInclude(enabled.json, { enabled: true })
    }))

  it.effect("a position that is none is refused, and so is a missing key", () =>
    Effect.gen(function* () {
      yield* refused(400, "invalid_cursor", "/v1/changes/stream?after=x")
      yield* refused(400, "invalid_cursor", "/v1/changes/stream", { headers: { "last-event-id": "1" } })
      yield* refused(401, "unauthorized", "/v1/changes/stream", { key: null })
    }))
})
