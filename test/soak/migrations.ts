/**
 * All later migrations, and what housekeeping does after them, on a database of the time before that is full: how long anybody
 * who reads waits. Exits with 1 where a read took more than a second longer than this process itself stood still.
 *
 * `deno task soak:migrations [--scale 0.1] [--from 10]`: 1 = a million accounts and ten million messages.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Fiber, Layer, Redacted } from "effect"
import { Migrator, SqlClient } from "effect/sql"
import { parseArgs } from "node:util"
import { migrations } from "../../migrations/mod.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Database } from "../../src/storage/Database.ts"
import { BodyKeeping } from "../../src/storage/mail/BodyKeeping.ts"
import { postgresUrl } from "../support/engines.ts"

const { values } = parseArgs({
  args: Deno.args,
  options: { scale: { type: "string", default: "0.1" }, from: { type: "string", default: "10" } },
})
const scale = Number(values.scale)
const accounts = Math.round(1_000_000 * scale)
const messages = Math.round(10_000_000 * scale)
const schema = "soak_migrations"
const longestWait = 1_000
/** Rows in one statement of filling. */
const step = 100_000

const client = Layer.orDie(
  PgClient.layer({ url: Redacted.make(postgresUrl), maxConnections: 8, applicationName: "mailfleet-soak" }),
)

const first = Object.fromEntries(
  Object.entries(migrations).filter(([name]) => Number.parseInt(name) <= Number(values.from)),
)

const fill = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const t = (name: string) => sql(`${schema}.${name}`)
  const id = (kind: string, number: string) =>
    sql.literal(`('${kind}0000000-0000-7000-8000-' || lpad((${number})::text, 12, '0'))::uuid`)
  // As ids that were made in the course of the last three months.
  const messageId = sql.literal(
    "(substr(x, 1, 8) || '-' || substr(x, 9, 4) || '-7000-8000-' || lpad(i::text, 12, '0'))::uuid",
  )
  yield* sql`insert into ${t("apps")} (id, provider, client_id, tenant) values (${id("b", "1")}, 'microsoft', 'c', 't')`
  for (let from = 1; from <= accounts; from += step) {
    const to = Math.min(accounts, from + step - 1)
    yield* sql`insert into ${t("grants")} (id, app_id, secret, token_hash)
      select ${id("e", "i")}, ${id("b", "1")}, '\\x00', '\\x00' from generate_series(${from}::int, ${to}::int) i`
    yield* sql`insert into ${t("accounts")} (id, provider, email, email_key, channel, grant_id, status)
      select ${id("a", "i")}, 'microsoft', i || '@example.com', i || '@example.com', 'graph', ${id("e", "i")}, 'active'
      from generate_series(${from}::int, ${to}::int) i`
  }
  for (let from = 1; from <= messages; from += step) {
    const to = Math.min(messages, from + step - 1)
    yield* sql`insert into ${t("messages")} (account_id, id, remote_id, folder_id, seen_round, subject, to_recipients,
        cc_recipients, bcc_recipients, reply_to, received_at, is_read, is_draft, is_flagged, importance, categories,
        has_attachments, preview, body_text, body_state)
      select ${id("a", `1 + i % ${accounts}`)}, ${messageId}, 'm' || i, ${id("f", `1 + i % ${accounts}`)}, 1,
        'Subject ' || i, '[]', '[]', '[]', '[]', at, true, false, false, 'normal', '{}', false, 'preview ' || i,
        repeat('text ', 60), 'complete'
      from (select i, at, lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') as x
        from (select i, now() - interval '90 days' + i * (interval '90 days' / ${messages}::float8) as at
          from generate_series(${from}::int, ${to}::int) i) dated) told`
    yield* sql`insert into ${t("changes")} (account_id, kind, origin)
      select ${
      id("a", `1 + i % ${accounts}`)
    }, 'message.created', 'live' from generate_series(${from}::int, ${to}::int) i`
  }
  for (const name of ["accounts", "grants", "messages", "changes"]) yield* sql`vacuum (analyze) ${t(name)}`
})

/** Reads as clients do, one after another, on a connection of its own, and remembers the longest wait of each. */
const reading = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  const t = (name: string) => sql(`${schema}.${name}`)
  const waits = new Map<string, number>()
  let [reads, stall] = [0, 0]
  // A busy machine gives this process no turn: all that it waits for takes longer then.
  const watching = Effect.gen(function* () {
    while (true) {
      const begun = performance.now()
      yield* Effect.sleep("1 millis")
      stall = Math.max(stall, performance.now() - begun)
    }
  })
  const [some] = yield* sql<{ id: string; account_id: string }>`select id, account_id from ${t("messages")} limit 1`
  const queries: ReadonlyArray<readonly [string, Effect.Effect<unknown, unknown>]> = [
    ["a message", sql`select * from ${t("messages")} where id = ${some!.id}`],
    [
      "messages of an account",
      sql`select id, subject from ${t("messages")} where account_id = ${some!.account_id}
        order by coalesce(received_at, '-infinity'::timestamptz) desc, id desc limit 50`,
    ],
    ["accounts", sql`select * from ${t("accounts")} order by id limit 50`],
    ["changes", sql`select * from ${t("changes")} order by id limit 50`],
  ]
  const loop = ([name, query]: typeof queries[number]) =>
    Effect.gen(function* () {
      while (true) {
        const begun = performance.now()
        yield* query
        reads++
        waits.set(name, Math.max(waits.get(name) ?? 0, performance.now() - begun))
        yield* Effect.sleep("2 millis")
      }
    })
  const all = Effect.forEach(queries, loop, { concurrency: "unbounded" })
  const fiber = yield* Effect.forkChild(Effect.all([all, watching], { concurrency: "unbounded" }))
  return {
    fiber,
    take: () => {
      const seen = { reads, stall, longest: [...waits] }
      waits.clear()
      reads = 0
      stall = 0
      return seen
    },
  }
})

const soak = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  yield* sql`drop schema if exists ${sql(schema)} cascade`
  yield* sql`create schema ${sql(schema)}`
  const begun = Date.now()
  yield* Migrator.make({})({
    table: `${schema}.migrations`,
    loader: Migrator.fromRecord(Object.fromEntries(Object.entries(first).map(([name, one]) => [name, one(schema)]))),
  }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
  yield* fill
  console.log(
    `${accounts} accounts and ${messages} messages are there after ${Math.round((Date.now() - begun) / 1_000)} s`,
  )

  const reader = yield* reading
  let worst = 0
  const phase = <A, E, R>(name: string, work: Effect.Effect<A, E, R>) =>
    Effect.gen(function* () {
      reader.take()
      const begun = Date.now()
      const done = yield* work
      const { longest, reads, stall } = reader.take()
      for (const [, millis] of longest) worst = Math.max(worst, millis - stall)
      const shown = longest.map(([what, millis]) => `${what} ${Math.round(millis)}`).join(", ")
      console.log(
        `${name}: ${((Date.now() - begun) / 1_000).toFixed(1)} s, ${reads} reads; stood still for ${
          Math.round(stall)
        } ms; longest waits in ms: ${shown}`,
      )
      return done
    })
  yield* phase("nothing", Effect.sleep("5 seconds"))
  const database = yield* phase("migrations", Database.fromClient({ schema, engine: "postgres" }))
  const moved = yield* phase(
    "bodies are moved",
    Effect.flatMap(BodyKeeping, (bodies) => bodies.moveOld).pipe(
      Effect.provide(BodyKeeping.layer.pipe(
        Layer.provide(Layer.succeed(Database, database)),
        Layer.provide(Layer.orDie(Settings.layerWith({}))),
      )),
    ),
  )
  yield* Fiber.interrupt(reader.fiber)
  console.log(`${moved} messages moved; the longest wait for the database was ${Math.round(worst)} ms`)
  yield* sql`drop schema ${sql(schema)} cascade`
  return worst <= longestWait
})

const isBorne = await Effect.runPromise(soak.pipe(Effect.scoped, Effect.provide(client)))
Deno.exit(isBorne ? 0 : 1)
