/** The pages of a sign-in: what they say, and what they are made of. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import {
  connectedPage,
  faultPage,
  invitationPage,
  refusedPage,
  unusablePage,
} from "../../../src/server/connect/Pages.ts"
import { languages, preferred, texts } from "../../../src/server/connect/Texts.ts"
import { RefusalCode, SignInRefused } from "../../../src/domain/ConnectSession.ts"
import { HttpServerResponse } from "effect/http"

const bodyOf = (response: HttpServerResponse.HttpServerResponse) =>
  Effect.promise(() => HttpServerResponse.toWeb(response).text())

const evil = `"><script>alert(1)</script>'&{email}`

const session = {
  id: newId(),
  kind: "sign_in",
  state: "refused",
  appId: newId(),
  tags: [],
  createdAt: DateTime.nowUnsafe(),
  expiresAt: DateTime.nowUnsafe(),
} as const

describe("Pages of a sign-in", () => {
  it.effect("say everything in every language, and escape what they are given", () =>
    Effect.gen(function* () {
      for (const language of languages) {
        const pages = [
          ...(["sign_in", "admin_consent"] as const).map((kind) =>
            invitationPage(
              language,
              { kind, provider: "microsoft", expected: evil, origins: ["http://127.0.0.1:1"], usable: "yes" },
              true,
            )
          ),
          ...(["unknown", "used", "expired", "other_browser"] as const).map((why) => unusablePage(language, why)),
          ...RefusalCode.literals.map((code) =>
            refusedPage(language, {
              session,
              provider: "google",
              refused: new SignInRefused({ code, message: "told to operators only", expected: evil, actual: evil }),
              onward: "https://good.example/?a=1&b=2",
              isOpen: false,
            })
          ),
          connectedPage(language, { email: evil, isDisabled: true }, undefined),
          faultPage(language),
        ]
        for (const response of pages) {
          const html = yield* bodyOf(response)
          assert.include(html, `<html lang="${texts[language].tag}">`)
          assert.notInclude(html, "<script")
          assert.notInclude(html, "told to operators only")
          // No place was left empty.
          assert.notMatch(html.replaceAll("{email}", ""), /\{\w+\}(?!\s)/)
          assert.strictEqual(html.match(/<h1>/g)?.length, 1)
          const policy = response.headers["content-security-policy"] ?? ""
          assert.match(
            policy,
            /^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; frame-ancestors 'none'; form-action /,
          )
          assert.notInclude(policy, "unsafe")
        }
      }
    }))

  it("speak the language that the browser likes best", () => {
    const cases = [
      [undefined, "en"],
      ["", "en"],
      ["de-AT,de;q=0.9,en;q=0.8", "de"],
      ["fr,zh-CN;q=0.8,en;q=0.3", "zh"],
      ["fr-FR, es;q=0.5", "en"],
      ["en;q=0.1,de;q=0", "en"],
      ["de;q=0.2, zh;q=0.9", "zh"],
      [";;;,q=,x;q=x", "en"],
      ["DE", "de"],
    ] as const
    for (const [header, language] of cases) assert.strictEqual(preferred(header), language, header)
  })
})
