/** Backups from each engine into each: every row as it was, in a database that knows that it is restored. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Settings } from "../../../src/domain/Settings.ts"
import { KeyProvider } from "../../../src/oauth/KeyProvider.ts"
import { backup } from "../../../src/storage/backup/Backup.ts"
import { restore } from "../../../src/storage/backup/Restore.ts"
import { Database } from "../../../src/storage/Database.ts"
import { keysOf, processWith } from "../../support/keys.ts"
import { databaseLayer, usableEngines } from "../../support/databases.ts"

const provider = (keys: string) =>
  KeyProvider.layer.pipe(
    Layer.provide(Layer.orDie(Settings.layerWith({
      databaseUrl: Option.none(),
      encryptionKeys: Option.some(Redacted.make(keys)),
    }))),
  )

const openDatabase = (engine: "postgres" | "embedded") =>
  Effect.map(Layer.build(Layer.fresh(databaseLayer(engine))), (context) => Effect.provideContext(Database, context))
    .pipe(
      Effect.flatten,
    )

const backedUp = Effect.fnUntraced(function* ({ schema, sql }: Database["Service"]) {
  const lines: Array<string> = []
  const summary = yield* backup(sql, schema, "1.2.3", (line) => Effect.sync(() => void lines.push(line.trimEnd())))
  return { lines, ...summary }
})

const restored = ({ schema, sql }: Database["Service"], lines: ReadonlyArray<string>, keys = keysOf("k1")) => {
  let at = 0
  return restore(sql, schema, 3_600, Effect.sync(() => Option.fromUndefinedOr(lines[at++]))).pipe(
    Effect.provide(provider(keys)),
  )
}

/** Rows that are hard to carry: every kind of value, bytes, texts of all sorts, and more than a page of them. */
const fill = Effect.fnUntraced(function* ({ sql, tables: t }: Database["Service"]) {
  const [app, grant, account, folder] = [newId(), newId(), newId(), newId()]
  yield* sql`insert into ${t.apps} (id, provider, client_id, tenant, scopes) values (${app}, 'microsoft', 'c', 'common', '{"graph":"a b"}')`
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at, lease_until, lease_fence)
    values (${grant}, ${app}, '\\x00ff0a', '\\x01', now() - interval '1 day', now() - interval '1 day', now() + interval '1 hour',
      9007199254740993)`
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status, tags, sync_due_at)
    values (${account}, 'microsoft', 'Ada@example.com', 'ada@example.com', 'graph', ${grant}, 'active',
      '{a,"b c","d,\\"e"}', now() - interval '1 day')`
  yield* sql`insert into ${t.folders} (account_id, id, remote_id, display_name, cursor)
    values (${account}, ${folder}, 'r', ${"Zoë\t\\ \n\u2028 𝄞 \"'"}, 'cursor')`
  yield* sql`insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, subject, sender, to_recipients,
      cc_recipients, bcc_recipients, reply_to, received_at, is_read, is_draft, is_flagged, importance, categories,
      has_attachments, preview, body_text)
    select ${account}, gen_random_uuid(), 'm' || n, ${folder}, 1, ${"line\nline\ttab \\n"}, '{"name":"\\u00e9"}', '[]', '[]', '[]', '[]',
      case n % 3 when 0 then null when 1 then '-infinity'::timestamptz else '2026-03-01T09:30:00.123456Z' end,
      true, false, false, 'normal', '{}', false, '', repeat('x', case n % 500 when 0 then 3000000 else 100 end)
    from generate_series(1, 1200) n`
  yield* sql`insert into ${t.message_index} (account_id, message_id, received_at, wants_body, search)
    select account_id, id, now(), false, to_tsvector('simple', 'it''s a:b word') from ${t.messages} limit 10`
  yield* sql`insert into ${t.changes} (account_id, kind, origin) select ${account}, 'account.status', 'live'
    from generate_series(1, 20)`
})

/** A digest of each table, by the engine itself; columns that a restore sets are left out. */
const digests = Effect.fnUntraced(
  function* ({ schema, sql }: Database["Service"], rows: Readonly<Record<string, number>>) {
    const found: Record<string, string | null> = {}
    for (const table of Object.keys(rows).filter((table) => table !== "meta" && table !== "events")) {
      const [row] = yield* sql<{ digest: string | null }>`select md5(string_agg(j, '|' order by j)) as digest from (
      select (to_jsonb(x) - array['restored_at', 'due_at', 'attempt_at', 'lease_until', 'sync_due_at'])::text as j
      from ${sql(`${schema}.${table}`)} x) rows`
      found[table] = row!.digest
    }
    return found
  },
)

const usable = await usableEngines

for (const [from, to] of [["postgres", "embedded"], ["embedded", "postgres"]] as const) {
  describe.runIf(usable.includes(from) && usable.includes(to))(`A backup of ${from}, restored into ${to}`, () => {
    it.live("has every row, and is whole or refused", () =>
      Effect.gen(function* () {
        const source = yield* openDatabase(from)
        // A first start makes its keys.
        yield* Effect.provideService(processWith(keysOf("k1")), Database, source)
        yield* fill(source)
        const { keyIds, lines, rows } = yield* backedUp(source)
        assert.deepStrictEqual(keyIds, ["k1"])
        assert.strictEqual(rows["messages"], 1_200)
        assert.isBelow(Math.max(...lines.map(({ length }) => length)), 10_000_000, "a page is bounded")

        const target = yield* openDatabase(to)
        const refusal = (some: ReadonlyArray<string>, keys?: string) =>
          Effect.map(Effect.flip(restored(target, some, keys)), ({ message }) => message)
        assert.include(yield* refusal(lines.slice(0, -1)), "its end is missing")
        assert.include(yield* refusal([...lines.slice(0, 4), ...lines.slice(5)]), "rows are missing")
        assert.include(yield* refusal([...lines, lines[1]!]), "something stands behind its end")
        assert.include(yield* refusal(lines.slice(1)), "it does not begin as one")
        assert.include(yield* refusal(["mailfleet-backup\t{}"]), "it does not begin as one")
        assert.include(
          yield* refusal([lines[0]!.replace(/"migration":\d+/, '"migration":9999'), ...lines.slice(1)]),
          "version 1.2.3, whose tables this version does not know",
        )
        assert.include(yield* refusal(lines, keysOf("k2")), "lacks k1")
        assert.include(yield* refusal(lines, `k1:${btoa("?".repeat(32))}`), "the key k1")

        yield* restored(target, lines)
        assert.deepStrictEqual(yield* digests(target, rows), yield* digests(source, rows))

        const { sql, tables: t } = target
        const [about] = yield* sql<
          { restored: boolean; later: boolean; leased: boolean; epoch: number; fence: bigint }
        >`
          select g.restored_at is not null as restored, g.attempt_at > now() and g.due_at > now() and a.sync_due_at > now()
              and g.attempt_at < now() + interval '1 hour' as later,
            g.lease_until is not null as leased, (select value::int4 from ${t.meta} where name = 'epoch') as epoch, lease_fence as fence
          from ${t.grants} g join ${t.accounts} a on a.grant_id = g.id`
        assert.deepInclude(about, { restored: true, later: true, leased: false, fence: 9007199254740993n })
        assert.isAbove(about!.epoch, 1_700_000_000)
        const [next] = yield* sql<{ id: bigint }>`insert into ${t.changes} (account_id, kind, origin)
          select id, 'account.status', 'live' from ${t.accounts} returning id`
        assert.strictEqual(next!.id, 21n)

        assert.include(yield* refusal(lines), "is not empty")
        // What was restored is what is backed up next.
        assert.deepStrictEqual((yield* backedUp(target)).rows, { ...rows, changes: 21, events: 1 })
      }).pipe(Effect.scoped), 60_000)
  })
}
