import { assert, describe, it } from "@effect/vitest"
import { isRedirectUri } from "../../src/simulator/RedirectUris.ts"

describe("redirect URIs", () => {
  it("are compared to the letter, but for the port of a loopback address", () => {
    const app = { redirectUris: ["https://app.example/back", "http://127.0.0.1/back"] }
    const cases = [
      ["https://app.example/back", true],
      ["https://app.example:444/back", false],
      ["https://app.example/back/", false],
      ["http://127.0.0.1:8123/back", true],
      ["http://127.0.0.1:8123/else", false],
      ["http://localhost:8123/back", false],
      ["http://127.0.0.1.thief.example/back", false],
      ["http://127.0.0.1@thief.example/back", false],
    ] as const
    for (const [uri, expected] of cases) assert.strictEqual(isRedirectUri(app, uri), expected, uri)
  })
})
