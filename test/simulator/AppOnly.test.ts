import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { TestClock } from "effect/testing"
import { email, failure, mailScope, page, provider, round, tokens } from "./provider.ts"

const clientId = "11111111-2222-4333-8444-555555555555"
const graph = "https://graph.microsoft.com/.default"

describe("app-only tokens", () => {
  it.live("reach the work mailboxes of their own tenant and nothing else, and are counted", () =>
    Effect.gen(function* () {
      const { get, post, simulator } = yield* provider({ accounts: 40, tenants: 2 })
      const all = Array.from({ length: 40 }, (_, n) => simulator.account(email(n + 1)))
      const tenants = [...new Set(all.filter(({ personal }) => !personal).map(({ tenant }) => tenant ?? ""))]
      assert.strictEqual(tenants.length, 2)
      const [mine = "", theirs = ""] = tenants
      simulator.registerApp({ clientId, secret: "a secret", consentedTenants: [mine] })
      const ask = (tenant: string, scope = graph) =>
        Effect.promise(() =>
          post({ client_id: clientId, client_secret: "a secret", grant_type: "client_credentials", scope }, {}, tenant)
        )
      for (const several of ["common", "organizations", "consumers"]) {
        assert.deepStrictEqual(failure(yield* ask(several)).error_codes, [50194])
      }
      assert.deepStrictEqual(failure(yield* ask(theirs)).error_codes, [700016])
      const { access_token } = tokens(yield* ask(mine))
      const found: Array<unknown> = []
      for (let link: string | undefined = "/users?$top=3"; link !== undefined;) {
        const url: string = link
        const { "@odata.nextLink": next, value } = page(yield* Effect.promise(() => get(url, access_token)))
        found.push(...value.map(({ mail }) => mail))
        link = next
      }
      assert.deepStrictEqual(found, all.filter(({ tenant }) => tenant === mine).map(({ email }) => email))
      const status = (address: string) =>
        Effect.promise(async () => (await get(`/users/${address}/messages`, access_token)).status)
      const foreign = all.find(({ tenant }) => tenant === theirs)?.email ?? ""
      const personal = all.find(({ personal }) => personal)?.email ?? ""
      assert.deepStrictEqual(
        [yield* status(String(found[0])), yield* status(foreign), yield* status(personal)],
        [200, 404, 404],
      )
      // For IMAP it is another resource.
      const imap = tokens(yield* ask(mine, "https://outlook.office365.com/.default"))
      assert.strictEqual((yield* Effect.promise(() => get("/users", imap.access_token))).status, 401)
      assert.deepStrictEqual(simulator.counters().tokenRequests, { [clientId]: { client_credentials: 6 } })
    }))
})

describe("the end of refresh tokens", () => {
  it.effect("comes 24 hours after the sign-in for a page, whatever was redeemed meanwhile", () =>
    Effect.gen(function* () {
      const { redeem, simulator } = yield* provider({ accounts: 1 })
      simulator.registerApp({ clientId: simulator.account(email(1)).clientId, spa: true })
      const ask = Effect.promise(() => redeem(email(1), undefined, { scope: mailScope }))
      yield* TestClock.adjust("23 hours")
      assert.strictEqual((yield* ask).status, 200)
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(failure(yield* ask).error_codes, [700084])
      simulator.signIn(email(1))
      assert.strictEqual((yield* ask).status, 200)
    }))

  it.effect("comes after 90 days without use", () =>
    Effect.gen(function* () {
      const { redeem } = yield* provider({ accounts: 1 })
      const ask = Effect.promise(() => redeem(email(1)))
      yield* TestClock.adjust("89 days")
      assert.strictEqual((yield* ask).status, 200)
      yield* TestClock.adjust("89 days")
      assert.strictEqual((yield* ask).status, 200)
      yield* TestClock.adjust("90 days")
      assert.deepStrictEqual(failure(yield* ask).error_codes, [700082])
    }))
})

describe("a shared mailbox", () => {
  it.live("is followed by delta", () =>
    Effect.gen(function* () {
      const world = yield* provider({ accounts: 2 })
      const { redeem, simulator } = world
      simulator.consent(email(1), ["Mail.Read.Shared"])
      simulator.share(email(2), email(1), true)
      const granted = yield* Effect.promise(() => redeem(email(1), undefined, { scope: "Mail.Read.Shared" }))
      const { access_token } = tokens(granted)
      const path = `/users/${email(2)}/mailFolders/inbox/messages/delta`
      const first = yield* Effect.promise(() => round(world, path, access_token))
      assert.include(decodeURIComponent(first.deltaLink), `users('${email(2)}')`)
      const [message] = simulator.deliver(email(2))
      const second = yield* Effect.promise(() => round(world, first.deltaLink, access_token))
      assert.deepStrictEqual(second.items.map(({ id }) => id), [message?.id])
    }))
})
