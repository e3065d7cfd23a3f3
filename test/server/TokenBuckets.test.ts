/** Token buckets: the rate, the burst, and what is told of them. */
import { assert, describe, it } from "@effect/vitest"
import { makeTokenBuckets } from "../../src/server/TokenBuckets.ts"

describe("Token buckets", () => {
  it("lets a burst pass, then the rate, each caller by itself", () => {
    const buckets = makeTokenBuckets(10, 20)
    for (let left = 19; left >= 0; left--) {
      assert.deepInclude(buckets.take("one", 0), { allowed: true, remaining: left })
    }
    assert.deepStrictEqual(buckets.take("one", 0), { allowed: false, remaining: 0, fullIn: 2, retryAfter: 1 })
    assert.isTrue(buckets.isEmpty("one", 0))
    assert.isTrue(buckets.take("other", 0).allowed)
    assert.isTrue(buckets.take("one", 100).allowed)
    assert.isFalse(buckets.take("one", 100).allowed)
    assert.strictEqual(buckets.take("one", 3_600_000).remaining, 19)
  })

  it("says how long to wait where that is more than a second", () => {
    const buckets = makeTokenBuckets(0.1, 1)
    assert.isTrue(buckets.take("one", 0).allowed)
    assert.strictEqual(buckets.take("one", 2_000).retryAfter, 8)
    assert.isFalse(buckets.take("one", 9_900).allowed)
    assert.isTrue(buckets.take("one", 10_000).allowed)
  })

  it("forgets callers rather than grow for ever", () => {
    const buckets = makeTokenBuckets(1, 1)
    for (let caller = 0; caller < 10_001; caller++) buckets.take(`caller ${caller}`, 0)
    assert.isFalse(buckets.isEmpty("caller 0", 0))
    assert.isTrue(buckets.isEmpty("caller 10000", 0))
  })
})
