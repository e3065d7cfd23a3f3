import { assert, describe, it } from "@effect/vitest"
import { ProviderError } from "../../src/domain/ProviderError.ts"

describe("ProviderError", () => {
  it("is the same error with a time to wait", () => {
    const told = {
      class: "throttled" as const,
      code: "throttled",
      message: "slow down",
      providerCode: "AADSTS90055",
      notSent: true,
      traceId: "trace",
      correlationId: "correlation",
    }
    for (const fields of [told, { ...told, retryAfterMillis: 1 }]) {
      const error = new ProviderError(fields).retryAfter(5_000)
      assert.instanceOf(error, ProviderError)
      assert.deepStrictEqual({ ...error, message: error.message }, {
        _tag: "ProviderError" as const,
        ...told,
        retryAfterMillis: 5_000,
      })
      assert.isTrue(error.retryable)
    }
    const bare = new ProviderError({ class: "blocked", code: "account_blocked", message: "" }).retryAfter(1)
    assert.notProperty(bare, "traceId")
    assert.notProperty(bare, "providerCode")
  })
})
