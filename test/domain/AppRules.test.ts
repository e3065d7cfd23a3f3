/** What can be taken as a value of an app, and what goes together. */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Redacted, Result } from "effect"
import type { AppChange, AppPatch } from "../../src/domain/App.ts"
import { concernsRedemption, faultOfChange, type Held, mergeScopes, readChange } from "../../src/domain/AppRules.ts"

const taken = (patch: AppPatch) => Result.getOrThrow(readChange(patch))
const refused = (patch: AppPatch) => Result.getOrThrow(Result.flip(readChange(patch)))

describe("The values of an app", () => {
  it("are taken without surrounding blanks; what is absent stays so, and null takes away", () => {
    assert.deepStrictEqual(taken({}), {})
    assert.deepStrictEqual(
      taken({ authority: null, redirectUri: null, scopes: null, secret: null, secretExpiresAt: null }),
      {
        authority: null,
        redirectUri: null,
        scopes: null,
        secret: null,
        secretExpiresAt: null,
      },
    )
    assert.deepStrictEqual(taken({ registration: null }), { registration: "standard" })
    assert.deepStrictEqual(taken({ scopes: { graph: "  Mail.Read\n User.Read ", imap: null } }), {
      scopes: { graph: "Mail.Read User.Read", imap: null },
    })
    assert.deepStrictEqual(taken({ scopes: {} }), { scopes: {} })
  })

  it("are an authority without query, user or fragment", () => {
    for (
      const authority of ["https://login.microsoftonline.us", "http://127.0.0.1:8091", "https://login.example/adfs"]
    ) {
      assert.strictEqual(taken({ authority: ` ${authority}//\n` }).authority, authority)
    }
    for (
      const authority of [
        "",
        "CANARY",
        "ftp://login.example",
        "https://",
        "https:login.example",
        "https://login.example/?CANARY=1",
        "https://login.example/?",
        "https://login.example/#CANARY",
        "https://CANARY:CANARY@login.example",
        "https://login example",
        `https://login.example/${"x".repeat(2_000)}`,
      ]
    ) {
      const { field, message } = refused({ authority })
      assert.strictEqual(field, "authority", authority)
      assert.match(message, /^Expected an http or https URL without query/)
      assert.notInclude(message, "CANARY")
    }
  })

  it("are a redirect URI by https, or by http on this machine", () => {
    for (
      const redirectUri of [
        "https://mail.example/connect/callback",
        "https://mail.example/callback?app=1",
        "http://localhost:8080/callback",
        "http://127.0.0.1/",
        "http://[::1]:8080/",
      ]
    ) assert.strictEqual(taken({ redirectUri: ` ${redirectUri}\n` }).redirectUri, redirectUri)
    for (
      const redirectUri of [
        "",
        "/callback",
        "http://mail.example/callback",
        "http://localhost.mail.example/",
        "http://127.0.0.1.mail.example/",
        "https://mail.example/#CANARY",
        "https://CANARY@mail.example/",
        "myapp://callback",
      ]
    ) {
      const { field, message } = refused({ redirectUri })
      assert.strictEqual(field, "redirectUri", redirectUri)
      assert.match(message, /^Expected an absolute https URL/)
      assert.notInclude(message, "CANARY")
    }
  })

  it("are scopes of the channel's one resource", () => {
    for (
      const scopes of [
        { graph: "Mail.Read offline_access openid" },
        { graph: "https://graph.microsoft.com/Mail.Read User.Read" },
        { graph: "https://graph.microsoft.us/.default" },
        { graph: "https://microsoftgraph.chinacloudapi.cn/Mail.Read" },
        { imap: "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send" },
        { imap: "https://outlook.office365.com/.default offline_access" },
        { gmail: "https://mail.google.com/ https://www.googleapis.com/auth/gmail.modify" },
      ]
    ) assert.deepStrictEqual(taken({ scopes }).scopes, scopes)
    for (
      const [channel, scopes, expected] of [
        ["graph", " ", /separated by blanks/],
        ["graph", 'Mail.Read "CANARY"', /separated by blanks/],
        ["graph", "x ".repeat(1_001), /at most 2000 characters/],
        ["graph", "Mail.Read https://outlook.office.com/SMTP.Send", /of one resource/],
        ["imap", "https://outlook.office.com/SMTP.Send https://outlook.office365.com/.default", /of one resource/],
        ["graph", "offline_access", /Microsoft Graph/],
        ["graph", "https://outlook.office.com/IMAP.AccessAsUser.All", /Microsoft Graph/],
        ["imap", "IMAP.AccessAsUser.All", /Outlook/],
        ["imap", "https://graph.microsoft.com/Mail.Read", /Outlook/],
        ["graph", "https://graph.microsoft.com/.default Mail.Read", /\.default alone/],
      ] as const
    ) {
      const { field, message } = refused({ scopes: { [channel]: scopes } })
      assert.strictEqual(field, `scopes.${channel}`, scopes)
      assert.match(message, expected)
      assert.notInclude(message, "CANARY")
    }
  })

  it("are a secret and its end", () => {
    const secretExpiresAt = DateTime.makeUnsafe("2027-01-31T00:00:00Z")
    const change = taken({ secret: Redacted.make(" CANARY\n"), secretExpiresAt })
    assert.strictEqual(change.secret && Redacted.value(change.secret), "CANARY")
    assert.strictEqual(change.secretExpiresAt, secretExpiresAt)
    assert.strictEqual(refused({ secretExpiresAt: DateTime.makeUnsafe(8.64e15) }).field, "secretExpiresAt")
  })
})

describe("A change of an app", () => {
  const microsoft: Held = { provider: "microsoft", hasSecret: false, hasCertificate: false }
  const google: Held = { ...microsoft, provider: "google" }
  const withSecret: Held = { ...microsoft, hasSecret: true }
  const withCertificate: Held = { ...microsoft, hasCertificate: true }
  const secret = Redacted.make("CANARY")
  const secretExpiresAt = DateTime.makeUnsafe("2027-01-31T00:00:00Z")
  const certificate = { certificate: "", thumbprint: "", expiresAt: secretExpiresAt, privateKey: secret }
  const serviceAccount = { email: "", privateKey: secret }

  it("is made where it goes together with what stays", () => {
    const cases: ReadonlyArray<readonly [Held, AppChange]> = [
      [microsoft, { authority: "https://login.example", registration: "spa", scopes: { graph: "", imap: "" } }],
      [google, { registration: "testing", scopes: { gmail: "", graph: null }, serviceAccount, authority: null }],
      [google, { secret, secretExpiresAt, serviceAccount, certificate: null }],
      [microsoft, { certificate }],
      [withSecret, { secret, secretExpiresAt: null }],
      [withSecret, { secretExpiresAt }],
      [withSecret, { certificate, secret: null, secretExpiresAt: null }],
      [withCertificate, { certificate }],
      [withCertificate, { secret, secretExpiresAt, certificate: null }],
    ]
    for (const [app, change] of cases) assert.isUndefined(faultOfChange(app, change), JSON.stringify(change))
  })

  it("is refused with the field at fault where it does not", () => {
    const cases: ReadonlyArray<readonly [Held, AppChange, string]> = [
      [google, { authority: "https://login.example" }, "authority"],
      [google, { certificate }, "certificate"],
      [microsoft, { serviceAccount }, "serviceAccountKey"],
      [google, { scopes: { imap: "x" } }, "scopes.imap"],
      [microsoft, { scopes: { gmail: "x" } }, "scopes.gmail"],
      [google, { registration: "spa" }, "registration"],
      [microsoft, { registration: "testing" }, "registration"],
      [microsoft, { secret, certificate }, "certificate"],
      [withSecret, { certificate }, "certificate"],
      [withCertificate, { secret }, "secret"],
      [microsoft, { secretExpiresAt }, "secretExpiresAt"],
      [withSecret, { secret: null, secretExpiresAt }, "secretExpiresAt"],
      [withCertificate, { secretExpiresAt }, "secretExpiresAt"],
    ]
    for (const [app, change, field] of cases) {
      const fault = faultOfChange(app, change)
      assert.strictEqual(fault?.field, field)
      assert.match(fault?.message ?? "", /^Expected /)
    }
  })

  it("concerns redemptions where it is of what they send", () => {
    for (const change of [{ authority: null }, { scopes: {} }, { secret }, { certificate: null }, { serviceAccount }]) {
      assert.isTrue(concernsRedemption(change))
    }
    assert.isFalse(concernsRedemption({ redirectUri: null, registration: "spa", secretExpiresAt }))
  })

  it("leaves the scopes of other channels as they are", () => {
    const before = { graph: "Mail.Read", imap: "x" }
    assert.deepStrictEqual(mergeScopes(before, undefined), before)
    assert.deepStrictEqual(mergeScopes(before, { imap: null, gmail: "y" }), { graph: "Mail.Read", gmail: "y" })
    assert.deepStrictEqual(mergeScopes(before, null), {})
  })
})
