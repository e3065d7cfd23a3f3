/** Which mailboxes are waited on for news, and what news do. Doubled is the connection: ImapIdle has tests of its own. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Queue, Stream } from "effect"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { ImapIdle } from "../../src/mail/imap/ImapIdle.ts"
import * as ImapWatch from "../../src/schedules/ImapWatch.ts"
import { Database } from "../../src/storage/Database.ts"
import { IdleWatches } from "../../src/storage/mail/IdleWatches.ts"
import { Notifications } from "../../src/storage/mail/Notifications.ts"
import { onDatabases } from "../support/databases.ts"
import { makeAccount } from "../support/mail.ts"
import { eventually } from "../support/processes.ts"
import { pushStorage } from "../support/push.ts"

const settings = Layer.orDie(Settings.layerWith({ imapIdle: 2 }))

const layer = Layer.mergeAll(IdleWatches.layer, pushStorage).pipe(Layer.provideMerge(settings))

await onDatabases("ImapWatch", layer, (it) => {
  it.effect("holds as many connections as it may, for those active last; their news make them due", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const watches = yield* IdleWatches
      const notifications = yield* Notifications
      const news = yield* Queue.unbounded<void>()
      const open = new Set<string>()
      const refusing = new Set<string>()
      const refused = new ProviderError({ class: "scope", code: "consent_required", message: "no" })
      const idle = Layer.succeed(ImapIdle, {
        watch: ({ id }) =>
          id === refuses ? Stream.fail(refused) : Stream.fromQueue(news).pipe(
            Stream.onStart(Effect.sync(() => void open.add(id))),
            Stream.ensuring(Effect.sync(() => void open.delete(id))),
          ),
      })
      const add = Effect.fnUntraced(function* (channel: "graph" | "imap", activeAgo: number | null) {
        const { id } = yield* makeAccount({ channel })
        yield* sql`update ${t.accounts} set active_at = now() - make_interval(secs => ${activeAgo}::float8),
          sync_due_at = now() + interval '1 hour' where id = ${id}`
        return id
      })
      yield* add("graph", 1)
      yield* add("imap", null)
      yield* add("imap", 300)
      const second = yield* add("imap", 200)
      const latest = yield* add("imap", 100)
      const refuses = yield* add("imap", 50)
      refusing.add(refuses)

      yield* Effect.gen(function* () {
        yield* Layer.build(Layer.provide(ImapWatch.layer, idle))
        yield* eventually("a connection is open", Effect.sync(() => [...open]), (ids) => ids.length === 1)
        assert.deepStrictEqual([...open], [latest])
        // Another process sees none of these, and the one that was refused waits until it is active again.
        assert.notInclude((yield* watches.claim([], 10)).map(({ id }) => id), latest)
        const [row] = yield* sql<
          { active: Date | null }
        >`select active_at as active from ${t.accounts} where id = ${refuses!}`
        assert.isNull(row!.active)

        yield* Queue.offer(news, undefined)
        yield* eventually("the news are taken in", notifications.backlog, ({ waiting }) => waiting === 1)
        yield* notifications.drain(10)
        const [due] = yield* sql<
          { is: boolean }
        >`select sync_due_at <= now() as is from ${t.accounts} where id = ${latest}`
        assert.isTrue(due!.is)
      }).pipe(Effect.scoped)

      // Its end gives them up.
      assert.strictEqual(open.size, 0)
      assert.include((yield* watches.claim([], 10)).map(({ id }) => id), latest)
      assert.deepStrictEqual((yield* watches.claim([latest, second], 1)).map(({ id }) => id), [latest])
    }))
})
