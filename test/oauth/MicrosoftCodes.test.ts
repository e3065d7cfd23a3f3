import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { codeOf, type FailureClass, isRetryable } from "../../src/domain/FailureClass.ts"
import { microsoftCodes } from "../../src/oauth/MicrosoftCodes.ts"
import { aadsts, correlationId, json, makeEndpoint, refused, traceId } from "./endpoint.ts"

/** Microsoft Entra authentication and authorization error codes, read for a refresh. 70000 is tested by its texts. */
const expected: Readonly<Partial<Record<FailureClass, ReadonlyArray<number>>>> = {
  throttled: [50196, 90055],
  transient: [
    90033,
    90006,
    90012,
    90024,
    90090,
    90091,
    50033,
    50087,
    50088,
    50166,
    70012,
    40010,
    80002,
    80005,
    80014,
    50000,
  ],
  // deno-fmt-ignore
  app: [
    7000215, 7000222, 7000218, 700025, 70002, 700027, 700016, 700011, 7000112, 70001, 50194, 9002332, 9001023, 90130, 90124,
    28000, 28002, 28003, 700022, 700023, 70011, 70003, 70004, 900144, 90014, 90002, 900023, 650052, 650056, 650057, 65005,
    50001, 500011, 50011, 50049
  ],
  scope: [65001],
  blocked: [50034, 50020, 51004, 50057, 50105, 53003, 530032, 530035, 53011, 50053],
  // deno-fmt-ignore
  needs_user: [
    70008, 700082, 700084, 70043, 50173, 50076, 50078, 50079, 50072, 50074, 50132, 50133, 50089, 50085, 50158, 50055, 50144,
    50056, 50126, 50064, 50135, 65004, 90094, 90095, 50097, 53000, 53001, 53002, 53004, 50005, 50129, 50131, 700020, 54005,
    9002313
  ],
}
/** Codes that speak of the client itself, whatever the tenant. */
const everywhere = [7000215, 7000222, 7000218, 700025, 70002, 700027, 7000112, 70001]
const reachOf = (code: number, failureClass: string) =>
  code === 50196
    ? "grant"
    : code === 90055
    ? "tenant"
    : failureClass !== "app"
    ? undefined
    : everywhere.includes(code)
    ? "app"
    : "tenant"
const codes = Object.entries(expected).flatMap(([failureClass, all]) => all.map((code) => ({ failureClass, code })))

describe("MicrosoftCodes", () => {
  it("holds each code once, and no other", () => {
    assert.sameMembers([...microsoftCodes.keys()], [...codes.map(({ code }) => code), 70000])
    assert.strictEqual(new Set(codes.map(({ code }) => code)).size, codes.length)
  })

  it("says for each code what it means and what to do, in one sentence", () => {
    for (const [code, { message }] of microsoftCodes) {
      assert.match(message, /^[^;.]{10,}; .{10,}[^.]$/, String(code))
      assert.notMatch(message, /AADSTS|\n/, String(code))
    }
  })

  it.effect("gives each code of an `invalid_grant` its class, however the code is written", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      for (const { code, failureClass } of codes) {
        for (
          const body of [
            aadsts([code]),
            aadsts([code], "invalid_grant", { error_codes: [String(code)] }),
            aadsts([code], "invalid_grant", { error_codes: undefined }),
            aadsts([code], "interaction_required"),
          ]
        ) {
          const failure = yield* refused(endpoint, () => json(body, 400))
          const { error } = failure
          const name = `${code} ${JSON.stringify(body)}`
          assert.strictEqual(error.class, failureClass, name)
          assert.strictEqual(error.code, codeOf[error.class], name)
          assert.strictEqual(error.providerCode, `AADSTS${code}`, name)
          assert.strictEqual(error.message, microsoftCodes.get(code)?.message, name)
          assert.strictEqual(error.retryable, isRetryable(error.class), name)
          assert.strictEqual(failure.error.traceId, traceId)
          assert.strictEqual(failure.error.correlationId, correlationId)
          assert.strictEqual(failure.reach, reachOf(code, failureClass), name)
          assert.deepInclude({ ...error.retryAfter(1) }, { traceId, correlationId }, name)
          assert.strictEqual(error.retryAfterMillis, failureClass === "throttled" ? 300_000 : undefined, name)
        }
      }
      assert.deepStrictEqual(endpoint.told.filter((text) => text.includes("not known here")), [])
    }))

  it.effect("reads the three meanings of 70000 from its text, and believes no other text at once", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const classOf = (text: string, more: Record<string, unknown> = {}) =>
        Effect.map(
          refused(endpoint, () =>
            json(aadsts([70000], "invalid_grant", { error_description: `AADSTS70000: ${text}`, ...more }), 400)),
          ({ error }) =>
            `${error.class} ${error.providerCode}`,
        )
      const first = "The user must first sign in and grant the client application access to the requested scope."
      for (
        const [text, failureClass] of [
          [
            `The request was denied because one or more scopes requested are unauthorized or expired. ${first}`,
            "scope",
          ],
          ["User account is found to be in service abuse mode.", "blocked"],
          ["The user could not be authenticated or the grant is expired. The user must first sign in.", "needs_user"],
          [`The user could not be authenticated or the grant is expired. ${first}`, "needs_user"],
          ["The provided value for the input parameter 'refresh_token' or 'assertion' is not valid.", "needs_user"],
          ["Provided grant is invalid or malformed.", "needs_user"],
          ["Something that nobody has seen yet, which speaks of a scope.", "ambiguous"],
          ["", "ambiguous"],
        ] as const
      ) assert.strictEqual(yield* classOf(text), `${failureClass} AADSTS70000`, text)
      assert.strictEqual(yield* classOf("New words.", { suberror: "bad_token" }), "needs_user AADSTS70000")
    }))
})
