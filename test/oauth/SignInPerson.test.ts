/** Which addresses a provider vouches for. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Option, Redacted } from "effect"
import type { IDToken } from "oauth4webapi"
import { personOf } from "../../src/oauth/SignInPerson.ts"

const personal = "9188040d-6c67-4c5b-b112-36a304b66dad"
const tenant = "11111111-2222-4333-8444-555555555555"

const verified = (
  claims: Readonly<Record<string, unknown>>,
  me: Readonly<Record<string, string>> = {},
  provider: "microsoft" | "google" = "microsoft",
) =>
  Effect.map(
    personOf({
      provider,
      resource: provider === "google" ? "gmail" : "graph",
      claims: { sub: "s", tid: tenant, ...claims } as unknown as IDToken,
      accessToken: Redacted.make("token"),
      graphUrl: "https://graph.example",
      getText: () => Effect.succeed(Option.some(JSON.stringify(me))),
    }),
    (person) => person.verified,
  )

describe("the addresses of who signed in", () => {
  it.effect("count where the tenant has proved to own their domain, or Microsoft has checked them", () =>
    Effect.gen(function* () {
      const upn = "ada@contoso.example"
      assert.deepStrictEqual(yield* verified({ preferred_username: upn }), [upn])
      assert.deepStrictEqual(
        yield* verified({ email: "victim@other.example" }, {
          mail: "a.lovelace@Contoso.example",
          userPrincipalName: upn,
        }),
        ["a.lovelace@Contoso.example", upn],
      )
      assert.deepStrictEqual(yield* verified({ email: "victim@other.example" }), [])
      assert.deepStrictEqual(yield* verified({ email: "ada@other.example", xms_edov: true }), ["ada@other.example"])
      assert.deepStrictEqual(yield* verified({ tid: personal, email: "ada@outlook.example" }), ["ada@outlook.example"])
      assert.deepStrictEqual(
        yield* verified({ email: "ada@gmail.example", email_verified: true }, {}, "google"),
        ["ada@gmail.example"],
      )
      const unverified = yield* Effect.flip(verified({ email: "ada@gmail.example" }, {}, "google"))
      assert.strictEqual(unverified.code, "no_address")
    }))
})
