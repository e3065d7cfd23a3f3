/** The dashboard in a real Chromium, which holds it to its own content security policy, over a simulated provider. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import { Buffer } from "node:buffer"
import type { Page } from "playwright-core"
import { newId } from "../../src/domain/Ids.ts"
import { address, api, service } from "../server/connect/stack.ts"
import { onDatabases } from "../support/databases.ts"
import { Provider } from "../support/simulator.ts"
import { adminKey, isSound, listening, logIn, open, step } from "./browsing.ts"

const accounts = 400

/** A file with the accounts from one number to another, and whatever else. */
const fileOf = (from: number, to: number, ...others: ReadonlyArray<string>) =>
  Effect.map(Provider, ({ simulator }) => {
    const rows = Array.from({ length: to - from + 1 }, (_, index) => {
      const { clientId, email, refreshToken } = simulator.account(address(from + index))
      return `${email},${clientId},${refreshToken}`
    })
    const text = ["email,client_id,refresh_token", ...rows, ...others].join("\n")
    return { name: "accounts.csv", mimeType: "text/csv", buffer: Buffer.from(text) }
  })

const toImport = async (page: Page, file: { name: string; mimeType: string; buffer: Buffer }) => {
  await page.getByRole("navigation", { name: "Main" }).getByRole("link", { name: "Import" }).click()
  await page.getByLabel("File of accounts").setInputFiles(file)
  await page.getByRole("button", { name: "Check the file" }).click()
}

const json = (path: string, body?: unknown) => Effect.map(api(path, body), ({ text }) => JSON.parse(text))

await onDatabases(
  "Dashboard",
  service({ settings: { publicUrl: Option.none() }, simulator: { accounts } }),
  (it) => {
    it.effect(
      "a file comes in: checked, mended, imported, watched; a failed account is found; log out",
      () =>
        Effect.scoped(Effect.gen(function* () {
          const { simulator } = yield* Provider
          const origin = yield* listening
          const { complaints, page } = yield* open(origin)
          yield* step(() => isSound(page))
          yield* step(() => logIn(page, adminKey))
          yield* step(() => page.getByText("There are no accounts yet.").waitFor())
          yield* step(() => isSound(page))

          simulator.revoke(address(3))
          const file = yield* fileOf(1, 20, "nobody,x,y")
          yield* step(async () => {
            await toImport(page, file)
            await page.getByRole("heading", { name: "1 bad line" }).waitFor()
            const bad = page.getByRole("row").filter({ hasText: "22" })
            assert.include(await bad.innerText(), "invalid email")
            await isSound(page)
          })
          // A check has no consequences.
          assert.lengthOf((yield* json("/v1/accounts")).items, 0)

          yield* step(async () => {
            await page.getByRole("button", { name: "Import 20 accounts" }).click()
            await page.getByRole("heading", { name: "Import completed" }).waitFor()
            assert.strictEqual(await page.getByRole("progressbar").getAttribute("aria-valuetext"), "21 of 21")
            assert.match(await page.locator(".counts").innerText(), /19 succeeded\s+2 failed/)
            await isSound(page)
          })

          yield* step(async () => {
            await page.getByRole("link", { name: "Overview" }).click()
            await page.getByRole("link", { name: "1 needs reauth" }).click()
            await page.getByRole("link", { name: address(3) }).waitFor()
            assert.strictEqual(await page.locator("tbody tr").count(), 1)
            await isSound(page)
            await page.getByRole("link", { name: address(3) }).click()
            await page.getByRole("heading", { name: "Somebody must sign in again" }).waitFor()
            assert.match(
              await page.getByLabel("Link to sign in again").inputValue(),
              new RegExp(`^${origin}/reconnect/`),
            )
            await page.getByText("account: needs reauth").waitFor()
            await isSound(page)
            // By search as well, without regard to case.
            await page.getByRole("link", { name: "Accounts" }).first().click()
            await page.getByLabel("Address").fill("SIM00007")
            await page.waitForURL(/search=SIM00007/)
            await page.getByRole("link", { name: address(8) }).waitFor({ state: "detached" })
            assert.strictEqual(await page.locator("tbody a").innerText(), address(7))
          })

          yield* step(async () => {
            const [cookie] = await page.context().cookies()
            await page.getByRole("button", { name: "Log out" }).click()
            await page.getByText("You are logged out.").waitFor()
            assert.deepStrictEqual(await page.context().cookies(), [])
            // Not even who has kept the cookie gets in.
            await page.context().addCookies([cookie!])
            await page.reload()
            await page.getByLabel("API key").waitFor()
          })
          assert.deepStrictEqual(complaints, [])
        })),
      120_000,
    )

    it.effect("a run is watched as it goes, and cancelled", () =>
      Effect.scoped(Effect.gen(function* () {
        const origin = yield* listening
        const provider = yield* Provider
        // A minute for the whole file: it still goes on when somebody gets to cancelling it.
        yield* step(() =>
          fetch(`${provider.origin}/_simulator/options`, {
            method: "PATCH",
            headers: { "content-type": "application/json" },
            body: JSON.stringify({ latency: "1 second" }),
          })
        )
        const { complaints, page } = yield* open(origin, { colorScheme: "dark", viewport: { width: 360, height: 740 } })
        yield* step(() => logIn(page, adminKey))
        const file = yield* fileOf(101, accounts)
        yield* step(async () => {
          await toImport(page, file)
          await page.getByRole("button", { name: "Import 300 accounts" }).click()
          const bar = page.getByRole("progressbar")
          await page.locator(`[role=progressbar]:not([aria-valuenow="0"]):not([aria-valuenow="1"])`).waitFor()
          await isSound(page)
          await page.getByRole("button", { name: "Cancel this run" }).click()
          await page.getByRole("heading", { name: "Import cancelled" }).waitFor()
          assert.isBelow(Number(await bar.getAttribute("aria-valuenow")), 100)
          await page.getByRole("link", { name: "Runs" }).click()
          await page.locator("tbody").getByText("cancelled").waitFor()
          await isSound(page)
        })
        assert.deepStrictEqual(complaints, [])
      })), 120_000)

    it.effect(
      "a key that may little sees little, is told so politely, and ends the session with it",
      () =>
        Effect.scoped(Effect.gen(function* () {
          const origin = yield* listening
          const { id, key, name } = yield* json("/v1/keys", { name: newId(), scopes: ["accounts:read"] })
          const { complaints, page } = yield* open(origin, { colorScheme: "dark" })
          yield* step(async () => {
            await logIn(page, `${key}x`)
            await page.getByText("this is no key of this server").waitFor()
            await isSound(page)
            // A browser says by itself what it was answered.
            assert.match(complaints.splice(0).join(), /401/)
            await logIn(page, key)
            await page.getByText(name).waitFor()
            const places = await page.getByRole("navigation", { name: "Main" }).getByRole("link").allInnerTexts()
            assert.deepStrictEqual(places, ["Overview", "Accounts", "Runs", "Events"])
            await isSound(page)
            for (const place of ["accounts", "runs", "events"]) {
              await page.goto(`${origin}/#/${place}`)
              await page.getByRole("heading", { level: 1, name: place }).waitFor()
              await page.locator("table, .timeline, main p.quiet").first().waitFor()
              await isSound(page)
            }
            assert.strictEqual(await page.getByRole("button", { name: /Refresh|Sync/ }).count(), 0)
            await page.goto(`${origin}/#/import`)
            await page.getByText("Your key may not import").waitFor()
            await page.goto(`${origin}/#/mail`)
            await page.getByText("Your key may not read mail.").waitFor()
            assert.deepStrictEqual(complaints, [])
          })
          yield* api(`/v1/keys/${id}`, undefined, "DELETE")
          yield* step(async () => {
            await page.getByRole("link", { name: "Accounts" }).click()
            await page.getByText("Your session has ended.").waitFor()
          })
        })),
      120_000,
    )
  },
)
