/** The library: the examples of docs/embedding.md as programs of their own, and beside a caller's tables. */
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Deferred, Effect, Layer, Option, Redacted, Stream } from "effect"
import { ImportFileBroken, Mailfleet, RunNotFound, SettingsError } from "../src/mod.ts"
import { usableEngines } from "./support/databases.ts"
import { accounts, encryptionKeys, exampleOf, examples, redirect, World, world } from "./support/embedding.ts"
import { startReceiver, takenBy } from "./support/webhooks.ts"

const run = Effect.fnUntraced(function* (code: string) {
  const { directory, origin, simulator, url } = yield* World
  const write = (name: string, text: string) => Effect.promise(() => Deno.writeTextFile(`${directory}/${name}`, text))
  yield* write("accounts.csv", [...simulator.importLines()].join(""))
  yield* write("redirect.js", redirect(origin))
  yield* write("example.ts", code)
  const { code: status, stderr, stdout } = yield* Effect.promise(() =>
    new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "--allow-all",
        "--check",
        `--config=${new URL("../deno.json", import.meta.url).pathname}`,
        "--preload=./redirect.js",
        "example.ts",
      ],
      cwd: directory,
      env: { DATABASE_URL: url, MAILFLEET_ENCRYPTION_KEYS: encryptionKeys, NO_COLOR: "1" },
    }).output()
  )
  const decoder = new TextDecoder()
  assert.strictEqual(status, 0, decoder.decode(stderr))
  return decoder.decode(stdout).trimEnd().split("\n").filter((line) => !/^\[[\d:.]+\] INFO/.test(line))
})

const callerClient = Layer.unwrap(Effect.map(World, ({ url }) =>
  PgClient.layer({
    url: Redacted.make(url),
    maxConnections: 5,
    // A caller with habits of its own.
    transformResultNames: (name) => name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
    startupParameters: { search_path: "shop" },
  }))).pipe(Layer.orDie)

const library = Layer.unwrap(Effect.map(World, ({ origin }) =>
  Mailfleet.layer({
    encryptionKeys: Redacted.make(encryptionKeys),
    schema: "post_office",
    microsoftAuthority: origin,
    graphUrl: `${origin}/v1.0`,
    syncSpacing: 0,
    syncEvery: "1 second",
    webhookAllowPrivate: true,
  }))).pipe(Layer.orDie)

const shop = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  yield* sql`create schema if not exists shop`
  yield* sql`create table if not exists shop.customers (id serial primary key, mail_address text unique)`
  // Names that are ours, too: the caller's stay the caller's.
  yield* sql`create table if not exists shop.accounts (note text)`
  yield* sql`create table if not exists public.messages (note text)`
})

/** The caller's side of the database: every object outside of our schema, and every row. */
const callersSide = Effect.gen(function* () {
  const sql = yield* PgClient.PgClient
  return {
    objects:
      yield* sql`select n.nspname, c.relname, c.relkind from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast', 'mailfleet', 'post_office') order by 1, 2`,
    customers: yield* sql`select * from customers order by id`,
    accounts: yield* sql`select * from accounts`,
    messages: yield* sql`select * from public.messages`,
    searchPath: yield* sql`show search_path`,
  }
})

/** Does the work in a transaction of the caller's that is rolled back, and answers with what came of it. */
const undone = <A, E>(work: Effect.Effect<A, E, PgClient.PgClient | Mailfleet | World>) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const result = yield* Deferred.make<A>()
    yield* sql.withTransaction(
      work.pipe(Effect.flatMap((value) => Deferred.succeed(result, value)), Effect.andThen(Effect.fail("undo"))),
    ).pipe(Effect.flip)
    return yield* Deferred.await(result)
  }).pipe(Effect.timeout("20 seconds"))

const csvOf = Effect.map(World, ({ simulator }) => [...simulator.importLines()].join(""))

const tests = layer(world, { excludeTestServices: true, timeout: "60 seconds" })

if (!(await usableEngines).includes("postgres")) {
  describe("library", () => it.skip("skipped: no Postgres", () => {}))
} else {
  tests("library", (it) => {
    it.effect("the program of promises imports a file, syncs it and reads mail", () =>
      Effect.gen(function* () {
        assert.strictEqual(examples.length, 2)
        const { simulator } = yield* World
        const lines = yield* run(examples[0] ?? "")
        assert.strictEqual(lines.length, accounts, lines.join("\n"))
        for (const line of lines) {
          const [email = "", count] = line.split(" ")
          const { folders, messages } = simulator.mailbox(email)
          const inbox = folders.find(({ wellKnown }) => wellKnown === "inbox")?.id
          const subjects = messages.filter(({ folderId }) => folderId === inbox).map(({ subject }) => subject)
          assert.strictEqual(Number(count), subjects.length)
          const newest = line.slice(`${email} ${count} `.length)
          assert.include(subjects.length === 0 ? ["nothing"] : subjects, newest)
        }
      }), 60_000)

    it.effect("the program in the documentation of createMailfleet is one", () =>
      Effect.gen(function* () {
        const { url } = yield* World
        const code = exampleOf("src/schedules/createMailfleet.ts")
        const lines = yield* run(code.replace("postgres://…", url).replace("k1:…", encryptionKeys))
        assert.strictEqual(lines.length, accounts, lines.join("\n"))
      }), 60_000)

    it.effect("the program of Effect uses what the other one stored", () =>
      Effect.gen(function* () {
        const { simulator } = yield* World
        const lines = yield* run(examples[1] ?? "")
        assert.strictEqual(lines.length, 10, lines.join("\n"))
        const subjects = new Set(
          [...simulator.importLines()].slice(1).flatMap((row) =>
            simulator.mailbox(row.split(",")[0] ?? "").messages.map(({ subject }) => subject)
          ),
        )
        for (const line of lines) assert.isTrue(subjects.has(line.slice(line.indexOf(": ") + 2)), line)
      }), 60_000)

    it.layer(
      library.pipe(Layer.provideMerge(Layer.effectDiscard(Effect.orDie(shop))), Layer.provideMerge(callerClient)),
    )(
      "on the caller's client",
      (it) => {
        it.effect("lives beside the caller's tables and touches nothing of them", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const before = yield* callersSide
            const run = yield* mailfleet.runs.ended(yield* mailfleet.import(yield* csvOf))
            assert.deepInclude(run, { state: "completed", succeeded: accounts, trigger: "library" })
            yield* mailfleet.runs.ended(yield* mailfleet.sync({ all: true }))
            assert.strictEqual((yield* mailfleet.stats).messages, accounts * 20)
            assert.deepStrictEqual(yield* callersSide, before)
            const sql = yield* PgClient.PgClient
            const [address] = yield* sql`select email from post_office.accounts limit 1`
            assert.match(String(address?.email), /@sim\.example$/)
          }))

        it.effect("asks for work in the caller's transaction: it is there with the caller's rows, or not at all", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const sql = yield* PgClient.PgClient
            const order = (address: string) =>
              Effect.gen(function* () {
                yield* sql`insert into customers (mail_address) values (${address})`
                const run = yield* mailfleet.refresh({ all: true })
                // Our own settings of a session would become the caller's, for the rest of the transaction.
                assert.deepStrictEqual(yield* sql`select current_setting('synchronous_commit') as durable`, [{
                  durable: "on",
                }])
                return run
              })
            const lost = yield* undone(order("lost@shop.example"))
            assert.instanceOf(yield* Effect.flip(mailfleet.runs.ended(lost)), RunNotFound)

            const done = yield* sql.withTransaction(order("kept@shop.example"))
            const ended = yield* mailfleet.runs.ended(done)
            assert.deepInclude(ended, { kind: "refresh", state: "completed", succeeded: accounts })
            const customers = yield* sql`select mail_address from customers`
            assert.deepStrictEqual(customers, [{ mailAddress: "kept@shop.example" }])
          }))

        it.effect("changes accounts, apps and policies in the caller's transaction: all of it is there, or nothing", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const sql = yield* PgClient.PgClient
            const { items: [first] } = yield* mailfleet.accounts.list({ limit: 1 })
            const { id, clientId, tags } = Option.getOrThrow(Option.fromUndefinedOr(first))
            const { items: apps } = yield* mailfleet.apps.list({ limit: 10 })
            const app = Option.getOrThrow(Option.fromUndefinedOr(apps.find((app) => app.clientId === clientId)))
            const change = Effect.gen(function* () {
              yield* mailfleet.accounts.patch(id, { tags: ["vip"] })
              yield* mailfleet.policies.set("vip", "warm")
              yield* mailfleet.apps.patch(app.id, { secret: Redacted.make("a secret") })
              yield* mailfleet.apps.add({ provider: "google", clientId: "1-a.apps.googleusercontent.com" })
              return yield* seen
            })
            const seen = Effect.gen(function* () {
              const { items } = yield* mailfleet.apps.list({ limit: 10 })
              const account = Option.getOrThrow(yield* mailfleet.accounts.get(id))
              return {
                tags: account.tags,
                policy: account.token.policy,
                policies: (yield* mailfleet.policies.list({ limit: 10 })).items.map(({ tag }) => tag),
                hasSecret: Option.getOrThrow(yield* mailfleet.apps.get(app.id)).hasSecret,
                apps: items.length - apps.length,
              }
            })
            const before = yield* seen
            assert.deepStrictEqual(before, { tags, policy: "keep-alive", policies: [], hasSecret: false, apps: 0 })
            const after = yield* undone(change)
            assert.deepStrictEqual(after, {
              tags: ["vip"],
              policy: "warm",
              policies: ["vip"],
              hasSecret: true,
              apps: 1,
            })
            assert.deepStrictEqual(yield* seen, before)
            assert.deepStrictEqual(yield* sql.withTransaction(change), after)
            assert.deepStrictEqual(yield* seen, after)
            yield* mailfleet.apps.patch(app.id, { secret: null })
            assert.isTrue(yield* mailfleet.policies.unset("vip"))
            assert.strictEqual((yield* seen).policy, "keep-alive")
          }))

        it.effect("keeps a rotated token though the caller's transaction is rolled back", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const { items: [first] } = yield* mailfleet.accounts.list({ limit: 1 })
            const { id, token } = Option.getOrThrow(Option.fromUndefinedOr(first))
            yield* undone(mailfleet.accessToken(id, { resource: "outlook-imap" }))
            const after = Option.getOrThrow(yield* mailfleet.accounts.get(id))
            assert.strictEqual(after.token.version, token.version + 1)
          }))

        it.effect("imports outside of the caller's transaction", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const csv = yield* csvOf
            const run = yield* undone(mailfleet.import(csv))
            assert.deepInclude(yield* mailfleet.runs.ended(run), { state: "completed", skipped: accounts })
          }))

        it.effect("takes text, bytes, a web stream or an Effect stream", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const csv = yield* csvOf
            const bytes = new TextEncoder().encode(csv)
            for (const file of [csv, bytes, new Blob([csv]).stream(), Stream.make(bytes)]) {
              const run = yield* mailfleet.import(file, { dryRun: true })
              assert.deepInclude(yield* mailfleet.runs.ended(run), { total: accounts, dryRun: true })
            }
            const broken = new ReadableStream<Uint8Array>({
              start(controller) {
                controller.enqueue(bytes)
                controller.error(new Error("the disk is gone"))
              },
            })
            assert.instanceOf(yield* Effect.flip(mailfleet.import(broken)), ImportFileBroken)
          }))

        it.effect("runs the schedules as long as they are wanted, which send to webhooks", () =>
          Effect.gen(function* () {
            const mailfleet = yield* Mailfleet
            const receiver = yield* startReceiver
            const { secret, webhook } = yield* mailfleet.webhooks.create({
              url: receiver.url,
              events: ["message.created"],
            })
            receiver.secrets.push(Redacted.value(secret))
            const { simulator } = yield* World
            const { items: [first] } = yield* mailfleet.accounts.list({ limit: 1 })
            const { email } = Option.getOrThrow(Option.fromUndefinedOr(first))
            const after = yield* mailfleet.changes.latest
            simulator.deliver(email, { subject: "a parcel" })
            const arrived = Effect.gen(function* () {
              while (true) {
                const { items } = yield* mailfleet.changes.list({ after, limit: 10 })
                const isTold = takenBy(receiver).some((message) => message.data.email === email)
                if (isTold && items.some(({ kind }) => kind === "message.created")) return
                yield* Effect.sleep("50 millis")
              }
            })
            yield* Effect.scoped(Effect.andThen(Layer.build(Mailfleet.layerSchedules), arrived)).pipe(
              Effect.timeout("20 seconds"),
            )
            for (const { signedWith } of receiver.received) assert.deepStrictEqual(signedWith, receiver.secrets)
            assert.isTrue(yield* mailfleet.webhooks.remove(webhook.id))
          }))

        it.effect("two of them keep to their own schemas", () =>
          Effect.gen(function* () {
            const other = Mailfleet.layer({ encryptionKeys, schema: "second" })
            const stats = yield* Mailfleet.pipe(
              Effect.flatMap(({ stats }) => stats),
              Effect.provide(other),
            )
            assert.strictEqual(stats.accounts.total, 0)
            assert.strictEqual((yield* (yield* Mailfleet).stats).accounts.total, accounts)
          }))

        it.effect("refuses wrong options in their own words", () =>
          Effect.gen(function* () {
            const refusal = (options: Parameters<typeof Mailfleet.layer>[0]) =>
              Effect.flip(Effect.provide(Mailfleet, Mailfleet.layer(options)))
            const wrong = {
              "encryptionKeys must be id:base64": { encryptionKeys: "k1:short" },
              "encryptionKeys must not be empty": { encryptionKeys: "" },
              "schema must be a Postgres schema name": { encryptionKeys, schema: "My Schema" },
              "syncConcurrency must be auto or a whole number from 1": { encryptionKeys, syncConcurrency: 0 },
              "syncEvery must be a duration of at least 1s": { encryptionKeys, syncEvery: "500 millis" as const },
              "graphUrl must be an http or https URL": { encryptionKeys, graphUrl: "graph" },
            }
            for (const [message, options] of Object.entries(wrong)) {
              const error = yield* refusal(options)
              assert.instanceOf(error, SettingsError)
              assert.include(error.message, message)
              assert.notInclude(error.message, "MAILFLEET_")
            }
          }))
      },
    )

    it.effect("needs nothing of Deno but sockets, for IMAP", () =>
      Effect.gen(function* () {
        const { stdout } = yield* Effect.promise(() =>
          new Deno.Command(Deno.execPath(), {
            args: ["info", "--json", new URL("../src/mod.ts", import.meta.url).pathname],
            env: { NO_COLOR: "1" },
          }).output()
        )
        const { modules }: { readonly modules: ReadonlyArray<{ readonly local?: string }> } = JSON.parse(
          new TextDecoder().decode(stdout),
        )
        const ours = modules.flatMap(({ local }) => local?.includes("/src/") === true ? [local] : [])
        assert.isAbove(ours.length, 50)
        for (const file of ours.filter((file) => !file.endsWith("/ImapTransport.ts"))) {
          assert.notMatch(yield* Effect.promise(() => Deno.readTextFile(file)), /\bDeno\.[a-z]/, file)
        }
      }))
  })
}
