/** Signing in with a real Chromium, which holds the pages to their own content security policy. */
import { assert } from "@effect/vitest"
import { Effect, Option, type Scope } from "effect"
import type { Page } from "playwright-core"
import { PublicUrl } from "../../../src/programs/PublicUrl.ts"
import { browser } from "../../support/browser.ts"
import { onDatabases } from "../../support/databases.ts"
import { Provider, serve } from "../../support/simulator.ts"
import { accountOf, address, api, newApp, newSession, Service, service, sessionOf } from "./stack.ts"

const step = <A>(run: () => Promise<A>) => Effect.promise(run)

/** A page of a browser of its own, and what that had to complain about. */
const opened = Effect.fnUntraced(function* (options: { readonly locale?: string; readonly colorScheme?: "dark" } = {}) {
  const chromium = yield* browser
  const context = yield* step(() => chromium.newContext({ viewport: { width: 360, height: 740 }, ...options }))
  const page = yield* step(() => context.newPage())
  const complaints: Array<string> = []
  page.on("console", (message) => {
    // What a page with an error status is fetched with is told here as well.
    if (/content security policy|refused to/i.test(message.text())) complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(error.message))
  return { page, complaints }
})

/** Serves on a port, as the settings then say. */
const listening = Effect.gen(function* () {
  const { handler } = yield* Service
  const origin = yield* serve(handler)
  yield* (yield* PublicUrl).listening(origin)
  return origin
}) as Effect.Effect<string, never, Scope.Scope | Service | PublicUrl>

const signIn = async (page: Page, who: string) => {
  await page.getByLabel("E-mail address").fill(who)
  await page.getByRole("button", { name: "Next" }).click()
  await page.getByRole("button", { name: "Accept" }).or(
    page.getByRole("heading", { name: /connected|expected|allowed/i }),
  )
    .waitFor()
  if (await page.getByRole("button", { name: "Accept" }).isVisible()) {
    await page.getByRole("button", { name: "Accept" }).click()
  }
}

/** Nothing sticks out sideways. */
const fits = async (page: Page) => {
  const [wide, seen] = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]") as [number, number]
  assert.isAtMost(wide, seen, page.url())
}

await onDatabases("Sign-in in Chromium", service({ settings: { publicUrl: Option.none() } }), (it) => {
  it.effect(
    "connects a mailbox, refuses the wrong person, and sends back to the caller",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const origin = yield* listening
        const app = yield* newApp({}, { redirectUris: [`${origin}/connect/callback`] })
        const { complaints, page } = yield* opened()

        const session = yield* newSession({ appId: app.id, expectedEmail: address(1) })
        assert.isTrue(session.url?.startsWith(origin))
        yield* step(() => page.goto(session.url ?? ""))
        yield* step(() => fits(page))
        assert.strictEqual(yield* step(() => page.locator("html").getAttribute("lang")), "en")
        // By keyboard alone.
        yield* step(() => page.getByRole("button", { name: "Continue to Microsoft" }).focus())
        yield* step(() => page.keyboard.press("Enter"))
        yield* step(() => signIn(page, address(1)))
        yield* step(() => page.getByRole("heading", { name: "Your mailbox is connected" }).waitFor())
        yield* step(() => fits(page))
        const account = yield* accountOf((yield* sessionOf(session.id)).connectedAccountId ?? "")
        assert.deepInclude(account, { email: address(1), status: "active" })

        const wrong = yield* newSession({ appId: app.id, accountId: account.id })
        yield* step(() => page.goto(wrong.url ?? ""))
        yield* step(() => page.getByRole("button").click())
        assert.strictEqual(yield* step(() => page.getByLabel("E-mail address").inputValue()), address(1))
        yield* step(() => signIn(page, address(2)))
        yield* step(() => page.getByRole("heading", { name: "Another person was expected" }).waitFor())
        const text = yield* step(() => page.getByRole("alert").innerText())
        for (const who of [address(1), address(2)]) assert.include(text, who)
        yield* step(() => fits(page))
        assert.strictEqual((yield* sessionOf(wrong.id)).state, "refused")

        const caller = yield* serve(() => new Response("back", { headers: { "content-type": "text/html" } }))
        const back = yield* newSession({ appId: app.id, returnUrl: `${caller}/done?x=1` })
        yield* step(() => page.goto(back.url ?? ""))
        yield* step(() => page.getByRole("button").click())
        yield* step(() => signIn(page, address(3)).catch(() => {}))
        yield* step(() => page.waitForURL(`${caller}/**`))
        assert.strictEqual(page.url(), `${caller}/done?x=1&connectSession=${back.id}&state=connected`)
        assert.deepStrictEqual(complaints, [])
      })),
    60_000,
  )

  it.effect(
    "goes on where the provider lets the browser through without a page",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const origin = yield* listening
        const { simulator } = yield* Provider
        // Signed in already: the form of our page leads through three origins by redirects alone, which its policy must bear.
        const authority = yield* serve(async (request) => {
          const url = new URL(request.url)
          if (!url.pathname.endsWith("/authorize")) return simulator.handler(request)
          const body = new URLSearchParams({
            ...Object.fromEntries(url.searchParams),
            login: address(4),
            decision: "accept",
          })
          return await simulator.handler(new Request(url.origin + url.pathname, { method: "POST", body }))
        })
        const caller = yield* serve(() => new Response("back", { headers: { "content-type": "text/html" } }))
        const app = yield* newApp({ authority }, { redirectUris: [`${origin}/connect/callback`] })
        const session = yield* newSession({ appId: app.id, returnUrl: `${caller}/` })
        const { complaints, page } = yield* opened()
        yield* step(() => page.goto(session.url ?? ""))
        yield* step(() => page.getByRole("button").click())
        yield* step(() => page.waitForURL(`${caller}/**`))
        assert.strictEqual((yield* sessionOf(session.id)).state, "connected")
        assert.deepStrictEqual(complaints, [])
      })),
    60_000,
  )

  it.effect("keeps the language that somebody chose", () =>
    Effect.scoped(Effect.gen(function* () {
      const origin = yield* listening
      const app = yield* newApp({}, { redirectUris: [`${origin}/connect/callback`] })
      const session = yield* newSession({ appId: app.id })
      const { complaints, page } = yield* opened({ locale: "de-DE", colorScheme: "dark" })
      yield* step(() => page.goto(session.url ?? ""))
      assert.strictEqual(yield* step(() => page.getByRole("heading").innerText()), "Postfach verbinden")
      yield* step(() => page.getByRole("link", { name: "中文" }).click())
      yield* step(() => page.getByRole("heading", { name: "连接您的邮箱" }).waitFor())
      yield* step(() => fits(page))
      yield* step(() => page.getByRole("button").click())
      yield* step(() => page.getByRole("button", { name: "Cancel" }).click())
      yield* step(() => page.getByRole("heading", { name: "未授予访问权限" }).waitFor())
      assert.strictEqual(yield* step(() => page.locator("html").getAttribute("lang")), "zh-Hans")
      yield* step(() => page.goto(session.url ?? ""))
      yield* step(() => page.getByRole("heading", { name: "此链接已被使用" }).waitFor())
      assert.strictEqual(yield* step(() => page.locator("[aria-current=true]").innerText()), "中文")
      yield* step(() => page.getByRole("link", { name: "Deutsch" }).click())
      yield* step(() => page.getByRole("heading", { name: "Dieser Link wurde schon benutzt" }).waitFor())
      assert.deepStrictEqual(complaints, [])
      const { text } = yield* api("/v1/audit?limit=1")
      assert.deepInclude(JSON.parse(text).items[0], { action: "sign_in", outcome: "access_denied" })
    })), 60_000)
})

/** A run to its end; all of its items succeeded, or none. */
const ran = Effect.fnUntraced(function* (path: string, accountId: string, outcome: "succeeded" | "failed") {
  let run = JSON.parse((yield* api(path, { accountIds: [accountId] })).text)
  while (run.state !== "completed") {
    yield* Effect.sleep("50 millis")
    run = JSON.parse((yield* api(`/v1/runs/${run.id}`)).text)
  }
  assert.strictEqual(run[outcome], 1)
})

await onDatabases("Revival in Chromium", service({ settings: { publicUrl: Option.none() } }), (it) => {
  it.effect(
    "whoever opens the lasting link of a dead account has it back, with all that came meanwhile, each message once",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const origin = yield* listening
        const { simulator } = yield* Provider
        const app = yield* newApp({}, { redirectUris: [`${origin}/connect/callback`] })
        const { complaints, page } = yield* opened()
        const session = yield* newSession({ appId: app.id })
        yield* step(() => page.goto(session.url ?? ""))
        yield* step(() => page.getByRole("button").click())
        yield* step(() => signIn(page, address(5)))
        yield* step(() => page.getByRole("heading", { name: "Your mailbox is connected" }).waitFor())
        const { connectedAccountId: id = "" } = yield* sessionOf(session.id)
        yield* ran("/v1/syncs", id, "succeeded")
        const subjects = Effect.map(
          api(`/v1/accounts/${id}/messages?limit=500`),
          ({ text }): ReadonlyArray<string> =>
            JSON.parse(text).items.map(({ subject }: { readonly subject: string }) => subject).toSorted(),
        )
        const before = yield* subjects
        assert.isAbove(before.length, 0)

        simulator.revoke(address(5))
        yield* ran("/v1/refreshes", id, "failed")
        const dead = yield* accountOf(id)
        assert.strictEqual(dead.status, "needs_reauth")
        simulator.deliver(address(5), { count: 3, subject: "While it was dead" })

        yield* step(() => page.goto(dead.reconnectUrl ?? ""))
        yield* step(() => fits(page))
        assert.include(yield* step(() => page.locator("body").innerText()), address(5))
        yield* step(() => page.getByRole("button", { name: "Continue to Microsoft" }).click())
        yield* step(() => signIn(page, address(6)))
        yield* step(() => page.getByRole("heading", { name: "Another person was expected" }).waitFor())
        // This link is good for another try, unlike others.
        assert.include(yield* step(() => page.getByRole("alert").innerText()), "open the link once more")
        yield* step(() => page.goto(dead.reconnectUrl ?? ""))
        yield* step(() => page.getByRole("button", { name: "Continue to Microsoft" }).click())
        yield* step(() => signIn(page, address(5)))
        yield* step(() => page.getByRole("heading", { name: "Your mailbox is connected" }).waitFor())
        assert.deepInclude(yield* accountOf(id), { id, grantId: dead.grantId, status: "active" })
        yield* ran("/v1/syncs", id, "succeeded")
        const late = Array.from({ length: 3 }, () => "While it was dead")
        assert.deepStrictEqual(yield* subjects, [...before, ...late].toSorted())
        const created = JSON.parse((yield* api("/v1/changes?limit=500")).text).items
          .filter(({ accountId, kind }: { readonly accountId: string; readonly kind: string }) =>
            accountId === id && kind === "message.created"
          ).map(({ messageId }: { readonly messageId: string }) => messageId)
        assert.strictEqual(created.length, before.length + 3)
        assert.strictEqual(new Set(created).size, created.length)
        assert.deepStrictEqual(complaints, [])
      })),
    120_000,
  )
})

await onDatabases(
  "Consent in Chromium",
  service({ settings: { publicUrl: Option.none() }, simulator: { accounts: 50 } }),
  (it) => {
    it.effect(
      "an administrator consents for a tenant of fifty mailboxes, which are found, added and read",
      () =>
        Effect.scoped(Effect.gen(function* () {
          const origin = yield* listening
          const { simulator } = yield* Provider
          const app = yield* newApp({}, { redirectUris: [`${origin}/connect/callback`], consentedTenants: [] })
          const session = yield* newSession({ appId: app.id, kind: "admin_consent" })
          const { complaints, page } = yield* opened()
          yield* step(() => page.goto(session.url ?? ""))
          yield* step(() => fits(page))
          yield* step(() => page.getByRole("button", { name: "Continue to Microsoft" }).click())
          yield* step(() => page.getByRole("button", { name: "Accept" }).click())
          // Anybody could say that a tenant has consented: whoever does so signs in to it.
          yield* step(() => page.getByLabel("E-mail address").waitFor())
          yield* step(() => signIn(page, address(1)))
          yield* step(() => page.getByRole("heading", { name: "Access is allowed" }).waitFor())
          yield* step(() => fits(page))
          assert.deepStrictEqual(complaints, [])
          const { grantId } = yield* sessionOf(session.id)
          const added = JSON.parse((yield* api(`/v1/grants/${grantId}/accounts`, { all: true, tags: ["fifty"] })).text)
          assert.deepInclude(added, { nextCursor: null })
          assert.strictEqual(added.items.length, 50)
          let run = JSON.parse((yield* api("/v1/syncs", { filter: { tag: "fifty" } })).text)
          while (run.state !== "completed") {
            yield* Effect.sleep("50 millis")
            run = JSON.parse((yield* api(`/v1/runs/${run.id}`)).text)
          }
          assert.deepInclude(run, { total: 50, succeeded: 50 })
          assert.deepStrictEqual(simulator.counters().tokenRequests[app.clientId], {
            authorization_code: 1,
            client_credentials: 1,
          })
        })),
      120_000,
    )
  },
)
