/** The gauges of `/metrics`: their labels, and that none outlives what it measured. */
import { assert } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer } from "effect"
import { codeOf } from "../../src/domain/FailureClass.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { Cluster } from "../../src/schedules/Cluster.ts"
import { makeScrape } from "../../src/server/Metrics.ts"
import { Database } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { addApp, addGrant, noGrants } from "../support/grants.ts"
import { freshStats } from "../support/stats.ts"
import { pushStorage } from "../support/push.ts"
import { WebhookOutbox } from "../../src/storage/webhooks/WebhookOutbox.ts"

/** The series whose names begin so, as `name{labels}` and value. Measured anew, for a busy machine keeps a slow measurement. */
const series = (prefix: string) =>
  Effect.flatten(makeScrape).pipe(
    Effect.provide(freshStats),
    Effect.map((text) =>
      new Map(
        text.split("\n").filter((line) => line.startsWith(prefix)).map((line) => {
          const end = line.lastIndexOf(" ")
          return [line.slice(0, end), Number(line.slice(end + 1))] as const
        }),
      )
    ),
  )

const pacing = Layer.mergeAll(
  AppBreaker.layer,
  AdaptiveConcurrency.layer.pipe(Layer.provide(Settings.layer)),
  Cluster.layerAlone,
)

await onDatabases("Metrics", Layer.mergeAll(pacing, pushStorage, WebhookOutbox.layer), (it) => {
  it.effect("the refresh lag by app and policy, which vanishes with the backlog", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      yield* noGrants
      const [one, two] = [yield* addApp("one"), yield* addApp("two")]
      yield* addGrant(one, { due: 120 })
      yield* addGrant(one, { due: 60 })
      yield* addGrant(two, { due: 700, attempt: -60, policy: "warm" })

      const ofOne = `provider="microsoft",client_id="one",tenant="common",policy="keep-alive"`
      const ofTwo = `provider="microsoft",client_id="two",tenant="common",policy="warm"`
      const other = (policy: string) => `provider="other",client_id="other",tenant="other",policy="${policy}"`
      const idle = [other("keep-alive"), other("warm")]
      const named = (name: string, labels: ReadonlyArray<string>) => labels.map((label) => `${name}{${label}}`)

      const lag = yield* series("mailfleet_refresh_lag_seconds")
      assert.sameMembers([...lag.keys()], named("mailfleet_refresh_lag_seconds", [ofOne, ofTwo, ...idle]))
      assert.closeTo(lag.get(`mailfleet_refresh_lag_seconds{${ofOne}}`)!, 120, 10)
      assert.closeTo(lag.get(`mailfleet_refresh_lag_seconds{${ofTwo}}`)!, 700, 10)
      const due = yield* series("mailfleet_refresh_due")
      assert.sameMembers([...due.keys()], named("mailfleet_refresh_due", [ofOne, ofTwo, ...idle]))
      assert.strictEqual(due.get(`mailfleet_refresh_due{${ofOne}}`), 2)

      yield* sql`update ${t.grants} set due_at = now() + interval '1 hour', attempt_at = now() + interval '1 hour'
        where app_id = ${one}`
      assert.sameMembers(
        [...(yield* series("mailfleet_refresh_due")).keys()],
        named("mailfleet_refresh_due", [
          ofTwo,
          ...idle,
        ]),
      )
      yield* noGrants
      for (const name of ["mailfleet_refresh_due", "mailfleet_refresh_lag_seconds"]) {
        assert.deepStrictEqual([...(yield* series(name))], named(name, idle).map((key) => [key, 0]))
      }
    }))

  it.effect("grants that fail, by class, back to 0 once they do not", () =>
    Effect.gen(function* () {
      yield* noGrants
      const app = yield* addApp("failing")
      yield* addGrant(app, { due: -60, failure: "transient" })
      yield* addGrant(app, { due: -60, failure: "transient" })
      const failing = yield* series("mailfleet_grants_failing")
      assert.strictEqual(failing.get(`mailfleet_grants_failing{class="transient"}`), 2)
      assert.strictEqual(failing.size, 8)
      yield* noGrants
      assert.isTrue([...(yield* series("mailfleet_grants_failing")).values()].every((value) => value === 0))
    }))

  it.effect("grants whose refresh token ends soon", () =>
    Effect.gen(function* () {
      yield* noGrants
      const { sql, tables: t } = yield* Database
      const app = yield* addApp("ending")
      for (let count = 0; count < 3; count++) yield* addGrant(app, { due: -60 })
      yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
        select id, 'microsoft', id::text, id::text, 'graph', id, 'active' from ${t.grants}`
      yield* sql`update ${t.grants} g set lives_until = now() + place * interval '10 hours'
        from (select id, row_number() over () as place from ${t.grants}) n where n.id = g.id and place < 3`
      yield* sql`update ${t.grants} set lives_until = now() + interval '3 days' where lives_until > now() + interval '11 hours'`
      assert.deepStrictEqual([...(yield* series("mailfleet_grants_ending"))], [
        [`mailfleet_grants_ending{within="1d"}`, 1],
        [`mailfleet_grants_ending{within="7d"}`, 2],
      ])
    }))

  it.effect("circuits while they are open", () =>
    Effect.gen(function* () {
      const breaker = yield* AppBreaker
      const app = {
        provider: "microsoft" as const,
        clientId: "refused",
        tenant: "contoso",
        resource: "graph" as const,
        updatedAt: 1,
      }
      const error = new ProviderError({ class: "app", code: codeOf.app, message: "the secret is wrong" })
      yield* Effect.flip(breaker.guard(app)(Effect.fail({ error, reach: "app" as const })))
      assert.deepStrictEqual([...(yield* series("mailfleet_app_circuit_open"))], [
        [`mailfleet_app_circuit_open{provider="microsoft",client_id="refused",tenant="*"}`, 1],
      ])
      yield* breaker.reset(app)
      assert.strictEqual((yield* series("mailfleet_app_circuit_open")).size, 0)
    }))

  it.effect("what auto concurrency has found", () =>
    Effect.gen(function* () {
      const { admit } = yield* AdaptiveConcurrency
      const admitted = yield* Deferred.make<void>()
      const working = yield* Effect.forkChild(
        admit("token:microsoft:one", () => "ignored")(
          Effect.andThen(Deferred.succeed(admitted, undefined), Effect.never),
        ),
      )
      yield* Deferred.await(admitted)
      const found = yield* series("mailfleet_concurrency_")
      assert.strictEqual(found.get(`mailfleet_concurrency_in_flight{key="token:microsoft:one"}`), 1)
      assert.isAtLeast(found.get(`mailfleet_concurrency_limit{key="token:microsoft:one"}`)!, 1)
      yield* Fiber.interrupt(working)
    }))
})
