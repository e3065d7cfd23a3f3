/** Signing in at Google: by discovery, with a refresh token each time. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Database } from "../../../src/storage/Database.ts"
import { onDatabases } from "../../support/databases.ts"
import { Provider } from "../../support/simulator.ts"
import {
  accountOf,
  answering,
  api,
  callback,
  departing,
  newBrowser,
  newSession,
  service,
  sessionOf,
  signingIn,
} from "./stack.ts"

const gmail = (n: number): string => `sim${String(n).padStart(5, "0")}@gmail.sim.example`

const googleApp = Effect.fnUntraced(function* (here: Record<string, unknown> = {}) {
  const { simulator } = yield* Provider
  const clientId = `${newId()}.apps.googleusercontent.com`
  const secret = "GOCSPX-a-secret"
  simulator.registerApp({ clientId, provider: "google", secret, redirectUris: [callback] })
  const made = yield* api("/v1/apps", { provider: "google", clientId, secret, ...here })
  assert.strictEqual(made.status, 201, made.text)
  return JSON.parse(made.text) as { readonly id: string; readonly clientId: string }
})

const layer = service({ simulator: { accounts: 10, googleAccounts: 6 } })

await onDatabases("Sign-in at Google", layer, (it) => {
  it.effect("makes an account, and revives it", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const app = yield* googleApp({ registration: "testing" })
      const session = yield* newSession({ appId: app.id, expectedEmail: gmail(5) })
      const browser = yield* newBrowser()
      const url = yield* departing(browser, session.url ?? "")
      assert.deepInclude(Object.fromEntries(new URL(url).searchParams), {
        access_type: "offline",
        prompt: "consent",
        login_hint: gmail(5),
        code_challenge_method: "S256",
      })
      assert.sameMembers(
        (new URL(url).searchParams.get("scope") ?? "").split(" ").filter((scope) => scope !== "profile"),
        [
          "https://mail.google.com/",
          "openid",
          "email",
        ],
      )
      const page = yield* browser.go(yield* answering(browser, url, gmail(5)))
      assert.strictEqual(page.status, 200, page.text)
      const id = (yield* sessionOf(session.id)).connectedAccountId ?? ""
      const account = yield* accountOf(id)
      assert.deepInclude(account, {
        email: gmail(5),
        provider: "google",
        channel: "gmail",
        status: "active",
        access: "own",
      })
      const days = yield* Effect.orDie(sql<{ days: number; subject: string }>`select subject,
        extract(epoch from lives_until - now())::float8 / 86400 as days from ${t.grants} where id = ${account.grantId}`)
      assert.closeTo(days[0]!.days, 7, 0.1)
      assert.isNotEmpty(days[0]!.subject)
      const again = yield* newSession({ appId: app.id, accountId: id, channel: "imap" })
      const revived = yield* signingIn(again.url ?? "", gmail(5))
      assert.strictEqual(revived.status, 200, revived.text)
      assert.deepInclude((yield* accountOf(id)).token, { version: 2 })
      const token = yield* api(`/v1/accounts/${id}/access-token`)
      assert.strictEqual(token.status, 200, token.text)
    }))

  it.effect("refuses the wrong person and one who unticks the mail", () =>
    Effect.gen(function* () {
      const app = yield* googleApp()
      const wrong = yield* newSession({ appId: app.id, expectedEmail: gmail(6) })
      assert.strictEqual((yield* signingIn(wrong.url ?? "", gmail(7))).status, 403)
      assert.strictEqual((yield* sessionOf(wrong.id)).error?.code, "wrong_person")

      const blind = yield* newSession({ appId: app.id })
      const browser = yield* newBrowser()
      const url = new URL(yield* departing(browser, blind.url ?? ""))
      url.searchParams.set("scope", "openid email https://www.googleapis.com/auth/gmail.send")
      const page = yield* browser.go(yield* answering(browser, url.href, gmail(8)))
      assert.strictEqual(page.status, 403)
      assert.strictEqual((yield* sessionOf(blind.id)).error?.code, "permission_missing")

      const mixed = yield* newSession({ appId: app.id })
      const answer = yield* answering(browser, yield* departing(browser, mixed.url ?? ""), gmail(8))
      assert.strictEqual((yield* browser.go(`${answer}&iss=https%3A%2F%2Fevil.example`)).status, 403)
      assert.strictEqual((yield* sessionOf(mixed.id)).error?.code, "issuer_mismatch")
      for (const n of [6, 7, 8]) {
        assert.strictEqual(JSON.parse((yield* api(`/v1/accounts?search=${gmail(n)}`)).text).items.length, 0)
      }
    }))
})

await onDatabases(
  "Sign-in where Google does not answer",
  service({ settings: { googleAuthority: "http://127.0.0.1:9" } }),
  (it) => {
    it.effect("keeps the link for another try", () =>
      Effect.gen(function* () {
        const app = yield* googleApp()
        const session = yield* newSession({ appId: app.id })
        const browser = yield* newBrowser()
        const page = yield* browser.go(session.url ?? "", { method: "POST" })
        assert.strictEqual(page.status, 503)
        assert.include(page.text, "open the link once more")
        assert.strictEqual((yield* sessionOf(session.id)).state, "open")
      }))
  },
)
