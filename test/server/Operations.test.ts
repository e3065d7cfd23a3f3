/** Stats, metrics, the OpenAPI document, and faults of our own. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Schema } from "effect"
import { Due, History, Stats } from "../../src/api/Operations.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addAccount, clientId, logged, refused, send, server, taken } from "./stack.ts"

const Content = Schema.Record(Schema.String, Schema.Unknown)

/** The parts of an OpenAPI document that the test looks at. */
const Document = Schema.Struct({
  openapi: Schema.String,
  info: Schema.Struct({
    title: Schema.NonEmptyString,
    version: Schema.NonEmptyString,
    description: Schema.NonEmptyString,
  }),
  tags: Schema.Array(Schema.Struct({ name: Schema.String, description: Schema.NonEmptyString })),
  components: Schema.Struct({
    schemas: Schema.Record(Schema.String, Schema.Unknown),
    securitySchemes: Schema.Record(Schema.String, Schema.Struct({ type: Schema.String, scheme: Schema.String })),
  }),
  paths: Schema.Record(
    Schema.String,
    Schema.Record(
      Schema.String,
      Schema.Struct({
        operationId: Schema.NonEmptyString,
        summary: Schema.NonEmptyString,
        description: Schema.NonEmptyString,
        tags: Schema.NonEmptyArray(Schema.String),
        security: Schema.Array(Schema.Record(Schema.String, Schema.Array(Schema.String))),
        parameters: Schema.Array(
          Schema.Struct({ name: Schema.String, in: Schema.String, description: Schema.optionalKey(Schema.String) }),
        ),
        requestBody: Schema.optionalKey(Schema.Struct({ content: Content })),
        responses: Schema.Record(
          Schema.String,
          Schema.Struct({ description: Schema.NonEmptyString, content: Schema.optionalKey(Content) }),
        ),
      }),
    ),
  ),
})

await onDatabases("Operations", server, (it) => {
  it.effect("the fleet at a glance, as stats and as metrics", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const good = yield* addAccount("good@stats.example")
      yield* addAccount("dead@stats.example", "needs_user")
      yield* sql`update ${t.accounts} set messages = 12, sync_due_at = now() - interval '90 seconds' where id = ${good.id}`
      yield* sql`update ${t.grants} set due_at = now() - interval '30 seconds', attempt_at = now()
        where id = (select grant_id from ${t.accounts} where id = ${good.id})`
      yield* sql`insert into ${t.runs} (id, kind, state, trigger) values
        (gen_random_uuid(), 'import', 'uploading', 'api'), (gen_random_uuid(), 'import', 'failed', 'api')`

      const stats = yield* taken(Stats, 200, "/v1/stats")
      assert.deepStrictEqual(stats.accounts, {
        total: 2,
        byStatus: { pending: 0, active: 1, needs_reauth: 1, blocked: 0, disabled: 0 },
        byProvider: { microsoft: 2, google: 0 },
      })
      assert.strictEqual(stats.messages, 12)
      assert.strictEqual(stats.refresh.due, 1)
      assert.closeTo(stats.refresh.lagSeconds, 30, 5)
      assert.deepStrictEqual(
        stats.refresh.byApp.map(({ appId: _, lagSeconds: __, ...rest }) => rest),
        [{ provider: "microsoft", clientId, tenant: "common", policy: "keep-alive", due: 1 }],
      )
      assert.deepInclude(stats.refresh.failing, { needs_user: 1, throttled: 0 })
      assert.strictEqual(stats.sync.due, 1)
      assert.closeTo(stats.sync.lagSeconds, 90, 5)
      assert.strictEqual(stats.sync.byChannel.graph.due, 1)
      assert.deepInclude(stats.sync.reach, { everySeconds: 300, accounts: 750 })
      assert.deepInclude(stats.runs, { failed: 1, running: 0 })

      const metrics = yield* send("/metrics")
      assert.strictEqual(metrics.status, 200)
      assert.strictEqual(metrics.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
      for (
        const line of [
          'mailfleet_accounts{status="active"} 1',
          'mailfleet_accounts{status="needs_reauth"} 1',
          'mailfleet_accounts_by_provider{provider="google"} 0',
          "mailfleet_messages 12",
          `mailfleet_refresh_due{provider="microsoft",client_id="${clientId}",tenant="common",policy="keep-alive"} 1`,
          'mailfleet_grants_failing{class="needs_user"} 1',
          `mailfleet_sync_due{channel="graph"} 1`,
          'mailfleet_runs{state="failed"} 1',
        ]
      ) {
        assert.include(metrics.text.split("\n"), line)
      }
      assert.match(metrics.text, /^mailfleet_sync_lag_seconds\{channel="graph"\} 9\d/m)
    }))

  it.effect("the last hours, and what is to come", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      assert.strictEqual((yield* taken(History, 200, "/v1/stats/history")).everySeconds, 10)
      yield* refused(400, "invalid_request", "/v1/stats/history?since=today")

      const grantOf = (id: string) => sql`(select grant_id from ${t.accounts} where id = ${id})`
      const before = yield* taken(Due, 200, "/v1/stats/due")
      const [overdue, tomorrow, dying, dead] = yield* Effect.forEach(
        ["overdue", "tomorrow", "dying", "dead"],
        (name) => addAccount(`${name}@due.example`, name === "dead" ? "needs_user" : "ok"),
      )
      yield* sql`update ${t.grants} set attempt_at = now() - interval '1 minute' where id = ${grantOf(overdue!.id)}`
      yield* sql`update ${t.grants} set attempt_at = now() + interval '90 minutes' where id = ${grantOf(tomorrow!.id)}`
      yield* sql`update ${t.grants} set attempt_at = null, lives_until = now() + interval '36 hours'
        where id in (${grantOf(dying!.id)}, ${grantOf(dead!.id)})`
      const { endings, refresh } = yield* taken(Due, 200, "/v1/stats/due")
      assert.lengthOf(refresh.byHour, 48)
      assert.lengthOf(endings.byDay, 90)
      assert.strictEqual(refresh.overdue, before.refresh.overdue + 1)
      assert.strictEqual(refresh.byHour[1]?.grants, (before.refresh.byHour[1]?.grants ?? 0) + 1)
      assert.strictEqual(refresh.resting, before.refresh.resting + 2)
      assert.strictEqual(endings.byDay[1]?.grants, 1)
      assert.closeTo(
        DateTime.toEpochMillis(endings.byDay[1]!.from) - DateTime.toEpochMillis(refresh.byHour[0]!.from),
        86_400_000,
        1,
      )
    }))

  it.effect("a fault of ours says nothing of itself, and is logged", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      yield* Effect.acquireUseRelease(
        sql`alter table ${t.changes} rename column kind to gone`,
        () => refused(500, "internal_error", "/v1/changes"),
        () => Effect.orDie(sql`alter table ${t.changes} rename column gone to kind`),
      ).pipe(Effect.tap(({ answer }) => Effect.sync(() => assert.notMatch(answer.text, /sql|column|gone|stack|\.ts/i))))
      assert.isNotEmpty(
        (yield* logged).filter((line) => line.includes("a request failed") && line.includes("/v1/changes")),
      )
    }))

  it.effect("HEAD answers as GET does, without a body", () =>
    Effect.gen(function* () {
      for (const path of ["/health/live", "/v1/accounts", "/"]) {
        const answer = yield* send(path, { method: "HEAD" })
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(answer.text, "")
      }
      assert.strictEqual((yield* send("/v1/runs/nothing", { method: "HEAD" })).status, 404)
    }))

  it.effect("requests are logged at debug level only", () =>
    Effect.gen(function* () {
      yield* send("/v1/accounts?search=nobody%40example.com")
      const lines = (yield* logged).filter((line) => line.includes("message=answered"))
      assert.isNotEmpty(lines)
      assert.isTrue(lines.every((line) => line.includes("level=DEBUG")))
      // Searches hold addresses, so queries stay out of the log.
      assert.isFalse(lines.some((line) => line.includes("nobody")))
    }))

  it.effect("the reference loads nothing from elsewhere", () =>
    Effect.gen(function* () {
      const { text, headers } = yield* send("/docs", { key: null })
      assert.notMatch(text, /<(script|link|img)[^>]+(src|href)=/)
      assert.include(headers.get("content-security-policy"), "connect-src 'self'")
    }))

  it.effect("the OpenAPI document is complete and sound", () =>
    Effect.gen(function* () {
      const { json, text } = yield* send("/openapi.json", { key: null })
      const document = Schema.decodeUnknownSync(Document)(json)
      assert.match(document.openapi, /^3\.1\./)
      const calls = Object.entries(document.paths).flatMap(([path, item]) =>
        Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`)
      )
      assert.sameMembers(calls, [
        "POST /v1/imports",
        "POST /v1/refreshes",
        "POST /v1/syncs",
        "POST /v1/connect-sessions",
        "GET /v1/connect-sessions/{id}",
        "POST /v1/connect-sessions/{id}/device-code",
        "POST /v1/connect-sessions/{id}/device-poll",
        "GET /v1/runs",
        "GET /v1/runs/{id}",
        "GET /v1/runs/{id}/items",
        "GET /v1/runs/{id}/events",
        "POST /v1/runs/{id}/cancel",
        "POST /v1/runs/{id}/retry",
        "GET /v1/accounts",
        "POST /v1/accounts",
        "GET /v1/accounts/{id}",
        "PATCH /v1/accounts/{id}",
        "DELETE /v1/accounts/{id}",
        "GET /v1/accounts/{id}/access-token",
        "GET /v1/accounts/{id}/folders",
        "GET /v1/accounts/{id}/messages",
        "GET /v1/accounts/{id}/threads",
        "GET /v1/messages",
        "GET /v1/messages/{id}",
        "GET /v1/messages/{id}/attachments/{attachmentId}",
        "GET /v1/apps",
        "POST /v1/apps",
        "GET /v1/apps/{id}",
        "PATCH /v1/apps/{id}",
        "GET /v1/grants",
        "POST /v1/grants",
        "GET /v1/grants/{id}",
        "DELETE /v1/grants/{id}",
        "GET /v1/grants/{id}/mailboxes",
        "POST /v1/grants/{id}/accounts",
        "GET /v1/tag-policies",
        "PUT /v1/tag-policies/{tag}",
        "DELETE /v1/tag-policies/{tag}",
        "GET /v1/changes",
        "GET /v1/events",
        "GET /v1/webhooks",
        "POST /v1/webhooks",
        "GET /v1/webhooks/{id}",
        "PATCH /v1/webhooks/{id}",
        "DELETE /v1/webhooks/{id}",
        "POST /v1/webhooks/{id}/rotate-secret",
        "POST /v1/webhooks/{id}/test",
        "POST /v1/webhooks/{id}/replay",
        "GET /v1/webhooks/{id}/deliveries",
        "GET /v1/audit",
        "GET /v1/audit/chain",
        "GET /v1/erasures",
        "GET /v1/erasures/{id}",
        "GET /v1/keys",
        "POST /v1/keys",
        "DELETE /v1/keys/{id}",
        "GET /v1/encryption/rotation",
        "POST /v1/encryption/rotation",
        "GET /v1/changes/stream",
        "POST /v1/notifications/graph",
        "POST /v1/notifications/gmail",
        "POST /v1/session",
        "GET /v1/session",
        "DELETE /v1/session",
        "GET /v1/stats",
        "GET /v1/stats/history",
        "GET /v1/stats/due",
        "GET /metrics",
        "GET /health/live",
        "GET /health/ready",
      ])
      const operationIds = new Set<string>()
      for (const [path, item] of Object.entries(document.paths)) {
        for (const operation of Object.values(item)) {
          operationIds.add(operation.operationId)
          const inPath = operation.parameters.filter((parameter) => parameter.in === "path")
          assert.sameMembers(inPath.map(({ name }) => `{${name}}`), path.match(/\{\w+\}/g) ?? [])
          for (const { name, description } of operation.parameters) assert.isNotEmpty(description, `${path} ${name}`)
          assert.deepStrictEqual(
            operation.security.flatMap((requirement) => Object.keys(requirement)),
            /^\/(?:health|v1\/notifications|v1\/session)\b/.test(path) ? [] : ["apiKey"],
          )
          for (const tag of operation.tags) assert.isTrue(document.tags.some(({ name }) => name === tag))
          for (const [status, { content }] of Object.entries(operation.responses)) {
            if (Number(status) >= 400) assert.deepStrictEqual(Object.keys(content ?? {}), ["application/problem+json"])
          }
        }
      }
      assert.strictEqual(operationIds.size, calls.length)
      for (const [, name] of text.matchAll(/"#\/components\/schemas\/(\w+)"/g)) {
        assert.property(document.components.schemas, name!)
      }
      assert.deepInclude(document.components.securitySchemes["apiKey"], { type: "http", scheme: "bearer" })
      assert.sameMembers(Object.keys(document.paths["/v1/imports"]?.["post"]?.requestBody?.content ?? {}), [
        "text/csv",
        "text/plain",
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/json",
      ])
    }))

  it.effect("is not ready on tables that are older than the program, and says whether it runs schedules", () =>
    Effect.gen(function* () {
      const { schema, sql } = yield* Database
      assert.deepStrictEqual((yield* send("/health/ready", { key: null })).json, { status: "ready", schedules: "off" })
      const [newest] = yield* sql<{ migration_id: number }>`delete from ${
        sql(`${schema}.migrations`)
      } where migration_id =
        (select max(migration_id) from ${sql(`${schema}.migrations`)}) returning *`
      yield* refused(503, "not_ready", "/health/ready")
      yield* sql`insert into ${sql(`${schema}.migrations`)} ${sql.insert({ ...newest })}`
      assert.strictEqual((yield* send("/health/ready")).status, 200)
    }))
})
