/** Bodies in months: they come ahead, and go with what nobody keeps. */
import { assert } from "@effect/vitest"
import { Clock, DateTime, Effect, Layer, Option } from "effect"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { BodyKeeping } from "../../../src/storage/mail/BodyKeeping.ts"
import { bodyMonth, firstIdAt, monthAt } from "../../../src/storage/mail/BodyMonths.ts"
import { MailKeeping } from "../../../src/storage/mail/MailKeeping.ts"
import { Messages } from "../../../src/storage/mail/Messages.ts"
import { onDatabases } from "../../support/databases.ts"
import { mailStorage, page, upsert } from "../../support/mail.ts"
import { mailbox } from "../../support/mailbox.ts"

const day = 86_400_000

/** What a choice of days is stored as. */
const keepDays = Effect.fnUntraced(function* (accountId: string | null, days: number) {
  const { sql, tables: t } = yield* Database
  yield* orDie(sql`update ${t.accounts} set mail = ${JSON.stringify({ retentionDays: days })}::jsonb
    where id = ${accountId}::uuid or ${accountId}::uuid is null`)
})

const partitions = Effect.gen(function* () {
  const { schema, sql } = yield* Database
  const rows = yield* orDie(
    sql<{ name: string }>`select relname as name from pg_inherits join pg_class c on c.oid = inhrelid
    where inhparent = ${`${schema}.message_bodies`}::text::regclass`,
  )
  return rows.map(({ name }) => name)
})

const bodies = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  const rows = yield* orDie(
    sql<{ text: string }>`select body_text as text from ${t.message_bodies} order by body_text`,
  )
  return rows.map(({ text }) => text)
})

/** A message that was stored at a time, with a body of its name, and the partition of that time. */
const storedAt = Effect.fnUntraced(function* (
  box: Effect.Success<ReturnType<typeof mailbox>>,
  name: string,
  millis: number,
  receivedAt: number | null,
) {
  const { schema, sql, tables: t } = yield* Database
  const month = bodyMonth(millis)
  yield* orDie(sql`create table if not exists ${sql(`${schema}.${month.name}`)} partition of ${t.message_bodies}
    for values from (${sql.literal(`'${month.from}'`)}) to (${sql.literal(`'${month.to}'`)})`)
  const id = `${firstIdAt(millis).slice(0, 24)}${crypto.randomUUID().slice(24)}`
  yield* orDie(sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients,
      cc_recipients, bcc_recipients, reply_to, received_at, is_read, is_draft, is_flagged, importance, categories,
      has_attachments, preview, body_state)
    values (${box.account.id}, ${id}, ${name}, ${box.folder("A").id}, 1, ${name}, '[]', '[]', '[]', '[]',
      ${receivedAt === null ? null : new Date(receivedAt)}, true, false, false, 'normal', '{}', false, '', 'complete')`)
  yield* orDie(sql`insert into ${t.message_bodies} values (${box.account.id}, ${id}, ${name}, null)`)
  return id
})

const textOf = (id: string) =>
  Effect.map(Effect.flatMap(Messages, (messages) => messages.get(id)), (found) => Option.getOrThrow(found).text)

await onDatabases("Bodies in months", Layer.fresh(mailStorage), (it) => {
  it.effect("a month that no account keeps is dropped, but for what has no date", () =>
    Effect.gen(function* () {
      const keeping = yield* MailKeeping
      const box = yield* mailbox()
      const now = yield* Clock.currentTimeMillis
      const then = monthAt(now, -5) + 10 * day
      const month = bodyMonth(then).name
      for (const name of ["a", "b", "c"]) yield* storedAt(box, name, then, then)
      const undated = yield* storedAt(box, "no date", then, null)
      const fresh = yield* storedAt(box, "fresh", now, now)
      yield* keepDays(box.account.id, 3_000)
      assert.strictEqual(yield* keeping.prune, 0)
      assert.include(yield* partitions, month)
      yield* keepDays(box.account.id, 60)
      assert.strictEqual(yield* keeping.prune, 3)
      assert.notInclude(yield* partitions, month)
      assert.deepStrictEqual(yield* bodies, ["fresh", "no date"])
      assert.deepStrictEqual([yield* textOf(undated), yield* textOf(fresh)], ["no date", "fresh"])
    }))

  it.effect("who keeps less than others has bodies deleted with their messages", () =>
    Effect.gen(function* () {
      const keeping = yield* MailKeeping
      const [long, short] = [yield* mailbox(), yield* mailbox()]
      const then = (yield* Clock.currentTimeMillis) - 40 * day
      yield* storedAt(long, "kept long", then, then)
      yield* storedAt(short, "kept short", then, then)
      yield* keepDays(null, 3_000)
      yield* keepDays(short.account.id, 10)
      assert.strictEqual(yield* keeping.prune, 1)
      assert.include(yield* bodies, "kept long")
      assert.notInclude(yield* bodies, "kept short")
      assert.include(yield* partitions, bodyMonth(then).name)
    }))

  it.effect("months come ahead", () =>
    Effect.gen(function* () {
      const { schema, sql } = yield* Database
      const keeping = yield* BodyKeeping
      const next = bodyMonth(monthAt(yield* Clock.currentTimeMillis, 2)).name
      assert.include(yield* partitions, next)
      yield* orDie(sql`drop table ${sql(`${schema}.${next}`)}`)
      yield* keeping.makeAhead
      yield* keeping.makeAhead
      assert.include(yield* partitions, next)
    }))

  it.effect("bodies of before are read and changed where they lie, and moved", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const keeping = yield* BodyKeeping
      const box = yield* mailbox()
      const receivedAt = yield* DateTime.now
      const told = (text: string) =>
        Array.from({ length: 3 }, (_, n) => upsert(`old ${n}`, { receivedAt, text: `${text} ${n}`, html: "<p>" }))
      yield* box.apply("A", page(...told("before")))
      // As a release of before leaves them.
      yield* orDie(sql`update ${t.messages} m set body_text = b.body_text, body_html = b.body_html
        from ${t.message_bodies} b where m.account_id = ${box.account.id} and b.message_id = m.id`)
      yield* orDie(sql`delete from ${t.message_bodies} where account_id = ${box.account.id}`)
      yield* orDie(sql`insert into ${t.meta} values ('bodies_moved', '00000000-0000-0000-0000-000000000000')
        on conflict do nothing`)
      const ids = Effect.map(
        orDie(
          sql<{ id: string }>`select id from ${t.messages} where account_id = ${box.account.id} order by remote_id`,
        ),
        (rows) => rows.map(({ id }) => id),
      )
      const texts = Effect.flatMap(ids, Effect.forEach(textOf))
      assert.deepStrictEqual(yield* texts, ["before 0", "before 1", "before 2"])
      yield* box.log
      yield* box.apply("A", page(...told("before")))
      assert.deepStrictEqual(yield* box.log, [])
      yield* box.apply("A", page(upsert("old 1", { receivedAt, text: "after 1", html: "<b>" })))
      assert.deepStrictEqual(yield* box.log, ["updated A text+html"])
      assert.isAtLeast(yield* keeping.moveOld, 3)
      assert.strictEqual(yield* keeping.moveOld, 0)
      assert.deepStrictEqual(yield* texts, ["before 0", "after 1", "before 2"])
      assert.includeMembers([...yield* bodies], ["before 0", "after 1", "before 2"])
      const left = yield* orDie(sql`select 1 from ${t.messages} where body_text is not null or body_html is not null`)
      assert.lengthOf(left, 0)
    }))

  it.effect("a body without a message is swept", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const keeping = yield* BodyKeeping
      const box = yield* mailbox()
      const now = yield* Clock.currentTimeMillis
      const [gone] = [yield* storedAt(box, "orphan", now, now), yield* storedAt(box, "has one", now, now)]
      yield* orDie(sql`delete from ${t.messages} where id = ${gone}`)
      yield* keeping.sweep
      assert.notInclude(yield* bodies, "orphan")
      assert.include(yield* bodies, "has one")
    }))
})
