import { assert, describe, it } from "@effect/vitest"
import { scopesOf, signInScopes } from "../../src/oauth/Scopes.ts"

const settings = {
  microsoftGraphScope: " https://graph.microsoft.com/.default offline_access ",
  microsoftImapScope: "https://outlook.office.com/IMAP.AccessAsUser.All",
}

describe("Scopes", () => {
  it("of a token request are the app's for the channel, else those of the settings", () => {
    assert.strictEqual(scopesOf({}, settings, "graph"), "https://graph.microsoft.com/.default offline_access")
    assert.strictEqual(scopesOf({ scopes: { graph: "Mail.Read" } }, settings, "graph"), "Mail.Read offline_access")
    const named = { scopes: { graph: "offline_access Mail.Read", gmail: "https://mail.example/" } }
    assert.strictEqual(scopesOf(named, settings, "graph"), "offline_access Mail.Read")
    assert.strictEqual(scopesOf(named, settings, "outlook-imap"), settings.microsoftImapScope)
    assert.strictEqual(scopesOf(named, settings, "gmail"), "https://mail.example/")
    assert.strictEqual(scopesOf({}, settings, "gmail"), "https://mail.google.com/")
  })

  it("of a sign-in ask for a refresh token and for who it is, once each", () => {
    assert.strictEqual(
      signInScopes({}, settings, "outlook-imap"),
      "https://outlook.office.com/IMAP.AccessAsUser.All openid profile email offline_access",
    )
    assert.strictEqual(
      signInScopes({ scopes: { graph: "openid Mail.Read" } }, settings, "graph"),
      "openid Mail.Read offline_access profile email",
    )
    assert.strictEqual(signInScopes({}, settings, "gmail"), "https://mail.google.com/ openid profile email")
  })
})
