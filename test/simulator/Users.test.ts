import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { email, page, provider, tokens } from "./provider.ts"

describe("mailboxes of others", () => {
  it.live("an app lists the users of the tenant in pages, and reads their mail", () =>
    Effect.gen(function* () {
      const { get, post, simulator } = yield* provider({ accounts: 5, confidentialApps: 1, personal: 0 })
      const { clientId, clientSecret, tenant } = simulator.account(email(1))
      const granted = yield* Effect.promise(() =>
        post(
          {
            client_id: clientId,
            client_secret: clientSecret ?? "",
            grant_type: "client_credentials",
            scope: "https://graph.microsoft.com/.default",
          },
          {},
          tenant ?? "",
        )
      )
      const { access_token } = tokens(granted)
      const found: Array<unknown> = []
      let pages = 0
      for (let link: string | undefined = "/users?$top=2&$select=mail"; link !== undefined; pages++) {
        const url: string = link
        const { "@odata.nextLink": next, value } = page(yield* Effect.promise(() => get(url, access_token)))
        found.push(...value.map(({ mail }) => mail))
        assert.isTrue(value.every((user) => Object.keys(user).sort().join() === "id,mail"))
        link = next
      }
      assert.deepStrictEqual([pages, found], [3, [1, 2, 3, 4, 5].map(email)])
      const mail = yield* Effect.promise(() => get(`/users/${email(4)}/mailFolders/inbox/messages`, access_token))
      assert.strictEqual(mail.status, 200)
      const own = tokens(
        yield* Effect.promise(() =>
          post({
            client_id: clientId,
            client_secret: clientSecret ?? "",
            grant_type: "refresh_token",
            refresh_token: simulator.account(email(1)).refreshToken,
            scope: "Mail.Read",
          })
        ),
      )
      assert.strictEqual((yield* Effect.promise(() => get("/users", own.access_token))).status, 403)
    }))

  it.live("a user reads a mailbox that is shared, with the permission for it", () =>
    Effect.gen(function* () {
      const { control, get, redeem, simulator } = yield* provider({ accounts: 3 })
      const [one, two] = [email(1), email(2)]
      const path = `/users/${two}/mailFolders/inbox/messages`
      const read = (scope: string) =>
        Effect.promise(async () =>
          (await get(path, tokens(await redeem(one, undefined, { scope })).access_token)).status
        )
      simulator.consent(one, ["Mail.Read", "Mail.Read.Shared"])
      assert.strictEqual(yield* read("Mail.Read.Shared"), 403)
      assert.strictEqual((yield* Effect.promise(() => control("PUT", `mailboxes/${two}/readers/${one}`))).status, 204)
      assert.strictEqual(yield* read("Mail.Read.Shared"), 200)
      assert.strictEqual(yield* read("Mail.Read"), 403)
      yield* Effect.promise(() => control("DELETE", `mailboxes/${two}/readers/${one}`))
      assert.strictEqual(yield* read("Mail.Read.Shared"), 403)
    }))
})
