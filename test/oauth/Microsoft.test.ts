import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Redacted, Schema } from "effect"
import type { FailureClass } from "../../src/domain/FailureClass.ts"
import { microsoftCodes } from "../../src/oauth/MicrosoftCodes.ts"
import {
  aadsts,
  correlationId,
  json,
  makeEndpoint,
  publicApp,
  refreshToken,
  refused,
  secret,
  traceId,
} from "./endpoint.ts"

const confidentialApp = { ...publicApp, secret: Redacted.make(` ${secret}\n`) }

describe("Microsoft", () => {
  it.effect("asks for one resource, with a secret only from a confidential app", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      yield* endpoint.redeem({ resource: "outlook-imap", refreshToken: `\t${refreshToken}\r\n` })
      yield* endpoint.redeem({ app: { ...confidentialApp, tenant: " contoso.com/é " } })
      const [first, second] = endpoint.received
      assert.strictEqual(first?.method, "POST")
      assert.strictEqual(first?.path, "/common/oauth2/v2.0/token")
      assert.strictEqual(first?.headers.get("content-type"), "application/x-www-form-urlencoded")
      assert.deepStrictEqual(Object.fromEntries(first?.form ?? []), {
        client_id: publicApp.clientId,
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        scope: "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
      })
      assert.strictEqual(second?.path, "/contoso.com%2F%C3%A9/oauth2/v2.0/token")
      assert.deepStrictEqual(Object.fromEntries(second?.form ?? []), {
        client_id: publicApp.clientId,
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        scope: "https://graph.microsoft.com/.default offline_access",
        client_secret: secret,
      })
    }))

  it.effect("sends no origin, no trace headers, and makes one span that knows no secret", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      yield* Effect.withSpan(endpoint.redeem({ app: confidentialApp }), "caller")
      yield* Effect.withSpan(
        refused(endpoint, () => json(aadsts([700082]), 400), { app: confidentialApp }),
        "caller",
      )
      for (const { headers } of endpoint.received) {
        for (const name of ["origin", "traceparent", "tracestate", "b3", "cookie", "authorization", "referer"]) {
          assert.isNull(headers.get(name), name)
        }
      }
      assert.deepStrictEqual(endpoint.spans, ["Microsoft.redeem", "Microsoft.redeem"])
      assert.include(endpoint.told.join("\n"), "AADSTS700082")
      for (const text of endpoint.told) assertSilent(text)
    }))

  it.effect("takes over the new refresh token, the scope and the life that the answer names", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      endpoint.answer = () =>
        json({
          token_type: "Bearer",
          scope: "Mail.Read",
          expires_in: 4711,
          ext_expires_in: 9999,
          access_token: "AT",
          refresh_token: "RT2",
          foci: "1",
          client_info: { odd: true },
        })
      const redemption = yield* endpoint.redeem()
      assert.strictEqual(Redacted.value(redemption.accessToken), "AT")
      assert.strictEqual(redemption.refreshToken && Redacted.value(redemption.refreshToken), "RT2")
      assert.strictEqual(redemption.expiresIn, 4711)
      assert.strictEqual(redemption.scope, "Mail.Read")
    }))

  it.effect("bears odd lives and odd refresh tokens", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const redeem = (fields: Record<string, unknown>) =>
        Effect.suspend(() => {
          endpoint.answer = () => json({ access_token: "AT", ...fields })
          return endpoint.redeem()
        })
      for (
        const [expires_in, seconds] of [
          [3599, 3599],
          ["3599", 3599],
          [" 3599 ", 3599],
          [3599.9, 3599],
          [0, 300],
          [0.5, 300],
          [1e12, 100_800],
          [undefined, 300],
          [null, 300],
          ["", 300],
          ["soon", 300],
          [-1, 300],
          [[3599], 300],
          [{}, 300],
        ] as const
      ) assert.strictEqual((yield* redeem({ expires_in })).expiresIn, seconds, JSON.stringify(expires_in))
      for (const refresh_token of ["", "  ", undefined, null, 5, {}]) {
        assert.notProperty(yield* redeem({ refresh_token }), "refreshToken", JSON.stringify(refresh_token))
      }
    }))

  /** The rows of the decision table, each against the rows below it. */
  const rows: ReadonlyArray<
    readonly [
      title: string,
      status: number,
      headers: Record<string, string>,
      body: unknown,
      expected: {
        readonly class: FailureClass
        readonly reach?: string
        readonly retryAfterMillis?: number
        readonly providerCode?: string
      },
    ]
  > = [
    ["429 in plain text", 429, { "retry-after": "7" }, "Too many requests", {
      class: "throttled",
      reach: "app",
      retryAfterMillis: 7_000,
    }],
    ["429 without a Retry-After", 429, {}, "", { class: "throttled", reach: "app" }],
    ["429 with a senseless Retry-After", 429, { "retry-after": "soon" }, "{}", { class: "throttled", reach: "app" }],
    ["429 with a Retry-After of nothing", 429, { "retry-after": "0" }, "{}", { class: "throttled", reach: "app" }],
    ["429 with a dead grant's body", 429, {}, aadsts([700082]), {
      class: "throttled",
      reach: "app",
      providerCode: "AADSTS700082",
    }],
    ["a fractional Retry-After", 429, { "retry-after": "1.5" }, "", {
      class: "throttled",
      reach: "app",
      retryAfterMillis: 1_500,
    }],
    ["a Retry-After of years", 429, { "retry-after": "999999999" }, "", {
      class: "throttled",
      reach: "app",
      retryAfterMillis: 86_400_000,
    }],
    [
      "a Retry-After that is a date, by a clock that is hours off",
      503,
      {
        date: "Thu, 01 Jan 2026 09:00:00 GMT",
        "retry-after": "Thu, 01 Jan 2026 09:02:00 GMT",
      },
      "busy",
      {
        class: "throttled",
        reach: "app",
        retryAfterMillis: 120_000,
      },
    ],
    ["a Retry-After on a dead grant", 400, { "retry-after": "3" }, aadsts([700082]), {
      class: "throttled",
      reach: "app",
      retryAfterMillis: 3_000,
      providerCode: "AADSTS700082",
    }],
    ["a Retry-After on a bad secret", 401, { "retry-after": "3" }, aadsts([7000215], "invalid_client"), {
      class: "throttled",
      reach: "app",
      retryAfterMillis: 3_000,
      providerCode: "AADSTS7000215",
    }],
    ["a loop with a short Retry-After", 400, { "retry-after": "3" }, aadsts([50196]), {
      class: "throttled",
      reach: "grant",
      retryAfterMillis: 300_000,
      providerCode: "AADSTS50196",
    }],
    [
      "a busy tenant with a long Retry-After",
      503,
      { "retry-after": "900" },
      aadsts([90055], "temporarily_unavailable"),
      {
        class: "throttled",
        reach: "tenant",
        retryAfterMillis: 900_000,
        providerCode: "AADSTS90055",
      },
    ],
    ["a busy tenant beside a dead grant", 400, {}, aadsts([700082, 90055]), {
      class: "throttled",
      reach: "tenant",
      retryAfterMillis: 300_000,
      providerCode: "AADSTS90055",
    }],
    ["500 with a dead grant's body", 500, {}, aadsts([700082]), { class: "transient", providerCode: "AADSTS700082" }],
    ["502 in HTML", 502, { "content-type": "text/html" }, "<html>Bad gateway</html>", { class: "transient" }],
    ["temporarily_unavailable", 400, {}, { error: "temporarily_unavailable" }, {
      class: "transient",
      providerCode: "temporarily_unavailable",
    }],
    ["server_error with a dead grant's code", 400, {}, aadsts([700082], "server_error"), {
      class: "transient",
      providerCode: "AADSTS700082",
    }],
    ["a passing code beside a dead grant", 400, {}, aadsts([700082, 90033]), {
      class: "transient",
      providerCode: "AADSTS90033",
    }],
    ["a passing code beside a bad app", 401, {}, aadsts([7000215, 50000], "invalid_client"), {
      class: "transient",
      providerCode: "AADSTS50000",
    }],
    ["200 in HTML", 200, { "content-type": "text/html" }, "<html>Sign in</html>", { class: "transient" }],
    ["200 without an access token", 200, {}, { token_type: "Bearer", refresh_token: "RT2" }, { class: "transient" }],
    ["200 with an empty access token", 200, {}, { access_token: " " }, { class: "transient" }],
    ["200 with a token that no header can carry", 200, {}, { access_token: "a\r\nb" }, { class: "transient" }],
    ["200 with an error", 200, {}, aadsts([700082]), { class: "transient", providerCode: "AADSTS700082" }],
    ["204", 204, {}, null, { class: "transient" }],
    ["400 in plain text", 400, {}, "invalid_grant AADSTS700082", { class: "transient" }],
    ["400 without a body", 400, {}, "", { class: "transient" }],
    ["400 with JSON that is no object", 400, {}, ["invalid_grant"], { class: "transient" }],
    ["400 with JSON that is cut off", 400, {}, `{"error":"invalid_grant","error_codes":[700082]`, {
      class: "transient",
    }],
    ["a redirect with a dead grant's body", 302, { location: "https://elsewhere.example/" }, aadsts([700082]), {
      class: "transient",
      providerCode: "AADSTS700082",
    }],
    ["invalid_client without a code", 401, {}, { error: "invalid_client" }, {
      class: "app",
      reach: "app",
      providerCode: "invalid_client",
    }],
    ["unauthorized_client with an unknown code", 400, {}, aadsts([799999], "unauthorized_client"), {
      class: "app",
      reach: "app",
      providerCode: "AADSTS799999",
    }],
    ["a bad app beside a dead grant", 400, {}, aadsts([700082, 700016]), {
      class: "app",
      reach: "tenant",
      providerCode: "AADSTS700016",
    }],
    ["a malformed scope comes as invalid_scope", 400, {}, aadsts([70011], "invalid_scope"), {
      class: "app",
      reach: "tenant",
      providerCode: "AADSTS70011",
    }],
    ["invalid_scope", 400, {}, { error: "invalid_scope" }, { class: "scope", providerCode: "invalid_scope" }],
    ["invalid_resource with an unknown code", 400, {}, aadsts([799999], "invalid_resource"), {
      class: "scope",
      providerCode: "AADSTS799999",
    }],
    ["missing consent", 400, {}, aadsts([65001], "invalid_grant", { suberror: "consent_required" }), {
      class: "scope",
      providerCode: "AADSTS65001",
    }],
    ["missing consent beside a dead grant", 400, {}, aadsts([50076, 65001]), {
      class: "scope",
      providerCode: "AADSTS65001",
    }],
    ["consent_required with an unknown code", 400, {}, aadsts([799999], "consent_required"), {
      class: "scope",
      providerCode: "AADSTS799999",
    }],
    [
      "suberror consent_required with an unknown code",
      400,
      {},
      aadsts([799999], "invalid_grant", { suberror: "consent_required" }),
      {
        class: "scope",
        providerCode: "AADSTS799999",
      },
    ],
    [
      "an administrator's consent, whatever the suberror",
      400,
      {},
      aadsts([90094], "invalid_grant", { suberror: "consent_required" }),
      {
        class: "needs_user",
        providerCode: "AADSTS90094",
      },
    ],
    ["a disabled user beside a dead grant", 400, {}, aadsts([700082, 50057]), {
      class: "blocked",
      providerCode: "AADSTS50057",
    }],
    ["a blocked user under any error name", 403, {}, aadsts([53003], "access_denied"), {
      class: "blocked",
      providerCode: "AADSTS53003",
    }],
    ["a dead grant beside an unknown code", 400, {}, aadsts([799999, 700082]), {
      class: "needs_user",
      providerCode: "AADSTS700082",
    }],
    ["suberror bad_token with an unknown code", 400, {}, aadsts([799999], "invalid_grant", { suberror: "bad_token" }), {
      class: "needs_user",
      providerCode: "AADSTS799999",
    }],
    ["suberror token_expired without a code", 400, {}, { error: "invalid_grant", suberror: "token_expired" }, {
      class: "needs_user",
      providerCode: "invalid_grant",
    }],
    [
      "any other suberror with an unknown code",
      400,
      {},
      aadsts([799999], "invalid_grant", { suberror: "basic_action" }),
      {
        class: "ambiguous",
        providerCode: "AADSTS799999",
      },
    ],
    ["invalid_grant with an unknown code", 400, {}, aadsts([799999]), {
      class: "ambiguous",
      providerCode: "AADSTS799999",
    }],
    ["invalid_grant without a code", 400, {}, { error: "invalid_grant" }, {
      class: "ambiguous",
      providerCode: "invalid_grant",
    }],
    ["a claims challenge without a known code", 400, {}, {
      error: "interaction_required",
      claims: `{"access_token":{"capolids":{"essential":true}}}`,
    }, { class: "ambiguous", providerCode: "interaction_required" }],
    ["a permanent code under a fault of the request", 400, {}, aadsts([9002313], "invalid_request"), {
      class: "unknown",
      providerCode: "AADSTS9002313",
    }],
    ["suberror bad_token under another error", 400, {}, { error: "invalid_request", suberror: "bad_token" }, {
      class: "unknown",
      providerCode: "invalid_request",
    }],
    ["an unknown error", 400, {}, { error: "brand_new" }, { class: "unknown", providerCode: "brand_new" }],
    ["an error of the wrong type", 400, {}, { error: { code: "invalid_grant" }, error_codes: "700082" }, {
      class: "unknown",
    }],
    ["an error that is a sentence", 400, {}, { error: "Invalid grant: token rejected" }, { class: "unknown" }],
    ["an empty object", 404, {}, {}, { class: "unknown" }],
  ]

  for (const [title, status, headers, body, expected] of rows) {
    it.effect(`${title}: ${expected.class}`, () =>
      Effect.gen(function* () {
        const endpoint = yield* makeEndpoint()
        const text = body === null ? null : typeof body === "string" ? body : JSON.stringify(body)
        const { error, reach } = yield* refused(endpoint, () => new Response(text, { status, headers }))
        assert.deepStrictEqual(
          {
            class: error.class,
            reach,
            retryAfterMillis: error.retryAfterMillis,
            providerCode: error.providerCode,
          },
          { reach: undefined, retryAfterMillis: undefined, providerCode: undefined, ...expected },
        )
        assert.strictEqual(endpoint.received.length, 1)
      }))
  }

  it.effect("reports unknown codes once, with the ids that Microsoft's support asks for", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const reports = () => endpoint.told.filter((text) => text.includes("not known here") && text.includes("message"))
      yield* refused(endpoint, () => json(aadsts([799999]), 400))
      assert.strictEqual(reports().length, 1)
      for (const word of ["AADSTS799999", traceId, correlationId]) assert.include(reports()[0] ?? "", word)
      yield* refused(endpoint, () => json(aadsts([799998], "invalid_client"), 401))
      assert.strictEqual(reports().length, 2)
      yield* refused(endpoint, () => json(aadsts([700082]), 400))
      assert.strictEqual(reports().length, 2)
    }))

  it.effect("passes on no id that is none", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const failure = yield* refused(endpoint, () =>
        json(aadsts([700082], "invalid_grant", { trace_id: `${traceId}\nforged`, correlation_id: 5 }), 400))
      assert.notProperty(failure.error, "traceId")
      assert.notProperty(failure.error, "correlationId")
    }))

  it.effect("sends nothing that can only be refused", () =>
    Effect.gen(function* () {
      const endpoint = yield* makeEndpoint()
      const classOf = (options: Parameters<typeof endpoint.redeem>[0]) =>
        Effect.map(Effect.flip(endpoint.redeem(options)), ({ error }) => error.class)
      for (const tenant of ["", " ", ".", ".."]) {
        assert.strictEqual(yield* classOf({ app: { ...publicApp, tenant } }), "app")
      }
      assert.strictEqual(yield* classOf({ refreshToken: " \n" }), "needs_user")
      assert.strictEqual(yield* classOf({ resource: "gmail" }), "unknown")
      assert.strictEqual(endpoint.received.length, 0)
      // Half of a surrogate pair: no URL can hold it.
      yield* endpoint.redeem({ app: { ...publicApp, tenant: "\ud800" } })
      assert.strictEqual(endpoint.received[0]?.path, "/%EF%BF%BD/oauth2/v2.0/token")
    }))

  const dead = new Set(
    [...microsoftCodes].filter(([, { class: failureClass }]) => failureClass === "needs_user").map(([code]) => code),
  )

  it.effect.prop(
    "no answer whatever is a defect, says a secret, or kills a grant without a reason from the table",
    [anyAnswer()],
    ([answer]) =>
      Effect.gen(function* () {
        const endpoint = yield* makeEndpoint()
        endpoint.answer = () => new Response(answer.status === 204 ? null : answer.text, answer)
        const result = yield* Effect.result(endpoint.redeem({ app: confidentialApp }))
        for (const text of endpoint.told) assertSilent(text)
        if (result._tag === "Success") return
        const { failure } = result
        assertSilent(JSON.stringify(failure))
        assertSilent(Deno.inspect(failure, { depth: 20 }))
        assert.notInclude(JSON.stringify(failure), marker)
        assert.strictEqual(failure.reach !== undefined, ["throttled", "app"].includes(failure.error.class))
        if (failure.error.class === "needs_user") {
          const { error, suberror } = answer.fields
          assert.include(["invalid_grant", "interaction_required"], error)
          assert.isTrue(
            answer.codes.some((code) => dead.has(code)) || suberror === "bad_token" || suberror === "token_expired",
          )
          assert.isTrue(answer.status >= 400 && answer.status < 500 && answer.status !== 429)
          assert.notProperty(answer.headers, "retry-after")
        }
      }),
    { arbitrary: { runs: 400 } },
  )
})

const assertSilent = (text: string) => {
  for (const word of [refreshToken, secret, encodeURIComponent(refreshToken), encodeURIComponent(secret), marker]) {
    assert.notInclude(text, word)
  }
}

/** Stands in each text that a generated answer holds. */
const marker = "Zq7Kx"

function anyAnswer() {
  const code = Schema.Literals([
    700082,
    50173,
    70000,
    50196,
    90055,
    90033,
    7000215,
    65001,
    50057,
    799999,
    1,
    -1,
    1e15,
    0.5,
  ])
  const parts = Schema.Struct({
    status: Schema.Literals([200, 204, 302, 400, 401, 403, 404, 429, 500, 503]),
    retryAfter: Schema.Literals(["", "1", "0.25", "x", "Thu, 01 Jan 1970 00:02:00 GMT"]),
    form: Schema.Literals(["object", "nested", "text", "cut", "array"]),
    error: Schema.Literals([
      "invalid_grant",
      "invalid_client",
      "interaction_required",
      "server_error",
      "echo",
      "noise",
    ]),
    suberror: Schema.Literals(["", "bad_token", "token_expired", "consent_required", "echo"]),
    codes: Schema.Array(code).check(Schema.isMaxLength(3)),
    noise: Schema.String,
  })
  return Arbitrary.schema(parts).pipe(Arbitrary.map(({ codes, error, form, noise, retryAfter, status, suberror }) => {
    const words = `${marker} ${noise} ${refreshToken} ${secret}`
    const fields: Record<string, unknown> = {
      error: error === "echo" ? words : error === "noise" ? noise : error,
      suberror: suberror === "echo" ? words : suberror,
      error_codes: codes,
      error_description: words,
      trace_id: words,
      correlation_id: words,
      claims: words,
    }
    const body = JSON.stringify(fields)
    const headers: Record<string, string> = retryAfter === "" ? {} : { "retry-after": retryAfter }
    const texts = { object: body, nested: `{"error":${body}}`, text: words, cut: body.slice(0, -1), array: `[${body}]` }
    return {
      status,
      headers,
      fields: form === "object" ? fields : {},
      codes,
      text: texts[form],
    }
  }))
}
