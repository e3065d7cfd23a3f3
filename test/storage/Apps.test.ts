/** Apps in the database: their names, their sealed secrets, and the grants that a new secret may cure. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { Buffer } from "node:buffer"
import { newId } from "../../src/domain/Ids.ts"
import { GrantStore } from "../../src/oauth/GrantStore.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { Apps } from "../../src/storage/Apps.ts"
import { Database } from "../../src/storage/Database.ts"
import { appOwner } from "../../src/storage/Grants.ts"
import { addAccount, fleet } from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"

const layer = Apps.layer.pipe(Layer.provideMerge(fleet), Layer.orDie)

const google = (clientId: string, secret?: string) => ({
  provider: "google" as const,
  clientId,
  tenant: "",
  secret: secret === undefined ? undefined : Redacted.make(secret),
})

await onDatabases("Apps", layer, (it) => {
  it.effect("a secret is stored sealed, changed and taken away", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const vault = yield* Vault
      const { app, created } = yield* apps.create(google(newId(), "first secret"))
      assert.isTrue(created)
      assert.isTrue(app.hasSecret)
      const sealed = Effect.map(
        sql<{ secret: Uint8Array | null }>`select secret from ${t.apps} where id = ${app.id}`,
        (rows) => rows[0]!.secret,
      )
      const first = (yield* sealed)!
      assert.notInclude(Buffer.from(first).toString("latin1"), "first secret")
      assert.strictEqual(Redacted.value(yield* vault.open(appOwner(app.id), first)), "first secret")

      // Whatever the case in which the id is written: the secret is sealed for the app.
      const changed = Option.getOrThrow(
        yield* apps.patch(app.id.toUpperCase(), { secret: Redacted.make("second secret") }),
      )
      assert.strictEqual(Redacted.value(yield* vault.open(appOwner(app.id), (yield* sealed)!)), "second secret")
      assert.isTrue(changed.updatedAt.epochMilliseconds >= changed.createdAt.epochMilliseconds)
      assert.deepStrictEqual(yield* apps.get(app.id), Option.some(changed))

      assert.isFalse(Option.getOrThrow(yield* apps.patch(app.id, { secret: null })).hasSecret)
      assert.isNull(yield* sealed)
      for (const id of [newId(), "nothing"]) {
        assert.deepStrictEqual(yield* apps.get(id), Option.none())
        assert.deepStrictEqual(yield* apps.patch(id, { secret: null }), Option.none())
      }
    }))

  it.effect("an app that is there is answered with, and left as it is", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const clientId = newId()
      const first = yield* apps.create(google(clientId))
      const again = yield* apps.create(google(clientId, "another"))
      assert.deepStrictEqual(again, { app: first.app, created: false })
      assert.isTrue((yield* apps.create({ ...google(clientId), tenant: "contoso" })).created)
      assert.isTrue((yield* apps.create({ ...google(clientId), provider: "microsoft" })).created)
    }))

  it.effect("the list holds each app once, oldest first, over its pages", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const made: Array<string> = []
      for (let index = 0; index < 7; index++) made.push((yield* apps.create(google(newId()))).app.id)
      const seen: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* Effect.orDie(apps.list({ limit: 2, cursor }))
        assert.isAtMost(page.items.length, 2)
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor ?? undefined
      } while (cursor !== undefined)
      assert.deepStrictEqual(seen.filter((id) => made.includes(id)), made)
      assert.deepStrictEqual(seen, [...seen].sort())
      assert.strictEqual((yield* Effect.flip(apps.list({ limit: 2, cursor: "x" })))._tag, "InvalidCursor")
    }))

  it.effect("an import makes a public app, or uses the one that is there with its secret", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const store = yield* GrantStore
      const leased = Effect.fnUntraced(function* (clientId: string) {
        const { grantId } = yield* addAccount({ clientId, provider: "google", tenant: "" })
        const [answer] = yield* store.lease([grantId])
        assert(answer?._tag === "Leased")
        return answer.grant.app
      })
      const known = (yield* apps.create(google(newId(), "known"))).app.clientId
      const { secret } = yield* leased(known)
      assert.strictEqual(secret && Redacted.value(secret), "known")
      const unknown = newId()
      assert.notProperty(yield* leased(unknown), "secret")
      const { app, created } = yield* apps.create(google(unknown, "late"))
      assert.isFalse(created)
      yield* apps.patch(app.id, { secret: Redacted.make("late") })
      const later = yield* leased(unknown)
      assert.strictEqual(later.secret && Redacted.value(later.secret), "late")
    }))

  it.effect("a changed app has the grants that waited for it tried within a minute, and no others", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const clientId = newId()
      const { app } = yield* apps.create(google(clientId))
      const grant = Effect.fnUntraced(
        function* (failureClass: string | null, options: { readonly client?: string; readonly rests?: boolean } = {}) {
          const { grantId } = yield* addAccount({
            clientId: options.client ?? clientId,
            provider: "google",
            tenant: "",
          })
          yield* sql`update ${t.grants} set failure_class = ${failureClass}, failures = ${
            failureClass === null ? 0 : 1
          },
            due_at = case when ${options.rests === true}::bool then null else now() - interval '1 minute' end,
            attempt_at = case when ${options.rests === true}::bool then null else now() + interval '1 hour' end
            where id = ${grantId}`
          return grantId
        },
      )
      const waits = [yield* grant("app"), yield* grant("app"), yield* grant(null)]
      const others = [yield* grant("throttled"), yield* grant("needs_user"), yield* grant("app", { client: newId() })]
      const rests = yield* grant("app", { rests: true })
      yield* apps.patch(app.id, { secret: Redacted.make("new") })
      const attempts = yield* sql<{ id: string; attempt: number | null; due: number | null }>`select id,
        extract(epoch from attempt_at - now())::float8 as attempt, extract(epoch from due_at - now())::float8 as due
        from ${t.grants}`
      for (const { attempt, due, id } of attempts) {
        if (waits.includes(id)) {
          assert.isAtMost(attempt!, 60)
          assert.isBelow(due!, 0)
        }
        if (others.includes(id)) assert.isAbove(attempt!, 3_000)
        if (id === rests) assert.isNull(attempt)
      }
    }))
})
