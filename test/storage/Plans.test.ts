/**
 * How Postgres answers each call of the contract and each claim of background work, over a fleet of always the same rows. What
 * it plans is in plans.txt; after a change that is meant, `UPDATE_PLANS=1 deno task test test/storage/Plans.test.ts` writes it
 * anew. Other versions of Postgres word plans otherwise: these are only searched for scans of large tables.
 *
 * The text is the same each time: statistics are of all rows and stay as they are, the planner's settings are set here, nobody
 * works on runs beside the test, and entries of the audit log, which calls share as it happens, have a section of their own.
 */
import { assert, it } from "@effect/vitest"
import { Clock, Effect, Layer, Option, type Tracer } from "effect"
import { Statement } from "effect/sql"
import { Settings } from "../../src/domain/Settings.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { DueGrants } from "../../src/storage/grants/DueGrants.ts"
import { BodyKeeping } from "../../src/storage/mail/BodyKeeping.ts"
import { bodyMonth } from "../../src/storage/mail/BodyMonths.ts"
import { MailKeeping } from "../../src/storage/mail/MailKeeping.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { Notifications } from "../../src/storage/mail/Notifications.ts"
import { SyncLeases } from "../../src/storage/mail/SyncLeases.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { Sweeps } from "../../src/storage/Sweeps.ts"
import { WebhookOutbox } from "../../src/storage/webhooks/WebhookOutbox.ts"
import { adminKey, send, serverWithoutWorker } from "../server/stack.ts"
import { databaseLayer, usableEngines } from "../support/databases.ts"
import { idOf, makePlannedFleet } from "./plannedFleet.ts"

const auditSection = "an entry of the audit log"

const file = new URL("plans.txt", import.meta.url)

interface Seen {
  readonly text: string
  readonly params: ReadonlyArray<unknown>
  /** The transaction that it was in, where it was in one. */
  readonly transaction: string | undefined
  readonly audit: boolean
}

const seen: Array<Seen> = []

/** A span and those around it, by which the work that is looked at is told from what the process does beside it. */
const lineage = (span: Tracer.AnySpan): ReadonlyArray<Tracer.Span> =>
  span._tag !== "Span" ? [] : [span, ...Option.match(span.parent, { onNone: () => [], onSome: lineage })]

/** Without a span of its own; making tables; storing tokens. */
const beside = new Set(["", "postgres", "sql.transaction", "Database.migrate", "GrantStore.settle"])

/** Counts of the fleet read all of it on purpose. They are kept for seconds, and who asks for them first is chance. */
const isCount = (name: string): boolean => name.startsWith("Stats.")

const recorder = Layer.succeed(Statement.CurrentTransformer, (statement, _sql, _fiber, span) =>
  Effect.sync(() => {
    const spans = lineage(span)
    const names = spans.map(({ name }) => name)
    if (!beside.has(names.at(-1) ?? "") && !names.some(isCount)) {
      const [text, params] = statement.compile()
      seen.push({
        text,
        params,
        transaction: spans.find(({ name }) => name === "sql.transaction")?.spanId,
        audit: names.includes("Audit.write"),
      })
    }
    return statement
  }))

/** Tables that grow with mail or with time. */
const large = ["messages", "message_index", "message_bodies", "changes", "run_items", "events", "audit"]
  .concat(["webhook_deliveries", "access_tokens", "grant_tokens", "accounts", "grants"])

/** What reads a whole table on purpose, and why that is borne. */
const wholes: Readonly<Record<string, ReadonlyArray<string>>> = {
  // What is due is counted, and kept for seconds.
  "GET /v1/stats": ["grants"],
  // It is over all accounts.
  'POST /v1/syncs {"all":true}': ["accounts", "grants"],
  // A part of an address, and a tag that few have: one look through the accounts.
  "GET /v1/accounts?search=": ["accounts", "grants"],
  // What is looked at in one go is as much as these tables hold here.
  "sweeps": ["access_tokens", "webhook_deliveries", "run_items"],
  // Once an hour each account is looked at.
  "retention": ["accounts"],
  "sweep of bodies": ["accounts"],
}

const plain = (line: string, schema: string, month: string): string =>
  line.replaceAll(`${schema}.`, "").replaceAll(schema, "schema")
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<id>")
    .replace(/'\d{4}-\d\d-\d\d[ T][^']*'/g, "'<time>'")
    .replace(/\{<id>(?:,<id>)*\}/g, "{<ids>}")
    .replace(/''#\d{4}-\d\d-\d\d''(?: \| ''#\d{4}-\d\d-\d\d'')*/g, "''#<days>''")
    .replaceAll(month, "message_bodies_now")
    .replace(/message_bodies_\d{4}_\d\d/g, "message_bodies_later")
    .replace(/'[^']{60,}'/g, "'…'")

const isPlanned = ({ text }: Seen): boolean => /^\s*(?:select|with|insert|update|delete)\b/i.test(text)

/**
 * The planner of any installation and of any moment: its settings by default, and none of the plans that depend on whether some
 * other transaction has kept `vacuum` from its work (scans of an index only).
 */
const planner = `set local random_page_cost = 4; set local seq_page_cost = 1; set local cpu_tuple_cost = 0.01;
  set local effective_cache_size = '4GB'; set local work_mem = '4MB'; set local jit = off;
  set local max_parallel_workers_per_gather = 0; set local enable_indexonlyscan = off`.split(";")

/** The plans of the statements of one piece of work, as they were run. */
const plansOf = Effect.fnUntraced(function* (statements: ReadonlyArray<Seen>) {
  const { schema, sql } = yield* Database
  const month = bodyMonth(yield* Clock.currentTimeMillis).name
  return yield* sql.withTransaction(Effect.gen(function* () {
    for (const setting of planner) yield* sql.unsafe(setting)
    const plans: Array<string> = []
    let within: string | undefined
    for (const { params, text, transaction } of statements) {
      // What one transaction sets is over with it.
      if (transaction !== within) yield* sql`set local enable_seqscan = on`
      within = transaction
      if (/set_config\('enable_seqscan'/.test(text)) yield* sql.unsafe(text, params)
      else {
        const rows = yield* sql.unsafe<{ "QUERY PLAN": string }>(`explain (costs off) ${text}`, params)
        plans.push(rows.map((row) => plain(row["QUERY PLAN"], schema, month)).join("\n"))
      }
    }
    return [...new Set(plans)]
  }))
}, orDie)

/** Months to come are empty, and so is the rest. */
const scanned = (plan: string): ReadonlyArray<string> =>
  [...plan.matchAll(/Seq Scan on (\w+)/g)].map(([, name]) => name!.replace(/_now$/, ""))

const sweeps = Sweeps.layer.pipe(Layer.provide(Layer.orDie(Settings.layerWith({ runDays: 400, changeDays: 400 }))))

const layer = Layer.mergeAll(serverWithoutWorker, DueGrants.layer, sweeps).pipe(
  Layer.provideMerge(databaseLayer("postgres")),
  Layer.provideMerge(recorder),
)

it.live.skipIf(!(await usableEngines).includes("postgres"))(
  "no call reads a large table through",
  () =>
    Effect.gen(function* () {
      const { sql } = yield* Database
      const now = yield* Clock.currentTimeMillis
      yield* makePlannedFleet(now)
      const account = idOf("account", 7, now)
      const [run, message, webhook] = [idOf("run", 7, now), idOf("message", 7, now), idOf("webhook", 1, now)]
      const work = new Map<string, Effect.Effect<unknown, unknown, Layer.Success<typeof layer>>>()
      const get = (path: string) => work.set(`GET ${path}`, send(path, { secret: true }))
      for (
        const path of [
          "/v1/runs",
          `/v1/runs/${run}`,
          `/v1/runs/${run}/items`,
          `/v1/runs/${run}/items?outcome=failed`,
          "/v1/accounts",
          "/v1/accounts?status=needs_reauth",
          "/v1/accounts?tag=vip",
          "/v1/accounts?search=user77",
          "/v1/accounts?provider=google",
          `/v1/accounts/${account}`,
          `/v1/accounts/${account}/folders`,
          `/v1/accounts/${account}/messages`,
          `/v1/accounts/${account}/messages?folder=inbox`,
          `/v1/accounts/${account}/messages?q=subject`,
          `/v1/accounts/${account}/messages?unread=true`,
          `/v1/accounts/${account}/threads`,
          `/v1/messages/${message}`,
          "/v1/messages",
          "/v1/messages?q=w777",
          "/v1/changes",
          "/v1/changes?after=0001-0000000000000020000",
          "/v1/events",
          "/v1/events?kind=account.needs_reauth",
          `/v1/events?subject=${account}`,
          "/v1/audit",
          `/v1/audit?accountId=${account}`,
          "/v1/grants",
          "/v1/apps",
          "/v1/webhooks",
          `/v1/webhooks/${webhook}/deliveries`,
        ]
      ) get(path)
      // Together, for some of their counts are kept for seconds: whoever comes first asks for them.
      work.set(
        "GET /v1/stats, /v1/stats/due, /metrics",
        Effect.forEach(["/v1/stats", "/v1/stats/due", "/metrics"], (path) => send(path, { secret: true })),
      )
      work.set(`POST /v1/refreshes {"accountIds"}`, send("/v1/refreshes", { json: { accountIds: [account] } }))
      work.set(`POST /v1/syncs {"all":true}`, send("/v1/syncs", { json: { all: true } }))
      work.set("POST /v1/runs/{id}/retry", send(`/v1/runs/${run}/retry`, { method: "POST" }))
      work.set(`PATCH /v1/accounts/{id}`, send(`/v1/accounts/${account}`, { method: "PATCH", json: { tags: ["x"] } }))
      work.set("claim of due syncs", Effect.flatMap(Accounts, (accounts) => accounts.claimSyncDue(20, 60)))
      work.set("claim of due refreshes", Effect.flatMap(DueGrants, (due) => due.claim(20, 60, [])))
      work.set(
        "a run",
        Effect.flatMap(Runs, (runs) =>
          Effect.gen(function* () {
            const [claimed] = yield* runs.claim("refresh", 1)
            yield* runs.renew(claimed!)
            yield* runs.pending(claimed!, 0, 200)
            yield* runs.record(claimed!, [{ position: 1, outcome: "succeeded" }])
            yield* runs.finish(claimed!, "completed")
          })),
      )
      work.set(
        "claim of webhooks",
        Effect.flatMap(WebhookOutbox, (outbox) =>
          Effect.flatMap(
            outbox.claim(5),
            (claimed) => Effect.forEach(claimed, (one) => Effect.andThen(outbox.take(one), outbox.waiting(one))),
          )),
      )
      work.set("lease of a sync", Effect.flatMap(SyncLeases, (leases) => leases.acquire(account)))
      work.set(
        "notifications",
        Effect.flatMap(
          Notifications,
          (notifications) => Effect.andThen(notifications.drain(100), notifications.finish),
        ),
      )
      const other = idOf("account", 8, now)
      work.set(
        auditSection,
        Effect.flatMap(Audit, (audit) =>
          audit.record({ actor: "admin", action: "accounts.update", accountId: other, outcome: "ok" })),
      )
      work.set(
        "message by the library",
        Effect.flatMap(Messages, (messages) =>
          messages.get(message)),
      )
      work.set(
        "sweeps",
        Effect.flatMap(Sweeps, (sweeps) =>
          Effect.all([
            sweeps.accessTokens,
            sweeps.connectSessions,
            sweeps.deliveries,
            sweeps.events,
            sweeps.tokenHashes,
            sweeps.runs,
            sweeps.changes,
          ])),
      )
      work.set(
        "retention",
        Effect.flatMap(MailKeeping, (keeping) => Effect.andThen(keeping.eraseBodies, keeping.prune)),
      )
      work.set("sweep of bodies", Effect.flatMap(BodyKeeping, (bodies) => bodies.sweep))

      // The key is known from here on, and what it takes to know it is in no plan.
      yield* send("/v1/apps", { key: adminKey })
      const [version] = yield* orDie(sql<{ number: string }>`select current_setting('server_version_num') as number`)
      const major = Math.floor(Number(version!.number) / 10_000)
      const sections: Array<string> = [`Postgres ${major}`]
      const offenders: Array<string> = []
      for (const [name, effect] of work) {
        seen.length = 0
        yield* name.startsWith("GET") ? effect : Effect.withSpan(effect, "planned")
        const own = seen.filter((one) => isPlanned(one) && one.audit === (name === auditSection))
        const plans = yield* plansOf(own)
        const title = name.replace(/[0-9a-f]{8}-[0-9a-f]{4}-\S{4}-\S{4}-[0-9a-f]{12}/g, "{id}")
        sections.push([`## ${title}`, ...plans].join("\n\n"))
        const borne = Object.entries(wholes).find(([prefix]) => title.startsWith(prefix))?.[1] ?? []
        for (const table of plans.flatMap(scanned)) {
          if (large.includes(table) && !borne.includes(table)) offenders.push(`${title}: ${table}`)
        }
      }
      const text = `${sections.join("\n\n")}\n`
      if (Deno.env.get("UPDATE_PLANS") !== undefined) yield* Effect.promise(() => Deno.writeTextFile(file, text))
      assert.deepStrictEqual([...new Set(offenders)], [])
      const committed = yield* Effect.promise(() => Deno.readTextFile(file))
      if (committed.startsWith(`${sections[0]}\n`)) assert.deepStrictEqual(text.split("\n"), committed.split("\n"))
    }).pipe(Effect.provide(layer), Effect.scoped),
  120_000,
)
