import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { gmail, provider } from "./provider.ts"

describe("the import file", () => {
  it.live("names the provider where there are Google accounts", () =>
    Effect.gen(function* () {
      const { simulator } = yield* provider({ accounts: 4, googleAccounts: 1 })
      const csv = [...simulator.importLines()]
      assert.strictEqual(csv[0], "email,client_id,refresh_token,provider\n")
      const { clientId, provider: name, refreshToken } = simulator.account(gmail(4))
      assert.deepStrictEqual(csv.slice(1).map((row) => row.trim().split(",")[3]), [
        "microsoft",
        "microsoft",
        "microsoft",
        "google",
      ])
      assert.strictEqual(csv[4], `${gmail(4)},${clientId},${refreshToken},${name}\n`)
      assert.deepStrictEqual([...simulator.importLines({ format: "ndjson", from: 3 })].map((row) => JSON.parse(row)), [
        { email: gmail(4), client_id: clientId, refresh_token: refreshToken, provider: "google" },
      ])
      assert.strictEqual([...simulator.importLines({ format: "lines" })].length, 3)
    }))
})
