/** Whatever a provider answers, in whatever order: what a grant and its accounts may never come to. */
import { assert } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { TestClock } from "effect/testing"
import { FailureClass } from "../../src/domain/FailureClass.ts"
import { isPassing } from "../../src/oauth/RefreshPolicy.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { access, accountOf, addAccount, age, failing, fleet, type Member, process, rotated, Script } from "./fleet.ts"

const Step = Schema.Struct({
  answer: Schema.Union([Schema.Literal("ok"), FailureClass]),
  reach: Schema.Literals(["app", "tenant", "grant"]),
  /** Milliseconds; absent = the provider names no time. */
  retryAfter: Schema.optionalKey(Schema.Literals([1, 900, 60_000])),
  /** Minutes that pass before. */
  pause: Schema.Literals([0, 1, 20, 70, 400]),
  by: Schema.Literals(["refresh", "accessToken"]),
})
type Step = typeof Step.Type

const steps = Schema.Array(Step).check(Schema.isMinLength(1), Schema.isMaxLength(10))

/** Lets time pass for the program and for what the database remembers of the grant. */
const pass = (member: Member, minutes: number) =>
  Effect.andThen(TestClock.adjust(`${minutes} minutes`), age(member, minutes))

const validToken = ({ grantId }: Member) =>
  Effect.gen(function* () {
    const { sql, tables: t } = yield* Database
    const rows = yield* orDie(sql`select 1 from ${t.access_tokens} where grant_id = ${grantId}
      and expires_at > now() + interval '5 seconds'`)
    return rows.length > 0
  })

/** Classes after which nobody may be told to sign in again. */
const harmless = new Set<string>(["throttled", "transient", "app", "unknown"])

await onDatabases("Any sequence of answers", fleet, (it) => {
  it.effect.prop(
    "declares nobody dead for a fault of another kind, serves what is valid, and recovers with the provider",
    [steps],
    ([sequence]) =>
      Effect.gen(function* () {
        const script = new Script()
        const tokens = yield* process(script)
        const member = yield* addAccount()
        for (const { answer, by, pause, reach, retryAfter } of sequence) {
          yield* pass(member, pause)
          const before = yield* accountOf(member)
          const valid = yield* validToken(member)
          const requests = script.sent.length
          script.answer = answer === "ok" ? rotated : failing(answer, {
            ...(answer === "throttled" || answer === "app" ? { reach } : {}),
            ...(retryAfter === undefined ? {} : { retryAfterMillis: retryAfter }),
          })
          const exit = yield* Effect.exit(
            by === "refresh"
              ? tokens.refresh(member.grantId, "graph")
              : tokens.accessToken(member.grantId, "graph", { minValidity: "2 hours" }),
          )
          const after = yield* accountOf(member)
          const sent = script.sent.length > requests

          if (by === "accessToken" && valid) assert.isTrue(Exit.isSuccess(exit), "a valid access token was not served")
          if (sent && answer === "ok") {
            assert.isTrue(Exit.isSuccess(exit))
            assert.strictEqual(after.status, "active")
            assert.isUndefined(after.token.lastError)
            assert.strictEqual(after.token.version, before.token.version + 1)
          }
          if (!sent || harmless.has(answer)) assert.strictEqual(after.status, before.status)
          if (sent && answer !== "ok") {
            // A fault that passes leaves what is known of the grant.
            const known = before.token.lastError?.class
            const stays = known !== undefined && isPassing(answer) && !isPassing(known)
            assert.strictEqual(after.token.lastError?.class, stays ? known : answer)
            assert.strictEqual(after.token.version, before.token.version)
          }
          // It comes again by itself.
          const next = after.token.nextRefreshAt
          assert.isNotNull(next)
          assert.isBelow(next.epochMilliseconds, Date.now() + 8 * 86_400_000)
        }
        // The longest pause and the longest wait of a circuit are over.
        yield* pass(member, 24 * 60)
        script.answer = rotated
        const token = yield* tokens.refresh(member.grantId, "graph")
        assert.include(access(token), member.name)
        assert.strictEqual((yield* accountOf(member)).status, "active")
      }).pipe(Effect.scoped, Effect.provide(TestClock.layer())),
    { arbitrary: { runs: 60 } },
  )
})
