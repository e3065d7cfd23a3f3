/** A real browser: Debian's Chromium, driven by Playwright. */
import { Effect, type Scope } from "effect"
import { type Browser, chromium } from "playwright-core"

/** Without the sandbox, which needs rights that containers lack. It sees no page but those of the tests. */
export const browser: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] })),
  (browser) => Effect.promise(() => browser.close()),
)
