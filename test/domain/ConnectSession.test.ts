import { assert, describe, it } from "@effect/vitest"
import { canReadMail, isReturnUrl, scopeNames } from "../../src/domain/ConnectSession.ts"

describe("ConnectSession", () => {
  it("takes return URLs that every parser reads alike", () => {
    for (
      const url of [
        "https://app.example",
        "https://app.example/",
        "HTTP://localhost:3000/back?x=%20&y=a+b",
        "https://app.example/@me?mail=a@b",
        "http://[::1]:80/",
      ]
    ) assert.isTrue(isReturnUrl(url, undefined), url)
    for (
      const url of [
        "//app.example",
        "https:/app.example",
        "https:\\\\app.example",
        "https://app.example\\@evil.example",
        "https://app.example/\\evil",
        "https://app.example#x",
        "https://app.example/?#",
        "https://a@app.example",
        "https://app.example:x/",
        "https://app .example/",
        "https://app.example/\u0000",
        "https://äpp.example/",
        "javascript://app.example/%0aalert(1)",
      ]
    ) assert.isFalse(isReturnUrl(url, undefined), url)
  })

  it("holds return URLs to the origins that are allowed", () => {
    const origins = ["https://app.example", "http://localhost:3000"]
    for (const url of ["https://app.example/x", "https://APP.example:443/", "http://localhost:3000?x"]) {
      assert.isTrue(isReturnUrl(url, origins), url)
    }
    for (
      const url of [
        "http://app.example/",
        "https://app.example.evil/",
        "https://app.example:8443/",
        "http://localhost/",
      ]
    ) {
      assert.isFalse(isReturnUrl(url, origins), url)
    }
  })

  it("compares scopes by their last part", () => {
    assert.sameMembers([...scopeNames(" https://graph.microsoft.com/Mail.READ  openid https://mail.google.com/ ")], [
      "mail.read",
      "openid",
      "mail.google.com",
    ])
    const cases = [
      ["microsoft", "graph", "profile Mail.ReadWrite", true],
      ["microsoft", "graph", "https://graph.microsoft.com/mail.read", true],
      ["microsoft", "graph", "Mail.ReadBasic Mail.Send User.Read", false],
      ["microsoft", "imap", "https://outlook.office365.com/IMAP.AccessAsUser.All", true],
      ["microsoft", "imap", "Mail.Read", false],
      ["google", "gmail", "https://www.googleapis.com/auth/gmail.readonly", true],
      ["google", "gmail", "https://www.googleapis.com/auth/gmail.metadata openid", false],
      ["google", "imap", "https://www.googleapis.com/auth/gmail.modify", false],
      ["google", "imap", "https://mail.google.com/", true],
      ["google", "gmail", "", false],
    ] as const
    for (const [provider, channel, scopes, can] of cases) {
      assert.strictEqual(canReadMail(provider, channel, scopes), can, `${channel} ${scopes}`)
    }
  })
})
