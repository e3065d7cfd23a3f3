/** When an account is synced again. */
import { assert } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import type { AccountStatus } from "../../../src/domain/Account.ts"
import { Accounts } from "../../../src/storage/Accounts.ts"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { SyncLeases } from "../../../src/storage/mail/SyncLeases.ts"
import { accountOf, addAccount, fleet, type Member, process, Script } from "../../oauth/fleet.ts"
import { onDatabases } from "../../support/databases.ts"
import { noGrants } from "../../support/grants.ts"

const layer = SyncLeases.layer.pipe(Layer.provideMerge(fleet))

const minute = 60_000
const failure = { code: "mail_failed", message: "no answer", dueInMillis: 5 * minute }

const become = Effect.fnUntraced(function* ({ id }: Member, status: AccountStatus) {
  const { sql, tables: t } = yield* Database
  yield* sql`update ${t.accounts} set status = ${status}, sync_due_at = now() - interval '1 second' where id = ${id}`
}, orDie)

const nextSync = (member: Member) => Effect.map(accountOf(member), ({ sync }) => sync.nextSyncAt)

await onDatabases("SyncLeases", layer, (it) => {
  it.effect("only an active account is due again after a round, whatever came of it", () =>
    Effect.gen(function* () {
      yield* noGrants
      const leases = yield* SyncLeases
      for (const status of ["active", "pending", "needs_reauth", "blocked", "disabled"] as const) {
        for (const end of ["succeed", "fail"] as const) {
          const member = yield* addAccount()
          yield* become(member, status)
          const lease = Option.getOrThrow(yield* leases.acquire(member.id))
          yield* end === "succeed" ? leases.succeed(lease, 5 * minute) : leases.fail(lease, failure)
          assert.strictEqual((yield* nextSync(member)) !== null, status === "active", `${status} ${end}`)
        }
      }
    }))

  it.effect("an account whose turn ended without a verdict is due before the end of its claim, and none that was not due", () =>
    Effect.gen(function* () {
      yield* noGrants
      const leases = yield* SyncLeases
      const accounts = yield* Accounts
      const member = yield* addAccount()
      yield* become(member, "active")
      assert.deepStrictEqual((yield* accounts.claimSyncDue(10, 600)).map(({ id }) => id), [member.id])
      yield* leases.release(Option.getOrThrow(yield* leases.acquire(member.id)))
      const next = (yield* nextSync(member))!.epochMilliseconds - Date.now()
      assert.isTrue(next > 0 && next <= 11_000, `${next} ms`)
      const resting = yield* addAccount()
      yield* leases.release(Option.getOrThrow(yield* leases.acquire(resting.id)))
      assert.isNull(yield* nextSync(resting))
    }))

  it.effect("an account that had to sign in again is synced at once when its token works", () =>
    Effect.scoped(Effect.gen(function* () {
      yield* noGrants
      const leases = yield* SyncLeases
      const accounts = yield* Accounts
      const member = yield* addAccount()
      yield* become(member, "needs_reauth")
      yield* leases.fail(Option.getOrThrow(yield* leases.acquire(member.id)), failure)
      assert.deepStrictEqual(yield* accounts.claimSyncDue(10, 60), [])
      yield* Effect.orDie((yield* process(new Script())).refresh(member.grantId, "graph"))
      assert.deepStrictEqual((yield* accounts.claimSyncDue(10, 60)).map(({ id }) => id), [member.id])
    })))
})
