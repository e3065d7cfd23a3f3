/** How the dashboard is used: by keyboard, by the browser's own buttons, by dragging, and over a large fleet. */
import { assert } from "@effect/vitest"
import { Effect, Option } from "effect"
import type { Page } from "playwright-core"
import { newId } from "../../src/domain/Ids.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { service } from "../server/connect/stack.ts"
import { onDatabases } from "../support/databases.ts"
import { adminKey, isSound, listening, logIn, open, step } from "./browsing.ts"

const size = 100_000

/** A fleet as large as its users have them; one account in a thousand is blocked. */
const largeFleet = orDie(Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  const [app, grant] = [newId(), newId()]
  yield* sql`insert into ${t.apps} (id, provider, client_id, tenant) values (${app}, 'microsoft', ${app}, 'common')`
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash) values (${grant}, ${app}, ${new Uint8Array()}, ${new Uint8Array()})`
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    select gen_random_uuid(), 'microsoft', email, email, 'graph', ${grant}, case when i % 1000 = 0 then 'blocked' else 'active' end
    from (select i, 'person' || i || '@large.example' as email from generate_series(1, ${size}) i) people`
  yield* sql`analyze ${t.accounts}`
}))

/** The title is put up after the view. */
const titled = (page: Page, title: string) => page.waitForFunction(`document.title === ${JSON.stringify(title)}`)

/** What has the focus, as it is called. */
const focused = (page: Page) =>
  page.evaluate("(document.activeElement.textContent || document.activeElement.id).trim()") as Promise<string>

await onDatabases("Dashboard in use", service({ settings: { publicUrl: Option.none() } }), (it) => {
  it.effect(
    "a dragged file is taken; what is no file of accounts is told so",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const origin = yield* listening
        const { complaints, page } = yield* open(origin)
        const drop = (name: string, text: string) =>
          page.evaluate(`{
          const data = new DataTransfer()
          data.items.add(new File([${JSON.stringify(text)}], ${JSON.stringify(name)}))
          document.querySelector(".drop").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }))
        }`)
        yield* step(async () => {
          await logIn(page, adminKey)
          await page.getByRole("navigation").getByRole("link", { name: "Import" }).click()
          await page.getByRole("button", { name: "Choose a file" }).waitFor()
          await drop("accounts.pdf", "%PDF")
          await page.getByText("the name must end in").waitFor()
          await drop("accounts.csv", "")
          await page.getByText("is empty").waitFor()
          await drop("accounts.csv", "email,client_id,refresh_token\nnobody,x,y\n")
          await page.getByRole("button", { name: "Check the file" }).click()
          await page.getByRole("heading", { name: "1 bad line" }).waitFor()
          assert.isTrue(await page.getByRole("button", { name: "Import 0 accounts" }).isDisabled())
          await drop("none.csv", "email,client_id,refresh_token\n")
          await page.getByRole("button", { name: "Check the file" }).click()
          await page.getByRole("alert").filter({ hasText: /\w/ }).waitFor()
          await isSound(page)
        })
        // The browser says by itself that the empty file was answered 422.
        assert.match(complaints.join("\n"), /^[^\n]*422[^\n]*$/)
      })),
    120_000,
  )

  it.effect(
    "100,000 accounts are seen a page at a time, by keyboard, and by the buttons back, forward and reload",
    () =>
      Effect.scoped(Effect.gen(function* () {
        yield* largeFleet
        const origin = yield* listening
        const { complaints, page } = yield* open(origin)
        const rows = () => page.locator("tbody tr").count()
        yield* step(async () => {
          // The field of the key has the focus; Enter logs in.
          await page.waitForLoadState()
          await page.getByLabel("API key").waitFor()
          await page.keyboard.type(adminKey)
          await page.keyboard.press("Enter")
          await page.getByRole("link", { name: "100,000 accounts" }).waitFor()
          await titled(page, "Overview · Mailfleet")

          await page.keyboard.press("Tab")
          assert.strictEqual(await focused(page), "Skip to content")
          await page.keyboard.press("Enter")
          assert.strictEqual(await page.evaluate("document.activeElement.id"), "main")
          await page.keyboard.press("Tab")
          await page.keyboard.press("Enter")
          await page.getByRole("heading", { name: "Accounts" }).waitFor()
          await titled(page, "Accounts · Mailfleet")
          // The new view is where reading goes on.
          await page.waitForFunction("document.activeElement.id === 'main'")
          await page.getByRole("link", { name: "Next page" }).waitFor()
          assert.strictEqual(await rows(), 50)
          const first = await page.locator("tbody th").first().innerText()

          await page.getByRole("link", { name: "Next page" }).focus()
          await page.keyboard.press("Enter")
          await page.getByRole("link", { name: "First page" }).waitFor()
          const second = await page.locator("tbody th").first().innerText()
          assert.notStrictEqual(second, first)
          await page.reload()
          await page.getByRole("link", { name: second, exact: true }).waitFor()
          await page.goBack()
          await page.getByRole("link", { name: first, exact: true }).waitFor()
          await page.goForward()
          await page.getByRole("link", { name: second, exact: true }).waitFor()

          await page.getByLabel("Status").selectOption("blocked")
          await page.waitForURL(/status=blocked/)
          await page.getByLabel("Address").fill("PERSON77000@")
          const found = page.locator("tbody tr:only-child").getByRole("link", { name: "person77000@large.example" })
          await found.waitFor()
          await page.reload()
          await found.waitFor()
          assert.strictEqual(await page.getByLabel("Address").inputValue(), "PERSON77000@")
          assert.strictEqual(await page.getByLabel("Status").inputValue(), "blocked")
          await page.getByLabel("Address").fill("nobody at all")
          await page.getByText("No account is like this.").waitFor()
          await isSound(page)
        })
        assert.deepStrictEqual(complaints, [])
      })),
    120_000,
  )
})
