import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Resource } from "../../src/domain/Account.ts"
import { codeOf, type FailureClass, type Reach } from "../../src/domain/FailureClass.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { AppBreaker, type AppTransition, subjectOf } from "../../src/pacing/AppBreaker.ts"

const app = (tenant = "common", resource: Resource = "graph", updatedAt = 1) => ({
  provider: "microsoft" as const,
  clientId: "client",
  tenant,
  resource,
  updatedAt,
})

const failing = (failureClass: FailureClass, reach?: Reach) =>
  Effect.fail({
    error: new ProviderError({
      class: failureClass,
      code: codeOf[failureClass],
      message: failureClass,
      providerCode: "AADSTS0",
    }),
    ...(reach === undefined ? {} : { reach }),
  })

const answers = {
  ok: Effect.void,
  "app-wide": failing("app", "app"),
  "tenant-wide": failing("app", "tenant"),
  "app without reach": failing("app"),
  needs_user: failing("needs_user"),
  scope: failing("scope"),
  throttled: failing("throttled", "app"),
  transient: failing("transient"),
  unknown: failing("unknown"),
  defect: Effect.die("a fault of ours"),
} as const
type Answer = keyof typeof answers

/** Sends under the circuits of the app. Answers the milliseconds to wait where nothing was sent. */
const send = Effect.fnUntraced(function* (answer: Answer, ...request: Parameters<typeof app>) {
  const breaker = yield* AppBreaker
  let sent = false
  const attempt = Effect.suspend((): Effect.Effect<void, { readonly error: ProviderError; readonly reach?: Reach }> => {
    sent = true
    return answers[answer]
  })
  const exit = yield* Effect.exit(breaker.guard(app(...request))(attempt))
  if (sent) return 0
  const { error } = Option.getOrThrow(Exit.findErrorOption(exit))
  assert.deepInclude({ ...error }, { class: "app", code: "app_misconfigured", notSent: true })
  assert.isAbove(error.retryAfterMillis ?? 0, 0)
  return error.retryAfterMillis!
})

/** Collects the transitions from now on. */
const watched = Effect.gen(function* () {
  const seen: Array<string> = []
  const { transitions } = yield* AppBreaker
  const add = (transition: AppTransition) =>
    Effect.sync(() => {
      const { app, error, state } = transition
      assert.strictEqual(error !== undefined, state === "open")
      seen.push(`${subjectOf(app)} ${state}`)
    })
  yield* Effect.forkScoped(Stream.runForEach(transitions, add), { startImmediately: true })
  return seen
})

const openNow = Effect.flatMap(
  AppBreaker,
  ({ open }) =>
    Effect.zipWith(
      open,
      Clock.currentTimeMillis,
      (circuits, now) => new Map(circuits.map(({ until, ...app }) => [subjectOf(app), until - now])),
    ),
)

const fresh = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(effect).pipe(Effect.provide(AppBreaker.layer, { local: true }))

describe("AppBreaker", () => {
  it.effect("opens at the first answer that leaves no doubt, for all tenants", () =>
    fresh(Effect.gen(function* () {
      const seen = yield* watched
      assert.strictEqual(yield* send("app-wide", "a"), 0)
      for (const tenant of ["a", "b"]) assert.strictEqual(yield* send("ok", tenant), 30_000)
      assert.deepStrictEqual([...yield* openNow], [["microsoft:client", 30_000]])
      yield* TestClock.adjust("29 seconds")
      assert.strictEqual(yield* send("ok", "b"), 1_000)
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* openNow).size, 0, "its probe is due")
      assert.strictEqual(yield* send("ok", "b"), 0)
      assert.strictEqual(yield* send("ok", "a"), 0)
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, ["microsoft:client open", "microsoft:client closed"])
    })))

  it.effect("opens for one tenant, after three in a row, where the answer may be that tenant's matter", () =>
    fresh(Effect.gen(function* () {
      const seen = yield* watched
      for (
        const answer of ["tenant-wide", "app without reach", "ok", "tenant-wide", "transient", "tenant-wide"] as const
      ) {
        assert.strictEqual(yield* send(answer, "a"), 0)
      }
      assert.strictEqual(yield* send("tenant-wide", "a"), 0)
      assert.strictEqual(yield* send("ok", "a"), 30_000)
      assert.strictEqual(yield* send("ok", "b"), 0)
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, ["microsoft:client:a:graph open"])
    })))

  it.effect("lets nobody be stopped by what is asked for at another resource", () =>
    fresh(Effect.gen(function* () {
      for (let refusal = 0; refusal < 3; refusal++) yield* send("tenant-wide", "a", "outlook-imap")
      assert.strictEqual(yield* send("ok", "a", "outlook-imap"), 30_000)
      assert.strictEqual(yield* send("ok", "a", "graph"), 0)
      assert.deepStrictEqual([...yield* openNow], [["microsoft:client:a:outlook-imap", 30_000]])
      // But for what is the app's own fault.
      yield* send("app-wide", "a", "graph")
      yield* TestClock.adjust("1 second")
      assert.strictEqual(yield* send("ok", "b", "outlook-imap"), 29_000)
    })))

  it.effect("is reset by an app that was changed since, in whatever process", () =>
    fresh(Effect.gen(function* () {
      const seen = yield* watched
      yield* send("app-wide", "a", "graph", 7)
      assert.strictEqual(yield* send("ok", "a", "graph", 7), 30_000)
      // Each tenant's app has a time of its own, which says nothing of the one that was refused.
      assert.strictEqual(yield* send("ok", "b", "graph", 9), 30_000)
      assert.strictEqual(yield* send("app-wide", "a", "graph", 8), 0, "the new secret is wrong as well")
      assert.strictEqual(yield* send("ok", "a", "graph", 8), 30_000)
      assert.strictEqual(yield* send("ok", "a", "graph", 9), 0)
      for (let refusal = 0; refusal < 3; refusal++) yield* send("tenant-wide", "a", "graph", 9)
      assert.strictEqual(yield* send("ok", "a", "graph", 9), 30_000)
      assert.strictEqual(yield* send("ok", "a", "graph", 10), 0)
      yield* Effect.yieldNow
      const both = ["microsoft:client", "microsoft:client", "microsoft:client:a:graph"]
      assert.deepStrictEqual(seen, both.flatMap((subject) => [`${subject} open`, `${subject} closed`]))
    })))

  it.effect("waits twice as long after each refused probe, and 15 minutes at most", () =>
    fresh(Effect.gen(function* () {
      yield* send("app-wide")
      for (const seconds of [30, 60, 120, 240, 480, 900, 900]) {
        assert.strictEqual(yield* send("ok"), seconds * 1_000)
        yield* TestClock.adjust(seconds * 1_000)
        assert.strictEqual(yield* send("app-wide"), 0)
      }
      yield* TestClock.adjust("15 minutes")
      assert.strictEqual(yield* send("ok"), 0)
      yield* send("app-wide")
      assert.strictEqual(yield* send("ok"), 30_000)
    })))

  it.effect("learns nothing from a probe that was throttled or lost, and tries again later", () =>
    fresh(Effect.gen(function* () {
      const seen = yield* watched
      yield* send("app-wide")
      for (const answer of ["throttled", "transient", "unknown", "defect", "tenant-wide"] as const) {
        yield* TestClock.adjust("30 seconds")
        assert.strictEqual(yield* send(answer), 0, answer)
        assert.strictEqual(yield* send("ok"), 30_000, answer)
      }
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* send("needs_user"), 0, "the provider speaks of the grant: it takes the app")
      assert.strictEqual(yield* send("ok"), 0)
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, ["microsoft:client open", "microsoft:client closed"])
    })))

  it.effect("sends one probe, however many ask; one that is cut makes room for the next", () =>
    fresh(Effect.gen(function* () {
      const breaker = yield* AppBreaker
      yield* send("app-wide")
      yield* TestClock.adjust("30 seconds")
      let sent = 0
      const gate = yield* Deferred.make<void>()
      const ask = breaker.guard(app())(Effect.suspend(() => {
        sent++
        return Deferred.await(gate)
      }))
      const all = yield* Effect.forEach(
        Array.from({ length: 20 }),
        () => Effect.forkChild(ask, { startImmediately: true }),
      )
      assert.strictEqual(sent, 1)
      assert.deepStrictEqual([...yield* openNow], [["microsoft:client", 10_000]])
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* send("ok"), 1_000, "a slow probe is still the only one")
      yield* Fiber.interruptAll(all)
      assert.strictEqual(yield* send("ok"), 30_000)
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(yield* send("ok"), 0)
    })))

  it.effect("is reset by a new secret; answers to what was sent before change nothing", () =>
    fresh(Effect.gen(function* () {
      const breaker = yield* AppBreaker
      const seen = yield* watched
      const late = yield* Deferred.make<void>()
      const asked = yield* breaker.guard(app("a"))(Effect.andThen(Deferred.await(late), answers["app-wide"])).pipe(
        Effect.forkChild({ startImmediately: true }),
      )
      yield* send("app-wide", "a")
      assert.strictEqual(yield* send("ok", "a"), 30_000)
      yield* breaker.reset(app("a"))
      assert.strictEqual(yield* send("ok", "a"), 0)
      yield* Deferred.succeed(late, undefined)
      yield* Fiber.await(asked)
      assert.strictEqual(yield* send("ok", "a"), 0)
      yield* Effect.yieldNow
      assert.deepStrictEqual(seen, ["microsoft:client open", "microsoft:client closed"])

      for (let refusal = 0; refusal < 3; refusal++) yield* send("tenant-wide", "a")
      assert.strictEqual(yield* send("ok", "a"), 30_000)
      yield* breaker.reset(app("a"))
      assert.strictEqual(yield* send("ok", "a"), 0)
    })))

  const Step = Schema.Struct({
    seconds: Schema.Literals([0, 1, 10, 29, 30, 31, 60, 300, 900]),
    tenant: Schema.Literals(["a", "b"]),
    resource: Schema.Literals(["graph", "outlook-imap"]),
    answer: Schema.Literals(Object.keys(answers) as ReadonlyArray<Answer>),
  })

  it.effect.prop(
    "whatever is answered and whenever: sends exactly when no circuit is open, or its probe is due",
    [Schema.Array(Step).check(Schema.isBetweenLength(1, 60))],
    ([steps]) =>
      fresh(Effect.gen(function* () {
        const seen = yield* watched
        // What is known of a circuit, by its subject.
        const model = new Map<string, { row: number; openings: number; until: number }>()
        const circuit = (subject: string) => {
          const known = model.get(subject) ?? { row: 0, openings: 0, until: 0 }
          model.set(subject, known)
          return known
        }
        const expected: Array<string> = []
        for (const { answer, resource, seconds, tenant } of steps) {
          yield* TestClock.adjust(seconds * 1_000)
          const now = yield* Clock.currentTimeMillis
          const subjects = ["microsoft:client", `microsoft:client:${tenant}:${resource}`]
          const wait = Math.max(0, ...subjects.map((subject) => circuit(subject).until - now))
          for (const [subject, remains] of yield* openNow) assert.strictEqual(remains, circuit(subject).until - now)
          assert.strictEqual(yield* send(answer, tenant, resource), wait)
          if (wait > 0) continue
          for (const [level, subject] of subjects.entries()) {
            const one = circuit(subject)
            const refused = level === 0
              ? answer === "app-wide"
              : answer === "tenant-wide" || answer === "app without reach"
            if (refused) {
              one.row++
              if (one.openings > 0 || one.row >= (level === 0 ? 1 : 3)) {
                if (one.openings === 0) expected.push(`${subject} open`)
                one.openings++
                one.until = now + Math.min(900_000, 15_000 * 2 ** one.openings)
              }
            } else if (answer === "ok" || answer === "needs_user" || answer === "scope") {
              if (one.openings > 0) expected.push(`${subject} closed`)
              model.delete(subject)
            } else if (one.openings > 0) {
              one.until = now + 30_000
            }
          }
        }
        yield* Effect.yieldNow
        assert.deepStrictEqual(seen, expected)
      })),
    { arbitrary: { runs: 200 } },
  )
})
