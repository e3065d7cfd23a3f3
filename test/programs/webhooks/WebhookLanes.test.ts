import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Schema } from "effect"
import { backoffMillis, ReceiverHealth } from "../../../src/programs/webhooks/ReceiverHealth.ts"
import { WebhookLanes } from "../../../src/programs/webhooks/WebhookLanes.ts"

const queued = (...rows: ReadonlyArray<readonly [id: number, lane: string, waitMillis?: number]>) =>
  rows.map(([id, lane, waitMillis = 0]) => ({ id: BigInt(id), lane, waitMillis }))

const ids = (heads: ReturnType<WebhookLanes["take"]>) => heads.map(({ id }) => Number(id))

describe("WebhookLanes", () => {
  it("hands out one of each lane, and the next when it is done", () => {
    const lanes = new WebhookLanes()
    lanes.add(queued([1, "a"], [2, "a"], [3, "b"], [4, "c"]), 0)
    assert.deepStrictEqual(ids(lanes.take(2, 0)), [1, 3])
    assert.deepStrictEqual(ids(lanes.take(9, 0)), [4])
    assert.deepStrictEqual(ids(lanes.take(9, 0)), [])
    lanes.done("a")
    assert.deepStrictEqual(ids(lanes.take(9, 0)), [2])
    lanes.done("a")
    lanes.add(queued([5, "a"]), 0)
    assert.deepStrictEqual(ids(lanes.take(9, 0)), [5])
    assert.strictEqual(lanes.size, 3)
  })

  it("a lane that failed waits by itself, until its time or until all are tried again", () => {
    const lanes = new WebhookLanes()
    lanes.add(queued([1, "a"], [2, "b", 50], [3, "b"]), 0)
    assert.deepStrictEqual(ids(lanes.take(9, 0)), [1])
    lanes.retry("a", 100)
    assert.deepStrictEqual(ids(lanes.take(9, 49)), [])
    assert.deepStrictEqual(ids(lanes.take(9, 50)), [2])
    lanes.retry("b", 1_000)
    assert.deepStrictEqual(ids(lanes.take(9, 100)), [1])
    lanes.retryAll()
    assert.deepStrictEqual(ids(lanes.take(9, 100)), [2])
  })

  it.effect.prop(
    "whatever fails, each lane keeps its order and loses none",
    {
      names: Schema.Array(Schema.Literals(["a", "b", "c"])).check(Schema.isMaxLength(40)),
      fails: Schema.Array(Schema.Boolean).check(Schema.isMaxLength(200)),
      atOnce: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
    },
    ({ atOnce, fails, names }) =>
      Effect.sync(() => {
        const lanes = new WebhookLanes()
        lanes.add(names.map((lane, n) => ({ id: BigInt(n), lane, waitMillis: 0 })), 0)
        const sent = new Map<string, Array<number>>()
        let now = 0
        let n = 0
        while (lanes.size > 0) {
          now += 10
          for (const { id, lane } of lanes.take(atOnce, now)) {
            if (fails[n++] === true) {
              lanes.retry(lane, now + 5)
              continue
            }
            sent.set(lane, [...(sent.get(lane) ?? []), Number(id)])
            lanes.done(lane)
          }
        }
        for (const lane of new Set(names)) {
          assert.deepStrictEqual(sent.get(lane), names.flatMap((name, id) => name === lane ? [id] : []))
        }
      }),
  )
})

describe("ReceiverHealth", () => {
  const first = Duration.seconds(1)
  const fresh = () => new ReceiverHealth({ failures: 0, pausedUntil: 0 }, first)

  it("waits twice as long each time, an hour at most, a fifth more or less", () => {
    assert.deepStrictEqual([1, 2, 3, 13, 1_000].map((n) => backoffMillis(n, first, 0.5)), [
      1_000,
      2_000,
      4_000,
      3_600_000,
      3_600_000,
    ])
    assert.closeTo(backoffMillis(1, first, 0), 800, 1)
    assert.closeTo(backoffMillis(1, first, 1), 1_200, 1)
  })

  it("five lanes that fail in a row are a receiver that is down: one at a time, with growing pauses", () => {
    const health = fresh()
    for (let n = 0; n < 20; n++) health.failed(`lane ${n % 4}`, 0, 0, 0.5, 0)
    assert.strictEqual(health.failures, 20)
    assert.strictEqual(health.allowed(10, 0), 10)
    health.failed("lane 4", 0, 0, 0.5, 0)
    assert.strictEqual(health.allowed(10, 999), 0)
    assert.strictEqual(health.allowed(10, 1_000), 1)
    health.failed("lane 5", 1_000, 1_000, 0.5, 0)
    assert.strictEqual(health.pausedMillis(1_000), 2_000)
    // It was on its way when the pause began.
    health.failed("lane 6", 999, 1_001, 0.5, 0)
    assert.strictEqual(health.pausedMillis(1_000), 2_000)
    assert.isTrue(health.succeeded())
    assert.strictEqual(health.allowed(10, 1_002), 10)
    assert.isFalse(health.succeeded())
  })

  it("keeps the pause that a receiver asked for", () => {
    const health = fresh()
    health.failed("a", 0, 0, 0.5, 30_000)
    assert.strictEqual(health.allowed(10, 29_999), 0)
    assert.isFalse(health.succeeded())
    assert.strictEqual(health.allowed(10, 29_999), 0)
    assert.strictEqual(health.allowed(10, 30_000), 10)
  })
})
