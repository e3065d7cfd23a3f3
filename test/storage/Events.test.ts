import { assert } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import type { EventKind } from "../../src/domain/Event.ts"
import { newId } from "../../src/domain/Ids.ts"
import { Database } from "../../src/storage/Database.ts"
import { Events } from "../../src/storage/Events.ts"
import { onDatabases } from "../support/databases.ts"

const record = (subject: string, kind: EventKind) =>
  Effect.flatMap(Events, (events) => events.record({ kind, subject, message: `about ${subject}` }))

/** Kinds of the events of a subject, oldest first. */
const kindsOf = (subject: string) =>
  Effect.map(
    Effect.flatMap(Events, (events) => events.list({ limit: 500 })),
    ({ items }) => items.filter((event) => event.subject === subject).map(({ kind }) => kind).toReversed(),
  )

await onDatabases("Events", Events.layer, (it) => {
  it.effect("keeps what happened, newest first, page by page, and by kind", () =>
    Effect.gen(function* () {
      const events = yield* Events
      const subjects = Array.from({ length: 7 }, () => `microsoft:${newId()}`)
      for (const subject of subjects) {
        yield* events.record({ kind: "app.faulted", subject, code: "AADSTS7000222", message: "the secret has expired" })
      }
      yield* record("fleet", "reauth.spike")
      const first = yield* events.list({ limit: 3, kind: "app.faulted" })
      const second = yield* events.list({ limit: 3, kind: "app.faulted", cursor: first.nextCursor! })
      const third = yield* events.list({ limit: 3, kind: "app.faulted", cursor: second.nextCursor! })
      const items = [...first.items, ...second.items, ...third.items]
      assert.deepStrictEqual(items.map(({ subject }) => subject), subjects.toReversed())
      assert.isNull(third.nextCursor)
      const { at, id, ...event } = items[0]!
      assert.match(id, /^\d+$/)
      assert.isTrue(DateTime.isDateTime(at))
      assert.deepStrictEqual(event, {
        kind: "app.faulted",
        subject: subjects[6]!,
        code: "AADSTS7000222",
        message: "the secret has expired",
      })
      assert.notProperty((yield* events.list({ limit: 1, kind: "reauth.spike" })).items[0]!, "code")
      for (const cursor of ["", "x", "WyJ4Il0", "WzFd", "WyItMSJd"]) {
        assert.strictEqual((yield* Effect.flip(events.list({ limit: 1, cursor })))._tag, "InvalidCursor", cursor)
      }
    }))

  it.effect("tells each turn once, whoever and however many see it", () =>
    Effect.gen(function* () {
      const subject = `microsoft:${newId()}`
      const turns: ReadonlyArray<EventKind> = ["app.faulted", "app.recovered", "app.faulted", "app.recovered"]
      for (const kind of turns) {
        const told = yield* Effect.forEach(Array.from({ length: 12 }), () => record(subject, kind), {
          concurrency: "unbounded",
        })
        assert.strictEqual(told.filter(Boolean).length, 1)
        assert.isTrue(yield* record(`${subject}:tenant`, kind), "another subject")
      }
      assert.deepStrictEqual(yield* kindsOf(subject), turns)
    }))

  it.effect("tells the same again after a day: whoever told it last may have ended without a word", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const subject = `microsoft:${newId()}`
      const age = (hours: number) =>
        Effect.orDie(
          sql`update ${t.events} set at = now() - make_interval(hours => ${hours}) where subject = ${subject}`,
        )
      yield* record(subject, "app.faulted")
      yield* age(23)
      assert.isFalse(yield* record(subject, "app.faulted"))
      yield* age(25)
      assert.isTrue(yield* record(subject, "app.faulted"))
      assert.deepStrictEqual(yield* kindsOf(subject), ["app.faulted", "app.faulted"])
    }))
})
