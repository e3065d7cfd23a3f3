import { assert } from "@effect/vitest"
import { Clock, DateTime, Deferred, Effect, Exit, Option, Scope } from "effect"
import { TestClock } from "effect/testing"
import { newId } from "../../src/domain/Ids.ts"
import { refresh } from "../../src/programs/Refresh.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import {
  accountOf,
  addAccount,
  failing,
  fleet,
  grantOf,
  type Member,
  process,
  rotated,
  Script,
  statusOf,
} from "../oauth/fleet.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { onDatabases } from "../support/databases.ts"
import { counts, ended, fixedLane, itemsOf, outcomes, own, passTime, runOf, startProcess } from "./worker.ts"

const ids = (members: ReadonlyArray<{ readonly id: string }>) => ({
  _tag: "Ids" as const,
  ids: members.map(({ id }) => id),
})
const byHand = { trigger: "api" }

const addAccounts = (count: number, of: Parameters<typeof addAccount>[0] = {}) =>
  Effect.forEach(Array.from({ length: count }), () => addAccount(of))

await onDatabases("Refresh", fleet, (it) => {
  it.effect("redeems each account's token once, fresh or not", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const members = yield* addAccounts(25)
      const run = yield* requests.refresh(ids(members), byHand)
      assert.deepInclude(counts(run), { state: "queued", total: 25, processed: 0 })
      const first = yield* ended(run)
      assert.deepStrictEqual(counts(first), {
        state: "completed",
        total: 25,
        processed: 25,
        succeeded: 25,
        failed: 0,
        skipped: 0,
      })
      assert.deepInclude({ ...first }, { kind: "refresh", trigger: "api" })
      assert.isNotNull(first.startedAt)
      assert.deepInclude(counts(yield* ended(yield* requests.refresh(ids(members), byHand))), { succeeded: 25 })
      for (const member of members) {
        assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`, `${member.name}.2`])
        assert.deepInclude(yield* grantOf(member), { version: 3, refreshToken: `${member.name}.3` })
      }
      assert.isAtMost(script.mostInFlight, 5)
    }))

  it.effect("lets the fault of one account touch no other", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const members = yield* addAccounts(7)
      const [dead, blocked, odd, , unreadable] = members as [Member, Member, Member, Member, Member]
      const answers = new Map([
        [dead.name, failing("needs_user", { providerCode: "AADSTS700082" })],
        [blocked.name, failing("blocked")],
        [odd.name, failing("ambiguous")],
      ])
      script.answer = (sent) => (answers.get(sent.refreshToken.split(".")[0]!) ?? (() => rotated(sent)))()
      const { sql, tables: t } = yield* Database
      yield* orDie(sql`update ${t.grants} set secret = '\\x00' where id = ${unreadable.grantId}`)
      const run = yield* ended(yield* requests.refresh(ids(members), byHand))
      assert.deepInclude(counts(run), { state: "completed", succeeded: 3, failed: 4 })
      assert.deepStrictEqual(yield* outcomes(run), [
        "failed needs_reauth",
        "failed account_blocked",
        "failed grant_doubtful",
        "succeeded",
        "failed secret_unreadable",
        "succeeded",
        "succeeded",
      ])
      const [first] = yield* itemsOf(run)
      assert.strictEqual(first!.error!.message, "AADSTS700082: the provider said needs_user")
      assert.deepStrictEqual(
        yield* Effect.forEach(members, statusOf),
        ["needs_reauth", "blocked", "pending", "active", "pending", "active", "active"],
      )
    }))

  it.effect("skips disabled accounts, and says which ids name none", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [on, off, later] = (yield* addAccounts(3)) as [Member, Member, Member]
      const accounts = yield* Accounts
      yield* accounts.patch(off.id, { status: "disabled" })
      const run = yield* requests.refresh(
        { _tag: "Ids", ids: [on.id, newId(), off.id, on.id.toUpperCase(), "no id", later.id] },
        byHand,
      )
      yield* ended(run)
      assert.deepStrictEqual(yield* outcomes(run), [
        "succeeded",
        "failed account_not_found",
        "skipped account_disabled",
        "failed account_not_found",
        "succeeded",
      ])
      assert.deepStrictEqual(script.tokensOf(off.name), [])
      assert.strictEqual(yield* statusOf(off), "disabled")
    }))

  it.effect("skips an account that is disabled before its turn comes", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const [on, off] = (yield* addAccounts(2)) as [Member, Member]
      const runs = yield* Runs
      const run = yield* Effect.orDie(runs.createOver({ kind: "refresh", trigger: "api" }, ids([on, off])))
      yield* (yield* Accounts).patch(off.id, { status: "disabled" })
      const owned = yield* own(run)
      const end = yield* refresh(owned, yield* fixedLane(2)).pipe(Effect.provideService(Tokens, tokens))
      yield* runs.finish(owned, end)
      assert.deepStrictEqual(yield* outcomes(run), ["succeeded", "skipped account_disabled"])
      assert.deepStrictEqual(script.tokensOf(off.name), [])
    }))

  it.effect("selects by filter, and leaves disabled accounts out", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const accounts = yield* Accounts
      const members = yield* addAccounts(4)
      const tag = newId()
      for (const { id } of members.slice(0, 3)) yield* accounts.patch(id, { tags: [tag] })
      yield* accounts.patch(members[2]!.id, { status: "disabled" })
      const run = yield* ended(yield* requests.refresh({ _tag: "Filter", filter: { tag } }, byHand))
      assert.deepInclude(counts(run), { total: 2, succeeded: 2 })
      const before = DateTime.subtract(yield* DateTime.now, { hours: 1 })
      const stale = yield* requests.refresh({ _tag: "Filter", filter: { tag, refreshedBefore: before } }, byHand)
      assert.deepInclude(counts(yield* ended(stale)), { state: "completed", total: 0, processed: 0 })
    }))

  it.effect("never has more redemptions under way than the setting says, over all its runs", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = (sent) => Effect.andThen(Effect.sleep("2 millis"), rotated(sent))
      const requests = yield* startProcess(script, { refreshConcurrency: 3 })
      const runs = yield* Effect.forEach(
        [1, 2, 3],
        () => Effect.flatMap(addAccounts(20), (members) => requests.refresh(ids(members), byHand)),
      )
      for (const run of runs) assert.deepInclude(counts(yield* ended(run)), { succeeded: 20 })
      assert.strictEqual(script.mostInFlight, 3)
    }))

  it.effect("hands its runs back when the process ends, and another goes on where it was", () =>
    Effect.gen(function* () {
      const script = new Script()
      const members = yield* addAccounts(10)
      const third = yield* Deferred.make<void>()
      script.answer = (sent) =>
        script.sent.length <= 3 ? rotated(sent) : Effect.andThen(Deferred.succeed(third, undefined), rotated(sent))
      const scope = yield* Scope.make()
      const requests = yield* Scope.provide(startProcess(script, { refreshConcurrency: 1 }), scope)
      const run = yield* requests.refresh(ids(members), byHand)
      yield* Deferred.await(third)
      yield* Scope.close(scope, Exit.void)
      const between = yield* runOf(run.id)
      assert.strictEqual(between.state, "running")
      yield* startProcess(script, { refreshConcurrency: 2 })
      assert.deepInclude(counts(yield* ended(run)), { state: "completed", succeeded: 10 })
      // What was redeemed since the run was asked for is not redeemed again.
      assert.strictEqual(script.sent.length, 10)
      for (const member of members) assert.strictEqual((yield* grantOf(member)).version, 2)
    }))

  it.effect("runs the failed items that have an account again, as a run of its own", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const members = yield* addAccounts(5)
      const failed = new Set([members[1]!.name, members[3]!.name])
      script.answer = (sent) => failed.has(sent.refreshToken.split(".")[0]!) ? failing("needs_user")() : rotated(sent)
      const first = yield* ended(
        yield* requests.refresh({ _tag: "Ids", ids: [...members.map(({ id }) => id), newId()] }, byHand),
      )
      assert.deepInclude(counts(first), { succeeded: 3, failed: 3 })
      script.answer = rotated
      const again = Option.getOrThrow(yield* requests.retry(first, { trigger: "retry" }))
      assert.notStrictEqual(again.id, first.id)
      assert.deepInclude({ ...again }, { kind: "refresh", trigger: "retry", retryOf: first.id, total: 2 })
      yield* ended(again)
      assert.deepStrictEqual(
        (yield* itemsOf(again)).map(({ accountId, outcome }) => [accountId, outcome]),
        [[members[1]!.id, "succeeded"], [members[3]!.id, "succeeded"]],
      )
      assert.deepInclude(counts(yield* runOf(first.id)), { succeeded: 3, failed: 3 })
      assert.isTrue(Option.isNone(yield* requests.retry(again, { trigger: "retry" })), "nothing failed")
    }))

  it.effect("gives the same run for the same key, and refuses the key for another request", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const [one, other] = (yield* addAccounts(2)) as [Member, Member]
      const request = { trigger: "api", idempotencyKey: newId() }
      const first = yield* requests.refresh(ids([one]), request)
      const both = yield* Effect.all([requests.refresh(ids([one]), request), requests.refresh(ids([one]), request)], {
        concurrency: 2,
      })
      assert.deepStrictEqual(both.map(({ id }) => id), [first.id, first.id])
      for (const reused of [requests.refresh(ids([other]), request), requests.sync(ids([one]), request)]) {
        assert.deepInclude({ ...(yield* Effect.flip(reused)) }, { _tag: "IdempotencyConflict", kind: "reused" })
      }
      yield* ended(first)
      assert.strictEqual((yield* requests.refresh(ids([one]), request)).id, first.id)
    }))

  it.effect("fails the items of an app that is refused at once, and leaves its accounts as they are", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const clientId = newId()
      const members = yield* addAccounts(30, { clientId })
      const others = yield* addAccounts(3)
      script.answer = (sent) => sent.clientId === clientId ? failing("app")() : rotated(sent)
      const run = yield* ended(yield* requests.refresh(ids([...members, ...others]), byHand))
      assert.deepInclude(counts(run), { state: "completed", succeeded: 3, failed: 30 })
      const failed = (yield* itemsOf(run)).filter(({ outcome }) => outcome === "failed")
      for (const { error } of failed) assert.deepInclude(error, { code: "app_misconfigured", retryable: false })
      // Those that were under way before the circuit opened.
      assert.isAtMost(script.sent.filter((sent) => sent.clientId === clientId).length, 8)
      for (const member of members) assert.strictEqual(yield* statusOf(member), "pending")
    }))

  const atOnce = (members: ReadonlyArray<Member>, script: Script) =>
    Effect.gen(function* () {
      const tokens = yield* process(script)
      const runs = yield* Runs
      const run = yield* Effect.orDie(runs.createOver({ kind: "refresh", trigger: "api" }, ids(members)))
      const owned = yield* own(run)
      const fiber = yield* Effect.forkChild(
        refresh(owned, yield* fixedLane(2)).pipe(Effect.provideService(Tokens, tokens)),
      )
      yield* runs.finish(owned, yield* passTime(fiber))
      return yield* outcomes(run)
    })

  it.effect("waits out what the provider asks for, and then succeeds; nothing is sent meanwhile", () =>
    Effect.provide(
      Effect.gen(function* () {
        const script = new Script()
        const members = yield* addAccounts(6)
        const slow = members[0]!
        const sentAt: Array<number> = []
        script.answer = (sent) =>
          Effect.gen(function* () {
            if (!sent.refreshToken.startsWith(slow.name)) return yield* rotated(sent)
            sentAt.push(yield* Clock.currentTimeMillis)
            return yield* sentAt.length <= 2
              ? failing("throttled", { reach: "app", retryAfterMillis: 5_000 })()
              : rotated(sent)
          })
        assert.deepStrictEqual(yield* atOnce(members, script), Array(6).fill("succeeded"))
        assert.deepStrictEqual(script.tokensOf(slow.name), Array(3).fill(`${slow.name}.1`))
        assert.isAtLeast(sentAt[1]! - sentAt[0]!, 5_000)
        assert.isAtLeast(sentAt[2]! - sentAt[1]!, 5_000)
        assert.strictEqual(script.sent[7]!.refreshToken, `${slow.name}.1`, "the others did not wait")
        for (const member of members) assert.strictEqual(yield* statusOf(member), "active")
      }),
      TestClock.layer(),
    ))

  it.effect("tries three times more where the provider has a passing fault", () =>
    Effect.provide(
      Effect.gen(function* () {
        const script = new Script()
        const [down, up, well] = (yield* addAccounts(3)) as [Member, Member, Member]
        script.answer = (sent) => {
          const tries = script.tokensOf(sent.refreshToken.split(".")[0]!).length
          return sent.refreshToken.startsWith(down.name) || (sent.refreshToken.startsWith(up.name) && tries < 4)
            ? failing("transient")()
            : rotated(sent)
        }
        assert.deepStrictEqual(yield* atOnce([down, up, well], script), [
          "failed provider_unavailable",
          "succeeded",
          "succeeded",
        ])
        assert.strictEqual(script.tokensOf(down.name).length, 4)
        assert.strictEqual(yield* statusOf(down), "pending")
        assert.deepInclude(yield* accountOf(down), { statusReason: "the provider said transient" })
      }),
      TestClock.layer(),
    ))
})
