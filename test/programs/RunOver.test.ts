import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Logger, Option } from "effect"
import { SqlError } from "effect/sql"
import { TestClock } from "effect/testing"
import { codeOf, type FailureClass } from "../../src/domain/FailureClass.ts"
import { newId } from "../../src/domain/Ids.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { type ItemOutcome, orPostpone, runOver, succeeded } from "../../src/programs/RunOver.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database } from "../../src/storage/Database.ts"
import { type OwnedRun, Runs, type WorkItem } from "../../src/storage/runs/Runs.ts"
import { addAccount, fleet } from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { counts, itemsOf, outcomes, own, passTime, runOf, silence, takeOver } from "./worker.ts"

/** A run over so many new accounts. */
const newRun = Effect.fnUntraced(function* (count: number) {
  const members = yield* Effect.forEach(Array.from({ length: count }), () => addAccount())
  const runs = yield* Runs
  const run = yield* Effect.orDie(
    runs.createOver({ kind: "refresh", trigger: "test" }, { _tag: "Ids", ids: members.map(({ id }) => id) }),
  )
  return { members, run }
})

const failure = (code: string): ItemOutcome => ({ outcome: "failed", error: { code, message: code, retryable: false } })

await onDatabases("RunOver", fleet, (it) => {
  it.effect("works on every item once, and counts what came of it", () =>
    Effect.gen(function* () {
      // More than one page.
      const { run } = yield* newRun(230)
      const owned = yield* own(run)
      const seen: Array<number> = []
      const end = yield* runOver(owned, 7, ({ position }) =>
        Effect.sync(() => {
          seen.push(position)
          return position % 10 === 0 ? failure("odd") : position % 10 === 1 ? { outcome: "skipped" } : succeeded
        }))
      assert.strictEqual(end, "completed")
      assert.deepStrictEqual(seen.toSorted((a, b) => a - b), Array.from({ length: 230 }, (_, n) => n + 1))
      yield* (yield* Runs).finish(owned, end)
      assert.deepStrictEqual(counts(yield* runOf(run.id)), {
        state: "completed",
        total: 230,
        processed: 230,
        succeeded: 184,
        failed: 23,
        skipped: 23,
      })
      assert.deepStrictEqual((yield* outcomes(run)).slice(0, 2), ["skipped", "succeeded"])
    }))

  it.effect("an unexpected fault fails the item that it came of, and no other", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(30)
      const owned = yield* own(run)
      const lines: Array<string> = []
      const log = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => void lines.push(line))])
      const { sql } = yield* Database
      const unstorable = Effect.orDie(sql`select ${"a NUL: \0"}::text`)
      const end = yield* runOver(owned, 5, ({ position }) =>
        position === 7
          ? Effect.die(new TypeError("x is not a function"))
          : Effect.as(position === 8 ? unstorable : Effect.void, succeeded)).pipe(
          Effect.withSpan("a run"),
          Effect.provide(log),
        )
      assert.strictEqual(end, "completed")
      const items = yield* itemsOf(run)
      const failed = items.filter(({ outcome }) =>
        outcome !== "succeeded"
      )
      assert.deepStrictEqual(
        failed.map(({ position }) =>
          position
        ),
        [7, 8],
      )
      for (const { error } of failed) {
        assert.deepInclude({ ...error }, { code: "internal_error", retryable: true })
        const [, trace] = /by trace ([0-9a-f]{32})$/.exec(error!.message)!
        assert.isTrue(lines.some((line) => line.includes("unexpected fault") && line.includes(`traceId=${trace}`)))
        assert.notInclude(error!.message, "x is not a function")
      }
    }))

  it.effect("a database that fails ends the work on all, and no item is given up for it", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(3)
      const owned = yield* own(run)
      const gone = new SqlError.SqlError({
        reason: new SqlError.ConnectionError({ cause: new Error("the connection is closed") }),
      })
      const exit = yield* Effect.exit(
        runOver(owned, 1, ({ position }) => position === 2 ? Effect.die(gone) : Effect.succeed(succeeded)),
      )
      assert.isTrue(Exit.isFailure(exit))
      assert.deepStrictEqual(yield* outcomes(run), ["succeeded", "pending", "pending"])
    }))

  it.effect("stores progress after ten outcomes, or a quarter of a second after the first", () =>
    Effect.provide(
      Effect.gen(function* () {
        const { run } = yield* newRun(30)
        const owned = yield* own(run)
        const runs = yield* Runs
        const batches: Array<number> = []
        const stages = [yield* Latch.make(true), yield* Latch.make(), yield* Latch.make()]
        const stageOf = (position: number) => position <= 10 ? 0 : position <= 13 ? 1 : 2
        const work = runOver(owned, 1, ({ position }) => Effect.as(stages[stageOf(position)]!.await, succeeded)).pipe(
          Effect.provideService(Runs, {
            ...runs,
            record: (by, results) =>
              Effect.andThen(
                Effect.sync(() => batches.push(results.length)),
                runs.record(by, results),
              ),
          }),
        )
        const fiber = yield* Effect.forkChild(work)
        const processed = (count: number) =>
          TestClock.withLive(eventually("so many are stored", runOf(run.id), (now) => now.processed === count))
        yield* processed(10)
        assert.deepStrictEqual(batches, [10])

        yield* stages[1]!.open
        yield* TestClock.adjust("249 millis")
        assert.deepStrictEqual(batches, [10])
        yield* TestClock.adjust("1 millis")
        yield* processed(13)
        assert.deepStrictEqual(batches, [10, 3])

        yield* stages[2]!.open
        assert.strictEqual(yield* Fiber.join(fiber), "completed")
        assert.strictEqual((yield* runOf(run.id)).processed, 30)
        assert.isTrue(batches.slice(2).every((size) => size >= 1 && size <= 17), String(batches))
      }),
      TestClock.layer(),
    ))

  it.effect("stores what it knows when it is interrupted, and goes on there in another process", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(12)
      const owned = yield* own(run)
      const runs = yield* Runs
      const sixth = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(
        runOver(
          owned,
          1,
          ({ position }) =>
            position < 6 ? Effect.succeed(succeeded) : Effect.andThen(Deferred.succeed(sixth, undefined), Effect.never),
        ),
      )
      yield* Deferred.await(sixth)
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* outcomes(run), [...Array(5).fill("succeeded"), ...Array(7).fill("pending")])

      assert.strictEqual(yield* Effect.flip(own(run)).pipe(Effect.exit, Effect.map(Exit.isFailure)), true)
      yield* runs.handBack(owned)
      const again = yield* own(run)
      assert.isTrue(again.fence > owned.fence)
      const seen: Array<number> = []
      const end = yield* runOver(again, 2, ({ position }) =>
        Effect.sync(() => {
          seen.push(position)
          return succeeded
        }))
      assert.strictEqual(end, "completed")
      assert.deepStrictEqual(seen.toSorted((a, b) => a - b), [6, 7, 8, 9, 10, 11, 12])
      yield* runs.finish(again, end)
      assert.strictEqual((yield* runOf(run.id)).succeeded, 12)
    }))

  it.effect("stops at a cancel, and leaves the rest pending", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(8)
      const owned = yield* own(run)
      const runs = yield* Runs
      const fourth = yield* Deferred.make<void>()
      const fiber = yield* Effect.forkChild(runOver(owned, 1, ({ position }) =>
        position < 4 ? Effect.succeed(succeeded) : Effect.andThen(Deferred.succeed(fourth, undefined), Effect.never)))
      yield* Deferred.await(fourth)
      assert.isTrue(yield* runs.cancel(run.id))
      const end = yield* Fiber.join(fiber)
      assert.strictEqual(end, "cancelled")
      yield* runs.finish(owned, end)
      assert.deepInclude(counts(yield* runOf(run.id)), { state: "cancelled", processed: 3, succeeded: 3, failed: 0 })
      assert.deepStrictEqual(yield* outcomes(run), [...Array(3).fill("succeeded"), ...Array(5).fill("pending")])
      assert.isFalse(yield* runs.cancel(run.id), "it has ended")
      assert.isFalse((yield* runs.claim("refresh", 1_000)).some(({ id }) =>
        id === run.id
      ))
    }))

  it.effect("cancels at once what nobody works on", () =>
    Effect.gen(function* () {
      const runs = yield* Runs
      const queued = yield* newRun(2)
      assert.isTrue(yield* runs.cancel(queued.run.id))
      assert.strictEqual((yield* runOf(queued.run.id)).state, "cancelled")
      const abandoned = yield* newRun(2)
      yield* silence(yield* own(abandoned.run))
      assert.isTrue(yield* runs.cancel(abandoned.run.id))
      assert.deepInclude(counts(yield* runOf(abandoned.run.id)), { state: "cancelled", processed: 0 })
      for (const id of [newId(), "none", ""]) assert.isFalse(yield* runs.cancel(id))
    }))

  it.effect("lets one process at a time write to a run", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(3)
      const runs = yield* Runs
      const first = yield* own(run)
      const begun = yield* Deferred.make<void>()
      const gate = yield* Latch.make()
      const late = yield* Effect.forkChild(Effect.exit(runOver(first, 1, () =>
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.as(gate.await, failure("late"))))))
      yield* Deferred.await(begun)
      const second = yield* takeOver(first)
      yield* gate.open
      yield* Fiber.join(late)

      const result = [{ position: 1, ...failure("late") }] as const
      const isLost = (effect: Effect.Effect<unknown, { readonly _tag: string }>) =>
        Effect.map(Effect.flip(effect), ({ _tag }) =>
          assert.strictEqual(_tag, "RunLost"))
      yield* isLost(runs.renew(first))
      yield* isLost(runs.record(first, [{ position: 1, outcome: "failed", error: result[0].error! }]))
      yield* isLost(runs.finish(first, "completed"))
      yield* runs.handBack(first)
      assert.deepStrictEqual(yield* outcomes(run), ["pending", "pending", "pending"])
      yield* runs.renew(second)

      yield* runs.finish(second, yield* runOver(second, 1, () => Effect.succeed(succeeded)))
      assert.deepInclude(counts(yield* runOf(run.id)), { state: "completed", succeeded: 3, failed: 0 })
      yield* isLost(runs.record(second, [{ position: 1, outcome: "failed", error: result[0].error! }]))
    }))

  it.effect("counts an item once, however often its outcome is stored", () =>
    Effect.gen(function* () {
      const { run } = yield* newRun(2)
      const runs = yield* Runs
      const owned = yield* own(run)
      yield* runs.record(owned, [{ position: 1, outcome: "succeeded" }])
      yield* runs.record(owned, [{ position: 1, outcome: "skipped" }, { position: 2, outcome: "skipped" }])
      yield* runs.record(owned, [])
      assert.deepInclude(counts(yield* runOf(run.id)), { processed: 2, succeeded: 1, skipped: 1 })
      yield* runs.finish(owned, "completed")
    }))

  it.effect("ends the items of accounts that were deleted while they waited", () =>
    Effect.gen(function* () {
      const { members, run } = yield* newRun(3)
      const runs = yield* Runs
      const owned = yield* own(run)
      yield* (yield* Accounts).remove(members[1]!.id)
      yield* runs.finish(owned, yield* runOver(owned, 2, () => Effect.succeed(succeeded)))
      assert.deepStrictEqual(yield* outcomes(run), ["succeeded", "failed account_deleted", "succeeded"])
      assert.deepInclude(counts(yield* runOf(run.id)), { processed: 3, failed: 1 })
      assert.isTrue(Option.isNone(yield* runs.createRetry(run.id, { kind: "refresh", trigger: "retry" })))
    }))

  /** Runs over `count` accounts; `answer` says what an item meets at its attempt, undefined = success. */
  const meeting = (
    count: number,
    answer: (item: WorkItem, attempt: number, call: number) => ProviderError | undefined,
  ) =>
    Effect.provide(
      Effect.gen(function* () {
        const { run } = yield* newRun(count)
        const owned: OwnedRun = yield* own(run)
        const calls = new Map<number, number>()
        const order: Array<number> = []
        const fiber = yield* Effect.forkChild(runOver(owned, 2, (item, attempt) =>
          Effect.suspend(() => {
            const call = (calls.get(item.position) ?? 0) + 1
            calls.set(item.position, call)
            order.push(item.position)
            const error = answer(item, attempt, call)
            return error === undefined ? Effect.succeed(succeeded) : orPostpone(error, attempt)
          })))
        yield* passTime(fiber)
        yield* (yield* Runs).finish(owned, "completed")
        return { items: yield* itemsOf(run), calls, order }
      }),
      TestClock.layer(),
    )

  const error = (
    failureClass: FailureClass,
    more: { readonly retryAfterMillis?: number; readonly providerCode?: string } = {},
  ) => new ProviderError({ class: failureClass, code: codeOf[failureClass], message: "what to do", ...more })

  it.effect("tries a passing fault three times more, and then fails the item as retryable", () =>
    Effect.gen(function* () {
      const { calls, items, order } = yield* meeting(
        4,
        ({ position }, attempt) => position === 1 || (position === 2 && attempt < 3) ? error("transient") : undefined,
      )
      assert.deepStrictEqual(items.map(({ outcome }) => outcome), ["failed", "succeeded", "succeeded", "succeeded"])
      assert.deepStrictEqual(items[0]!.error, {
        code: "provider_unavailable",
        message: "what to do",
        retryable: true,
      })
      assert.deepStrictEqual(Object.fromEntries(calls), { 1: 4, 2: 4, 3: 1, 4: 1 })
      assert.sameMembers(order.slice(0, 4), [1, 2, 3, 4], "the others did not wait")
    }))

  it.effect("waits out a throttled item as often as it takes, and goes on with others", () =>
    Effect.gen(function* () {
      const { calls, items, order } = yield* meeting(6, ({ position }, _attempt, call) =>
        position === 1 && call <= 6 ? error("throttled", { retryAfterMillis: 700 }) : undefined)
      assert.isTrue(items.every(({ outcome }) =>
        outcome === "succeeded"
      ))
      assert.strictEqual(calls.get(1), 7)
      assert.sameMembers(order.slice(0, 6), [1, 2, 3, 4, 5, 6])
    }))

  it.effect("fails an item at once for anything else, with the provider's code and whether a retry may help", () =>
    Effect.gen(function* () {
      const classes = ["app", "scope", "blocked", "needs_user", "ambiguous", "unknown"] as const
      const { calls, items } = yield* meeting(
        classes.length,
        ({ position }) => error(classes[position - 1]!, { providerCode: "AADSTS1" }),
      )
      assert.deepStrictEqual(
        items.map((item) => item.error),
        classes.map((failureClass) => ({
          code: codeOf[failureClass],
          message: "AADSTS1: what to do",
          retryable: failureClass === "ambiguous" || failureClass === "unknown",
        })),
      )
      assert.isTrue([...calls.values()].every((count) => count === 1))
    }))
})
