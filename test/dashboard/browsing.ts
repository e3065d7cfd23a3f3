/** A browser that looks at the dashboard, and what it has to complain about. */
import { assert } from "@effect/vitest"
import axe from "axe-core"
import { Effect, type Scope } from "effect"
import type { BrowserContextOptions, Page } from "playwright-core"
import { PublicUrl } from "../../src/programs/PublicUrl.ts"
import { Service } from "../server/connect/stack.ts"
import { browser } from "../support/browser.ts"
import { serve } from "../support/simulator.ts"

export const adminKey = "an-admin-key"

export const step = <A>(run: () => Promise<A>) => Effect.promise(run)

/** Serves on a port; answers the origin. */
export const listening = Effect.gen(function* () {
  const { handler } = yield* Service
  const origin = yield* serve(handler)
  yield* (yield* PublicUrl).listening(origin)
  return origin
}) as Effect.Effect<string, never, Scope.Scope | Service | PublicUrl>

export interface Browsing {
  readonly page: Page
  /** Errors of the console and of scripts, and requests that left this machine. */
  readonly complaints: Array<string>
}

export const open = Effect.fnUntraced(function* (origin: string, options: BrowserContextOptions = {}) {
  const chromium = yield* browser
  const context = yield* step(() => chromium.newContext({ viewport: { width: 1_280, height: 900 }, ...options }))
  const page = yield* step(() => context.newPage())
  const complaints: Array<string> = []
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text())
  })
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("request", (request) => {
    if (!request.url().startsWith(origin) && !request.url().startsWith("data:")) complaints.push(request.url())
  })
  yield* step(() => page.goto(`${origin}/`))
  return { page, complaints } satisfies Browsing
})

export const logIn = async (page: Page, key: string) => {
  await page.getByLabel("API key").fill(key)
  await page.getByRole("button", { name: "Log in" }).click()
}

/** Nothing sticks out sideways, and no rule of accessibility is broken in earnest. */
export const isSound = async (page: Page) => {
  const [wide, seen] = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]") as [number, number]
  assert.isAtMost(wide, seen, page.url())
  await page.evaluate(axe.source)
  const found = await page.evaluate(`axe.run(document, { iframes: false })`) as axe.AxeResults
  const serious = found.violations.filter(({ impact }) => impact === "serious" || impact === "critical")
  assert.deepStrictEqual(
    serious.map(({ id, nodes }) => [id, nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`)]),
    [],
    page.url(),
  )
}
