/** Signing in from the link to the account, at a provider that runs here. */
import { assert } from "@effect/vitest"
import { Effect, Fiber, Schedule } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { Database } from "../../../src/storage/Database.ts"
import { Sweeps } from "../../../src/storage/Sweeps.ts"
import { onDatabases } from "../../support/databases.ts"
import { Provider, serve } from "../../support/simulator.ts"
import {
  accountOf,
  address,
  answering,
  api,
  callback,
  departing,
  locationOf,
  logged,
  newApp,
  newBrowser,
  newSession,
  type Reply,
  Service,
  service,
  sessionOf,
  signingIn,
  withClaims,
} from "./stack.ts"

/** Waits for a run to end. */
const settled = Effect.fnUntraced(function* (started: Reply) {
  const { id } = JSON.parse(started.text)
  while (true) {
    const { state } = JSON.parse((yield* api(`/v1/runs/${id}`)).text)
    if (state !== "queued" && state !== "running") return state
    yield* Effect.sleep("20 millis")
  }
})

const synced = (accountId: string) => Effect.flatMap(api("/v1/syncs", { accountIds: [accountId] }), settled)

await onDatabases("Sign-in", service(), (it) => {
  it.effect("makes an account of who signs in", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const session = yield* newSession({ appId: app.id, tags: ["new"], expectedEmail: address(1).toUpperCase() })
      assert.deepInclude(session, { kind: "sign_in", state: "open", appId: app.id, tags: ["new"] })
      const url = session.url ?? ""
      assert.match(url, /^https:\/\/mailfleet\.test\/connect\/[\w-]{43}$/)
      assert.isUndefined((yield* sessionOf(session.id)).url)

      const browser = yield* newBrowser()
      for (let n = 0; n < 3; n++) {
        const page = yield* browser.go(url)
        assert.strictEqual(page.status, 200)
        assert.include(page.text, address(1).toUpperCase())
      }
      assert.strictEqual((yield* sessionOf(session.id)).state, "open", "looking spends nothing")

      const page = yield* signingIn(url, address(1), browser)
      assert.strictEqual(page.status, 200, page.text)
      assert.include(page.text, address(1))
      const ended = yield* sessionOf(session.id)
      assert.strictEqual(ended.state, "connected")
      const account = yield* accountOf(ended.connectedAccountId ?? "")
      assert.deepInclude(account, {
        email: address(1),
        provider: "microsoft",
        channel: "graph",
        status: "active",
        clientId: app.clientId,
        grantId: ended.grantId,
        tags: ["new"],
        access: "own",
      })
      assert.strictEqual(account.token.version, 1)
      assert.isNotNull(account.token.refreshedAt)
      assert.isNotNull(account.sync.nextSyncAt)
      assert.strictEqual(browser.cookies.size, 0, "the browser keeps nothing")

      const token = yield* api(`/v1/accounts/${account.id}/access-token`)
      assert.strictEqual(token.status, 200, token.text)
      const { origin } = yield* Provider
      const me = yield* Effect.promise(async () =>
        (await fetch(`${origin}/v1.0/me`, {
          headers: { authorization: `Bearer ${JSON.parse(token.text).accessToken}` },
        })).json()
      )
      assert.strictEqual(me.mail, address(1))
      const refreshes = yield* api("/v1/refreshes", { accountIds: [account.id] })
      assert.strictEqual(refreshes.status, 202)

      const link = url.slice(url.lastIndexOf("/") + 1)
      for (const line of yield* logged) assert.notInclude(line, link)
    }))

  it.effect("revives an account with its id, its cursors and its mail", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { simulator } = yield* Provider
      const who = address(2)
      const app = yield* newApp()
      const first = yield* newSession({ appId: app.id, tags: ["one"] })
      yield* signingIn(first.url ?? "", who)
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      yield* synced(id)
      const folders = () =>
        Effect.orDie(sql<{ id: string; cursor: string | null }>`select id, cursor from ${t.folders}
          where account_id = ${id} order by id`)
      const messages = () =>
        Effect.orDie(sql`select id, remote_id from ${t.messages} where account_id = ${id} order by id`)
      const before = { account: yield* accountOf(id), folders: yield* folders(), messages: yield* messages() }
      assert.isAbove(before.folders.length, 0)
      assert.isAbove(before.messages.length, 0)

      simulator.revoke(who)
      yield* settled(yield* api("/v1/refreshes", { accountIds: [id] }))
      const dead = yield* accountOf(id)
      assert.strictEqual(dead.status, "needs_reauth")
      const link = dead.reconnectUrl ?? ""
      const browser = yield* newBrowser()
      const page = yield* browser.go(link)
      assert.include(page.text, who)
      // With another app, and a tag more: by the lasting link there is neither.
      const other = yield* newApp()
      const again = yield* newSession({ appId: other.id, accountId: id, tags: ["two", "one"] })
      yield* signingIn(again.url ?? "", who)
      const alive = yield* accountOf(id)
      assert.deepInclude(alive, {
        id,
        grantId: before.account.grantId,
        status: "active",
        clientId: other.clientId,
        tags: ["one", "two"],
      })
      assert.isAbove(alive.token.version, dead.token.version)
      assert.isUndefined(alive.token.lastError)
      assert.deepStrictEqual(yield* folders(), before.folders)
      assert.deepStrictEqual(yield* messages(), before.messages)

      // By the lasting link, and without any mention of the account.
      simulator.revoke(who)
      yield* settled(yield* api("/v1/refreshes", { accountIds: [id] }))
      assert.strictEqual((yield* accountOf(id)).status, "needs_reauth")
      yield* signingIn(link, who)
      assert.strictEqual((yield* accountOf(id)).status, "active")
      const unnamed = yield* newSession({ appId: app.id })
      yield* signingIn(unnamed.url ?? "", who)
      assert.strictEqual((yield* sessionOf(unnamed.id)).connectedAccountId, id)
      yield* synced(id)
      assert.deepStrictEqual(yield* messages(), before.messages)

      const changes = JSON.parse((yield* api(`/v1/changes?limit=500`)).text).items
        .filter((change: { accountId: string; kind: string }) =>
          change.accountId === id && change.kind === "account.status"
        )
        .map(({ fields }: { fields: ReadonlyArray<string> }) => fields.join(" "))
      assert.deepStrictEqual(changes, [
        "pending active",
        "active needs_reauth",
        "needs_reauth active",
        "active needs_reauth",
        "needs_reauth active",
      ])
      const hashes = yield* Effect.orDie(
        sql`select 1 from ${t.grant_tokens} where grant_id = ${before.account.grantId}`,
      )
      assert.isAtLeast(hashes.length, 3)
      const { items } = JSON.parse((yield* api(`/v1/events?limit=100`)).text)
      const told = items.filter(({ subject }: { subject: string }) => subject === id)
        .map(({ kind }: { kind: string }) => kind)
      assert.deepStrictEqual(told, [
        "account.recovered",
        "account.needs_reauth",
        "account.recovered",
        "account.needs_reauth",
      ])
    }))

  it.effect("refuses another person for an account, and leaves it as it is", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(3))
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      const before = yield* accountOf(id)
      const session = yield* newSession({ appId: app.id, accountId: id })
      const page = yield* signingIn(session.url ?? "", address(4))
      assert.strictEqual(page.status, 403)
      for (const who of [address(3), address(4)]) assert.include(page.text, who)
      assert.strictEqual((yield* sessionOf(session.id)).error?.code, "wrong_person")
      assert.deepStrictEqual(yield* accountOf(id), before)
      assert.strictEqual(JSON.parse((yield* api(`/v1/accounts?search=${address(4)}`)).text).items.length, 0)
    }))

  it.effect("leaves an account that was switched off as it is, but for its token", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(5))
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      yield* api(`/v1/accounts/${id}`, { status: "disabled" }, "PATCH")
      const session = yield* newSession({ appId: app.id, accountId: id, returnUrl: "https://good.example/" })
      const page = yield* signingIn(session.url ?? "", address(5))
      assert.strictEqual(page.status, 200)
      assert.include(page.text, "switched this mailbox off")
      assert.strictEqual((yield* sessionOf(session.id)).state, "connected")
      const account = yield* accountOf(id)
      assert.deepInclude(account, { status: "disabled" })
      assert.deepInclude(account.token, { version: 2, nextRefreshAt: null })
    }))

  it.effect("says why it came to nothing", () =>
    Effect.gen(function* () {
      const browser = yield* newBrowser()
      const refusal = Effect.fnUntraced(
        function* (request: Record<string, unknown>, end: (url: string) => Effect.Effect<Reply>) {
          const session = yield* newSession(request)
          const page = yield* end(yield* departing(browser, session.url ?? ""))
          return { page, session: yield* sessionOf(session.id) }
        },
      )
      const cancel = (url: string) =>
        Effect.flatMap(browser.go(url), (page) =>
          Effect.flatMap(browser.submit(url, page, { decision: "cancel" }), (answer) =>
            browser.go(locationOf(answer))))
      const sign = (url: string) =>
        Effect.flatMap(answering(browser, url, address(6)), (answer) => browser.go(answer))

      const app = yield* newApp()
      const denied = yield* refusal({ appId: app.id }, cancel)
      assert.strictEqual(denied.page.status, 403)
      assert.strictEqual(denied.session.error?.code, "access_denied")
      const sent = yield* refusal({ appId: app.id, returnUrl: "https://good.example/" }, cancel)
      assert.strictEqual(
        locationOf(sent.page),
        `https://good.example/?connectSession=${sent.session.id}&state=refused`,
      )

      const badSecret = yield* newApp({ secret: "another" })
      const wrong = yield* refusal({ appId: badSecret.id }, sign)
      assert.strictEqual(wrong.session.error?.code, "app_misconfigured")
      assert.include(wrong.session.error?.message ?? "", "AADSTS7000215")
      assert.notInclude(wrong.page.text, "AADSTS")

      const withoutMail = yield* refusal({ appId: app.id }, (url) => {
        const less = new URL(url)
        less.searchParams.set("scope", "openid profile email offline_access User.Read")
        return sign(less.href)
      })
      assert.include(["permission_missing", "consent_required"], withoutMail.session.error?.code)
      assert.strictEqual(withoutMail.page.status, 403)
      assert.strictEqual(JSON.parse((yield* api(`/v1/accounts?search=${address(6)}`)).text).items.length, 0)
    }))

  it.effect("reads IMAP by a token of its own, and personal accounts as well", () =>
    Effect.gen(function* () {
      const app = yield* newApp({ scopes: { graph: "Mail.ReadWrite" } })
      const session = yield* newSession({ appId: app.id, channel: "imap" })
      yield* signingIn(session.url ?? "", address(7))
      const account = yield* accountOf((yield* sessionOf(session.id)).connectedAccountId ?? "")
      assert.deepInclude(account, { channel: "imap", email: address(7), status: "active" })
      const named = yield* newSession({ appId: app.id, expectedEmail: address(8) })
      const url = new URL(yield* departing(yield* newBrowser(), named.url ?? ""))
      assert.strictEqual(url.searchParams.get("scope"), "Mail.ReadWrite offline_access openid profile email")
      assert.strictEqual(url.searchParams.get("login_hint"), address(8))
      assert.isNull(url.searchParams.get("prompt"))
    }))

  it.effect("refuses what cannot become a sign-in", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const google = JSON.parse(
        (yield* api("/v1/apps", { provider: "google", clientId: `${newId()}.apps.googleusercontent.com` })).text,
      )
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(9))
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      const publicApp = JSON.parse((yield* api("/v1/apps", { provider: "microsoft", clientId: newId() })).text)
      const blind = yield* newApp({ scopes: { graph: "User.Read" } })
      const cases = [
        [{ appId: newId() }, "appId"],
        [{ appId: "nothing" }, "appId"],
        [{ appId: blind.id }, "appId"],
        [{ appId: publicApp.id, kind: "admin_consent" }, "appId"],
        [{ appId: google.id, kind: "admin_consent" }, "kind"],
        [{ appId: app.id, kind: "admin_consent", accountId: id }, "kind"],
        [{ appId: app.id, kind: "other" }, "kind"],
        [{ appId: app.id, accountId: newId() }, "accountId"],
        [{ appId: google.id, accountId: id }, "accountId"],
        [{ appId: app.id, expectedEmail: "nobody" }, "expectedEmail"],
        [{ appId: app.id, channel: "gmail" }, "channel"],
        [{ appId: google.id, channel: "graph" }, "channel"],
        [{ appId: app.id, tags: ["a,b"] }, "tags.0"],
        [{ appId: app.id, redirectUri: "https://evil.example" }, "redirectUri"],
      ] as const
      for (const [request, field] of cases) {
        const answer = yield* api("/v1/connect-sessions", request)
        assert.strictEqual(answer.status, 422, JSON.stringify(request))
        assert.strictEqual(JSON.parse(answer.text).issues[0].field, field, JSON.stringify(request))
      }
      assert.strictEqual((yield* api(`/v1/connect-sessions/${newId()}`)).status, 404)
      assert.strictEqual((yield* api("/v1/connect-sessions/nothing")).status, 404)
      for (const [id, call] of [newId(), "nothing"].flatMap((id) => [[id, "code"], [id, "poll"]])) {
        assert.strictEqual((yield* api(`/v1/connect-sessions/${id}/device-${call}`, {})).status, 404, `${id} ${call}`)
      }
    }))

  it.effect("an administrator consents for a tenant", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const app = yield* newApp()
      simulator.registerApp({ clientId: app.clientId, consentedTenants: [] })
      const decide = Effect.fnUntraced(function* (decision: string) {
        const session = yield* newSession({ appId: app.id, kind: "admin_consent" })
        const browser = yield* newBrowser()
        const url = yield* departing(browser, session.url ?? "")
        assert.include(url, "/organizations/v2.0/adminconsent?")
        const answer = yield* browser.go(url, { method: "POST", body: new URLSearchParams({ decision }) })
        let page = yield* browser.go(locationOf(answer))
        // Who consented signs in to the tenant.
        if (page.status === 303) page = yield* browser.go(yield* answering(browser, locationOf(page), address(1)))
        return { page, session: yield* sessionOf(session.id) }
      })
      const declined = yield* decide("cancel")
      assert.strictEqual(declined.page.status, 403)
      assert.strictEqual(declined.session.error?.code, "access_denied")
      const accepted = yield* decide("accept")
      assert.strictEqual(accepted.page.status, 200, accepted.page.text)
      assert.strictEqual(accepted.session.state, "connected")
      assert.match(accepted.session.grantId ?? "", /^[0-9a-f-]{36}$/)
      const again = yield* decide("accept")
      assert.strictEqual(again.session.grantId, accepted.session.grantId)

      const forged = yield* newSession({ appId: app.id, kind: "admin_consent" })
      const browser = yield* newBrowser()
      const state = new URL(yield* departing(browser, forged.url ?? "")).searchParams.get("state") ?? ""
      const fields = { state, admin_consent: "True", tenant: "../common" }
      assert.strictEqual((yield* browser.go(`${callback}?${new URLSearchParams(fields)}`)).status, 403)
      assert.strictEqual((yield* sessionOf(forged.id)).error?.code, "sign_in_failed")
    }))

  it.effect("a consent that is only claimed is believed of nobody who cannot sign in to the tenant", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const tenant = simulator.account(address(1)).tenant ?? ""
      const victim = "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
      const app = yield* newApp({}, { consentedTenants: [victim, tenant] })
      const session = yield* newSession({ appId: app.id, kind: "admin_consent" })
      const browser = yield* newBrowser()
      const state = new URL(yield* departing(browser, session.url ?? "")).searchParams.get("state") ?? ""
      const claimed = yield* browser.go(
        `${callback}?${new URLSearchParams({ state, admin_consent: "True", tenant: victim })}`,
      )
      const proof = locationOf(claimed)
      assert.include(proof, `/${victim}/oauth2/v2.0/authorize?`)
      assert.isUndefined((yield* sessionOf(session.id)).grantId)
      // The same, at the tenant of whoever tries.
      const elsewhere = proof.replace(victim, tenant)
      const page = yield* browser.go(yield* answering(browser, elsewhere, address(1)))
      assert.strictEqual(page.status, 403, page.text)
      assert.strictEqual((yield* sessionOf(session.id)).state, "refused")
      assert.notInclude((yield* api(`/v1/grants?appId=${app.id}`)).text, "client_credentials")
    }))

  it.effect("a consent that one administrator was asked for is taken of nobody else", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const tenant = simulator.account(address(1)).tenant ?? ""
      const app = yield* newApp({}, { consentedTenants: [tenant] })
      const consentOf = Effect.fnUntraced(function* (who: string) {
        const session = yield* newSession({
          appId: app.id,
          kind: "admin_consent",
          expectedEmail: address(1).toUpperCase(),
        })
        const browser = yield* newBrowser()
        const state = new URL(yield* departing(browser, session.url ?? "")).searchParams.get("state") ?? ""
        const claimed = yield* browser.go(
          `${callback}?${new URLSearchParams({ state, admin_consent: "True", tenant })}`,
        )
        const page = yield* browser.go(yield* answering(browser, locationOf(claimed), who))
        return { page, session: yield* sessionOf(session.id) }
      })
      const other = yield* consentOf(address(2))
      assert.strictEqual(other.page.status, 403)
      assert.include(other.page.text, address(2))
      assert.strictEqual(other.session.error?.code, "wrong_person")
      assert.strictEqual((yield* consentOf(address(1))).session.state, "connected")
    }))

  it.effect("a guest of a tenant proves no consent of it", () =>
    Effect.scoped(Effect.gen(function* () {
      const { simulator } = yield* Provider
      const tenant = simulator.account(address(1)).tenant ?? ""
      const claim = Effect.fnUntraced(function* (idp: string) {
        const authority = yield* withClaims((claims) => claims["idp"] = idp)
        const app = yield* newApp({ authority }, { consentedTenants: [tenant] })
        const session = yield* newSession({ appId: app.id, kind: "admin_consent" })
        const browser = yield* newBrowser()
        const state = new URL(yield* departing(browser, session.url ?? "")).searchParams.get("state") ?? ""
        const claimed = yield* browser.go(
          `${callback}?${new URLSearchParams({ state, admin_consent: "True", tenant })}`,
        )
        const page = yield* browser.go(yield* answering(browser, locationOf(claimed), address(1)))
        return { page, session: yield* sessionOf(session.id) }
      })
      const guest = yield* claim("https://sts.windows.net/aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee/")
      assert.strictEqual(guest.page.status, 403, guest.page.text)
      assert.strictEqual(guest.session.error?.code, "consent_required")
      assert.isUndefined(guest.session.grantId)
      assert.strictEqual((yield* claim("live.com")).session.state, "refused")
      assert.strictEqual((yield* claim(`https://sts.windows.net/${tenant}/`)).session.state, "connected")
    })))

  it.effect("an account of a tenant is cured by a consent of that tenant alone", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { simulator } = yield* Provider
      const tenant = simulator.account(address(1)).tenant ?? ""
      const app = yield* newApp({}, { consentedTenants: [tenant] })
      const grant = JSON.parse((yield* api("/v1/grants", { appId: app.id, tenant })).text)
      const { items } = JSON.parse(
        (yield* api(`/v1/grants/${grant.id}/accounts`, { mailboxes: ["consent@sim.example"] })).text,
      )
      const id: string = items[0].accountId
      yield* Effect.orDie(sql`update ${t.accounts} set status = 'needs_reauth' where id = ${id}`)
      const another = yield* newApp()
      const refused = yield* api("/v1/connect-sessions", { appId: another.id, kind: "admin_consent", accountId: id })
      assert.strictEqual(refused.status, 422)
      const begin = Effect.fnUntraced(function* () {
        const session = yield* newSession({ appId: app.id, kind: "admin_consent", accountId: id })
        const browser = yield* newBrowser()
        return { session, browser, url: yield* departing(browser, session.url ?? "") }
      })
      const wrong = yield* begin()
      assert.include(wrong.url, `/${tenant}/v2.0/adminconsent?`)
      const state = new URL(wrong.url).searchParams.get("state") ?? ""
      const fields = { state, admin_consent: "True", tenant: newId() }
      assert.strictEqual((yield* wrong.browser.go(`${callback}?${new URLSearchParams(fields)}`)).status, 403)
      assert.strictEqual((yield* sessionOf(wrong.session.id)).error?.code, "issuer_mismatch")
      const right = yield* begin()
      const answer = yield* right.browser.go(right.url, {
        method: "POST",
        body: new URLSearchParams({ decision: "accept" }),
      })
      const onward = locationOf(yield* right.browser.go(locationOf(answer)))
      yield* right.browser.go(yield* answering(right.browser, onward, address(1)))
      assert.strictEqual((yield* sessionOf(right.session.id)).grantId, grant.id)
      assert.isNotNull((yield* accountOf(id)).token.nextRefreshAt)
    }))

  it.effect("goes on to its end where the browser hangs up, and half of it is never stored", () =>
    Effect.scoped(Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { simulator } = yield* Provider
      const { handler } = yield* Service
      let arrived = () => {}
      let release = () => {}
      const asked = new Promise<void>((resolve) => arrived = resolve)
      const gate = new Promise<void>((resolve) => release = resolve)
      const authority = yield* serve(async (request) => {
        if (request.url.endsWith("/token")) {
          arrived()
          await gate
        }
        return simulator.handler(request)
      })
      const app = yield* newApp({ authority })
      const session = yield* newSession({ appId: app.id })
      const browser = yield* newBrowser()
      const answer = yield* answering(browser, yield* departing(browser, session.url ?? ""), address(10))
      const hangUp = new AbortController()
      const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; ")
      handler(new Request(answer, { headers: { cookie }, signal: hangUp.signal })).catch(() => {})
      yield* Effect.promise(() => asked)
      hangUp.abort()
      yield* Effect.sleep("50 millis")
      release()
      yield* Effect.repeat(sessionOf(session.id), {
        until: ({ state }) => state === "connected",
        schedule: Schedule.spaced("20 millis"),
      })

      // The database refuses the last step: as if the process had died there.
      yield* Effect.orDie(
        sql`alter table ${t.accounts} add constraint broken check (email <> ${sql.literal(`'${address(11)}'`)})`,
      )
      const broken = yield* newSession({ appId: app.id })
      const url = yield* departing(browser, broken.url ?? "")
      const code = yield* answering(browser, url, address(11))
      const page = yield* browser.go(code)
      assert.strictEqual(page.status, 500)
      assert.include(page.text, "The fault is ours")
      assert.notInclude(page.text, "constraint")
      yield* Effect.orDie(sql`alter table ${t.accounts} drop constraint broken`)
      assert.strictEqual((yield* sessionOf(broken.id)).state, "started")
      const grants = yield* Effect.orDie(sql`select 1 from ${t.grants} g where not exists (
        select 1 from ${t.accounts} a where a.grant_id = g.id) and g.kind = 'refresh_token'`)
      assert.strictEqual(grants.length, 0)
      assert.strictEqual((yield* browser.go(code)).status, 410, "the code is not sent again")
      yield* Effect.orDie(sql`update ${t.connect_sessions} set expires_at = now() where id = ${broken.id}`)
      assert.strictEqual((yield* sessionOf(broken.id)).state, "expired")
    })))

  it.effect("whenever the browser hangs up, the sign-in goes on or the answer can be brought again", () =>
    Effect.gen(function* () {
      const { handler } = yield* Service
      const app = yield* newApp()
      for (let millis = 0; millis < 16; millis++) {
        const session = yield* newSession({ appId: app.id })
        const browser = yield* newBrowser()
        const answer = yield* answering(browser, yield* departing(browser, session.url ?? ""), address(14))
        const cookie = [...browser.cookies].map(([name, value]) => `${name}=${value}`).join("; ")
        const hangUp = new AbortController()
        const page = handler(new Request(answer, { headers: { cookie }, signal: hangUp.signal })).catch(() => {})
        yield* Effect.sleep(millis)
        hangUp.abort()
        yield* Effect.promise(() => page)
        assert.include([200, 410], (yield* browser.go(answer)).status)
        yield* Effect.repeat(sessionOf(session.id), {
          until: ({ state }) => state === "connected",
          schedule: Schedule.spaced("20 millis"),
        })
      }
    }))

  it.effect("a passing fault of the database costs nobody the sign-in", () =>
    Effect.gen(function* () {
      const { schema, sql, tables: t } = yield* Database
      // Outside transactions: a sequence counts what is rolled back as well.
      const faults = sql.literal(`${schema}.faults`)
      const fault = sql.literal(`${schema}.fault`)
      yield* Effect.orDie(sql`create sequence ${faults}`)
      yield* Effect.orDie(sql`create function ${fault}() returns trigger language plpgsql as $$ begin
        if nextval('${faults}') <= 2 then raise exception 'a passing fault' using errcode = '40001'; end if;
        return new; end $$`)
      yield* Effect.orDie(
        sql`create trigger fault before insert on ${t.accounts} for each row execute function ${fault}()`,
      )
      const app = yield* newApp()
      const session = yield* newSession({ appId: app.id })
      const page = yield* signingIn(session.url ?? "", address(15))
      yield* Effect.orDie(sql`drop trigger fault on ${t.accounts}`)
      assert.strictEqual(page.status, 200, page.text)
      const { connectedAccountId: id = "" } = yield* sessionOf(session.id)
      assert.deepInclude(yield* accountOf(id), { email: address(15), status: "active" })
    }))

  it.effect("an account that is deleted while its person signs in is not brought back by the link for it", () =>
    Effect.scoped(Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const { simulator } = yield* Provider
      let asked = () => {}
      let release = () => {}
      let isHeld = false
      const isAsked = new Promise<void>((resolve) => asked = resolve)
      const gate = new Promise<void>((resolve) => release = resolve)
      const authority = yield* serve(async (request) => {
        const answer = await simulator.handler(request)
        if (isHeld && request.url.endsWith("/token")) {
          asked()
          await gate
        }
        return answer
      })
      const app = yield* newApp({ authority })
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(16))
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      isHeld = true
      const begin = Effect.fnUntraced(function* (request: Record<string, unknown>) {
        const session = yield* newSession({ appId: app.id, ...request })
        return { session, page: yield* Effect.forkScoped(signingIn(session.url ?? "", address(16))) }
      })
      const bound = yield* begin({ accountId: id })
      const free = yield* begin({})
      yield* Effect.promise(() => isAsked)
      assert.strictEqual((yield* api(`/v1/accounts/${id}`, undefined, "DELETE")).status, 204)
      release()
      const page = yield* Fiber.join(bound.page)
      assert.strictEqual(page.status, 403, page.text)
      assert.include(page.text, "This mailbox was removed")
      // Whoever signs in by a link that names no account has a new one.
      assert.strictEqual((yield* Fiber.join(free.page)).status, 200)
      const made = (yield* sessionOf(free.session.id)).connectedAccountId ?? ""
      assert.notStrictEqual(made, id)
      assert.deepInclude(yield* accountOf(made), { email: address(16), status: "active" })
      const grants = yield* Effect.orDie(sql`select 1 from ${t.grants} g where not exists (
        select 1 from ${t.accounts} a where a.grant_id = g.id) and g.kind = 'refresh_token'`)
      assert.strictEqual(grants.length, 0)
    })))

  it.effect(
    "of several polls of a device one asks the provider",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const { origin, simulator } = yield* Provider
        let asked = 0
        let release = () => {}
        const gate = new Promise<void>((resolve) => release = resolve)
        const authority = yield* serve(async (request) => {
          if (request.url.endsWith("/token")) {
            asked++
            await gate
          }
          return await simulator.handler(request)
        })
        const app = yield* newApp({ authority })
        const session = yield* newSession({ appId: app.id })
        const path = `/v1/connect-sessions/${session.id}`
        const { interval, userCode } = JSON.parse((yield* api(`${path}/device-code`, {})).text)
        const poll = Effect.map(api(`${path}/device-poll`, {}), ({ text }) => JSON.parse(text))
        assert.strictEqual((yield* poll).state, "started")
        assert.strictEqual(asked, 0, "too early")
        yield* Effect.sleep(interval * 1_000)
        const polls = yield* Effect.forEach([1, 2, 3], () => Effect.forkScoped(poll))
        yield* Effect.sleep("300 millis")
        assert.strictEqual(asked, 1)
        const form = new URLSearchParams({ user_code: userCode, login: address(17), decision: "accept" })
        yield* Effect.promise(async () =>
          await (await fetch(`${origin}/devicelogin`, { method: "POST", body: form })).text()
        )
        release()
        const ends = yield* Effect.forEach(polls, Fiber.join)
        assert.deepStrictEqual(ends.map(({ state }) => state).toSorted(), ["connected", "started", "started"])
        assert.strictEqual(asked, 1)
        assert.strictEqual((yield* poll).state, "connected")
        const { sql, tables: t } = yield* Database
        const kept = yield* Effect.orDie(
          sql`select 1 from ${t.connect_sessions} where id = ${session.id} and secret is not null`,
        )
        assert.strictEqual(kept.length, 0)
      })),
    30_000,
  )

  it.effect("two links of one person at the same time make one account", () =>
    Effect.gen(function* () {
      const app = yield* newApp()
      const answers = yield* Effect.forEach([1, 2, 3], () =>
        Effect.gen(function* () {
          const session = yield* newSession({ appId: app.id })
          const browser = yield* newBrowser()
          const answer = yield* answering(browser, yield* departing(browser, session.url ?? ""), address(12))
          return { session, browser, answer }
        }))
      const pages = yield* Effect.forEach(answers, ({ answer, browser }) => browser.go(answer), { concurrency: 3 })
      assert.deepStrictEqual(pages.map(({ status }) => status), [200, 200, 200])
      const ended = yield* Effect.forEach(answers, ({ session }) => sessionOf(session.id))
      assert.strictEqual(new Set(ended.map(({ connectedAccountId }) => connectedAccountId)).size, 1)
      assert.strictEqual((yield* accountOf(ended[0]!.connectedAccountId ?? "")).token.version, 3)
    }))

  it.effect("a redemption of the old token that is under way does not undo it", () =>
    Effect.scoped(Effect.gen(function* () {
      const { simulator } = yield* Provider
      let asked = () => {}
      let release = () => {}
      const isAsked = new Promise<void>((resolve) => asked = resolve)
      const gate = new Promise<void>((resolve) => release = resolve)
      const authority = yield* serve(async (request) => {
        const form = request.url.endsWith("/token") ? await request.clone().text() : ""
        const isFirst = form.includes("grant_type=refresh_token")
        const answer = await simulator.handler(request)
        if (isFirst) {
          asked()
          await gate
        }
        return answer
      })
      const app = yield* newApp({ authority })
      const first = yield* newSession({ appId: app.id })
      yield* signingIn(first.url ?? "", address(13))
      const { connectedAccountId: id = "" } = yield* sessionOf(first.id)
      simulator.revoke(address(13))
      const run = yield* api("/v1/refreshes", { accountIds: [id] })
      yield* Effect.promise(() => isAsked)
      const again = yield* newSession({ appId: app.id, accountId: id })
      assert.strictEqual((yield* signingIn(again.url ?? "", address(13))).status, 200)
      release()
      yield* settled(run)
      const account = yield* accountOf(id)
      assert.strictEqual(account.status, "active")
      assert.isUndefined(account.token.lastError)
    })))

  it.effect("old sessions are swept away", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const app = yield* newApp()
      const old = yield* newSession({ appId: app.id })
      const young = yield* newSession({ appId: app.id })
      yield* Effect.orDie(
        sql`update ${t.connect_sessions} set expires_at = now() - interval '31 days' where id = ${old.id}`,
      )
      yield* (yield* Sweeps).connectSessions
      assert.strictEqual((yield* api(`/v1/connect-sessions/${old.id}`)).status, 404)
      assert.strictEqual((yield* sessionOf(young.id)).state, "open")
    }))
})

await onDatabases("Sign-in of personal accounts", service({ simulator: { personal: 1 } }), (it) => {
  it.effect("makes an account, and one for IMAP", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      for (const [n, channel] of [[1, "graph"], [2, "imap"]] as const) {
        const app = yield* newApp({ tenant: n === 1 ? "common" : "consumers" })
        const session = yield* newSession({ appId: app.id, channel })
        const page = yield* signingIn(session.url ?? "", address(n))
        assert.strictEqual(page.status, 200, page.text)
        const account = yield* accountOf((yield* sessionOf(session.id)).connectedAccountId ?? "")
        assert.deepInclude(account, { email: address(n), channel, status: "active" })
        const rows = yield* Effect.orDie(
          sql<{ subject: string }>`select subject from ${t.grants} where id = ${account.grantId}`,
        )
        assert.match(rows[0]!.subject, /^9188040d-6c67-4c5b-b112-36a304b66dad\./)
      }
    }))
})
