/** Grants of whole tenants and shared mailboxes: one grant, many accounts. */
import { assert } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Grant, MailboxOutcome, TenantMailbox } from "../../../src/domain/Grant.ts"
import { newId } from "../../../src/domain/Ids.ts"
import { Event } from "../../../src/domain/Event.ts"
import { Run } from "../../../src/domain/Run.ts"
import { Account } from "../../../src/domain/Account.ts"
import { Database } from "../../../src/storage/Database.ts"
import { onDatabases } from "../../support/databases.ts"
import { Provider } from "../../support/simulator.ts"
import { accountOf, address, api, newApp, newSession, service, sessionOf, signingIn } from "./stack.ts"

const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

const taken = <S extends Schema.Top & { readonly DecodingServices: never }>(
  schema: S,
  status: number,
  path: string,
  json?: unknown,
  method?: string,
) =>
  Effect.map(api(path, json, method), (reply) => {
    assert.strictEqual(reply.status, status, reply.text)
    return Schema.decodeUnknownSync(Schema.toCodecJson(schema))(JSON.parse(reply.text))
  })

const refused = (status: number, code: string, path: string, json?: unknown, method?: string) =>
  Effect.map(api(path, json, method), (reply) => {
    assert.strictEqual(reply.status, status, reply.text)
    assert.strictEqual(JSON.parse(reply.text).code, code)
  })

/** Google's accounts come after Microsoft's. */
const gmail = (n: number): string => `sim${String(n).padStart(5, "0")}@gmail.sim.example`

/** The run once it has ended. */
const ended = Effect.fnUntraced(function* (path: string, json: unknown) {
  let run = yield* taken(Run, 202, path, json)
  while (run.state === "queued" || run.state === "running") {
    yield* Effect.sleep("50 millis")
    run = yield* taken(Run, 200, `/v1/runs/${run.id}`)
  }
  return run
})

/** What was told of an account last. */
const toldOf = (id: string) =>
  Effect.map(taken(pageOf(Event), 200, `/v1/events?subject=${id}`), ({ items }) => items[0]!)

/** An app that an administrator of the tenant of the first account has consented to. */
const consentedApp = Effect.gen(function* () {
  const { simulator } = yield* Provider
  const tenant = simulator.account(address(1)).tenant ?? ""
  const app = yield* newApp({}, { consentedTenants: [tenant] })
  return { app, tenant, requests: () => simulator.counters().tokenRequests[app.clientId] ?? {} }
})

await onDatabases("The grant of a tenant", service({ simulator: { accounts: 1_000, messages: 1 } }), (it) => {
  it.effect(
    "serves a thousand accounts with one token request an hour",
    () =>
      Effect.gen(function* () {
        const { app, requests, tenant } = yield* consentedApp
        const grant = yield* taken(Grant, 201, "/v1/grants", { appId: app.id, tenant })
        assert.deepInclude(grant, { kind: "client_credentials", tenant, accounts: 0, nextRefreshAt: null })
        assert.strictEqual((yield* taken(Grant, 201, "/v1/grants", { appId: app.id, tenant })).id, grant.id)
        const path = `/v1/grants/${grant.id}`

        const first = yield* taken(pageOf(TenantMailbox), 200, `${path}/mailboxes?limit=2`)
        assert.deepStrictEqual(first.items.map(({ email }) => email), [address(1), address(2)])
        const second = yield* taken(pageOf(TenantMailbox), 200, `${path}/mailboxes?limit=2&cursor=${first.nextCursor}`)
        assert.deepStrictEqual(second.items.map(({ email }) => email), [address(3), address(4)])

        const added: Array<MailboxOutcome> = []
        for (let cursor: string | null | undefined = undefined; cursor !== null;) {
          const more: { readonly items: ReadonlyArray<MailboxOutcome>; readonly nextCursor: string | null } =
            yield* taken(
              pageOf(MailboxOutcome),
              200,
              `${path}/accounts`,
              { all: true, tags: ["tenant"], ...(cursor === undefined ? {} : { cursor }) },
            )
          added.push(...more.items)
          cursor = more.nextCursor
        }
        assert.strictEqual(added.filter(({ outcome }) => outcome === "created").length, 1_000)
        const again = yield* taken(pageOf(MailboxOutcome), 200, `${path}/accounts`, {
          mailboxes: [address(7).toUpperCase(), "no address", "nobody@sim.example"],
        })
        assert.deepStrictEqual(again.items.map(({ outcome }) => outcome), ["exists", "failed", "created"])

        const one = yield* accountOf(added[0]?.accountId ?? "")
        assert.deepInclude(one, { access: "app-only", status: "active", tenant, tags: ["tenant"] })
        const tokensOf = (some: ReadonlyArray<MailboxOutcome>) =>
          Effect.forEach(
            some,
            ({ accountId }) => Effect.map(api(`/v1/accounts/${accountId}/access-token`), ({ status }) => status),
            { concurrency: 50 },
          )
        assert.deepStrictEqual([...new Set(yield* tokensOf(added))], [200])
        const synced = yield* ended("/v1/syncs", { accountIds: added.slice(0, 20).map(({ accountId }) => accountId) })
        assert.strictEqual(synced.succeeded, 20)
        assert.strictEqual((yield* accountOf(one.id)).sync.messages, 1)
        assert.deepStrictEqual(requests(), { client_credentials: 1 })

        // Hour after hour: when the token has ended, all who come at once share the next.
        const { sql, tables: t } = yield* Database
        for (const hour of [2, 3, 4]) {
          yield* Effect.orDie(sql`update ${t.access_tokens} set expires_at = now() where grant_id = ${grant.id}`)
          assert.deepStrictEqual([...new Set(yield* tokensOf(added.slice(hour * 100, hour * 100 + 100)))], [200])
          assert.deepStrictEqual(requests(), { client_credentials: hour })
        }

        // Asked for by hand, it is redeemed once more: for all of them together.
        const refreshed = yield* ended("/v1/refreshes", { filter: { tag: "tenant" } })
        assert.strictEqual(refreshed.succeeded, 1_000)
        assert.deepStrictEqual(requests(), { client_credentials: 5 })
        assert.deepInclude(yield* taken(Grant, 200, path), { accounts: 1_001, nextRefreshAt: null })

        // Nobody is at this address: that is told of this account alone.
        const nobody = again.items[2]?.accountId ?? ""
        assert.strictEqual((yield* ended("/v1/syncs", { accountIds: [nobody] })).failed, 1)
        const lost = yield* accountOf(nobody)
        assert.match(lost.sync.lastError?.message ?? "", /finds no mailbox/)
        assert.strictEqual(lost.status, "active")

        yield* refused(409, "grant_in_use", path, undefined, "DELETE")
      }),
    120_000,
  )

  it.effect("waits for an administrator, and goes on by itself once they have consented", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const tenant = simulator.account(address(1)).tenant ?? ""
      const app = yield* newApp({}, { consentedTenants: [] })
      const grant = yield* taken(Grant, 201, "/v1/grants", { appId: app.id, tenant })
      yield* refused(409, "consent_required", `/v1/grants/${grant.id}/mailboxes`)
      const { items } = yield* taken(pageOf(MailboxOutcome), 200, `/v1/grants/${grant.id}/accounts`, {
        mailboxes: ["late@sim.example"],
      })
      const id = items[0]?.accountId ?? ""
      assert.strictEqual((yield* accountOf(id)).status, "pending")
      assert.strictEqual((yield* ended("/v1/refreshes", { accountIds: [id] })).failed, 1)
      const waiting = yield* accountOf(id)
      assert.deepInclude(waiting, { status: "needs_reauth" })
      assert.match(waiting.statusReason ?? "", /administrator/)
      assert.isNotNull(waiting.token.nextRefreshAt)
      const told = yield* toldOf(id)
      assert.match(told.message, /^late@sim\.example waits for an administrator: /)
      assert.strictEqual(told.reconnectUrl, waiting.reconnectUrl)
      assert.isString(waiting.reconnectUrl)
      simulator.registerApp({ clientId: app.clientId, consentedTenants: [tenant] })
      assert.strictEqual((yield* ended("/v1/refreshes", { accountIds: [id] })).succeeded, 1)
      const cured = yield* accountOf(id)
      assert.strictEqual(cured.status, "active")
      assert.isNull(cured.token.nextRefreshAt)

      // A warm one is due before its access token ends, and one that is warm no more rests again.
      const policy = (refreshPolicy: unknown) => taken(Account, 200, `/v1/accounts/${id}`, { refreshPolicy }, "PATCH")
      assert.isNotNull((yield* policy("warm")).token.nextRefreshAt)
      assert.isNull((yield* policy(null)).token.nextRefreshAt)

      assert.strictEqual((yield* api(`/v1/accounts/${id}`, undefined, "DELETE")).status, 204)
      assert.strictEqual((yield* taken(Grant, 200, `/v1/grants/${grant.id}`)).accounts, 0)
      assert.strictEqual((yield* api(`/v1/grants/${grant.id}`, undefined, "DELETE")).status, 204)
      yield* refused(404, "not_found", `/v1/grants/${grant.id}`)
    }))

  it.effect("refuses what cannot be, and says what was expected", () =>
    Effect.gen(function* () {
      const { app, tenant } = yield* consentedApp
      const bare = yield* newApp({ secret: undefined })
      const google = yield* newApp({ provider: "google", clientId: `${newId()}.apps.googleusercontent.com` })
      yield* refused(422, "app_not_found", "/v1/grants", { appId: newId(), tenant })
      const { text } = yield* api("/v1/grants", { appId: app.id, tenant: "common" })
      assert.deepInclude(JSON.parse(text), {
        code: "invalid_tenant",
        issues: [{ in: "body", field: "tenant", message: "Expected the id of one tenant, or a domain of it" }],
      })
      yield* refused(422, "app_is_public", "/v1/grants", { appId: bare.id, tenant })
      yield* refused(422, "wrong_provider", "/v1/grants", { appId: google.id, tenant })
      yield* refused(422, "wrong_provider", "/v1/grants", { appId: app.id, mailbox: address(1) })
      yield* refused(422, "app_has_no_key", "/v1/grants", { appId: google.id, mailbox: address(1) })
      for (const several of ["common", "organizations", "", "a/b"]) {
        yield* refused(422, "invalid_tenant", "/v1/grants", { appId: app.id, tenant: several })
      }
      for (const body of [{}, { tenant, mailbox: address(1) }, { tenant, tags: ["x"] }]) {
        yield* refused(422, "invalid_body", "/v1/grants", { appId: app.id, ...body })
      }
      const grant = yield* taken(Grant, 201, "/v1/grants", { appId: app.id, tenant })
      const path = `/v1/grants/${grant.id}`
      for (
        const body of [{}, { mailboxes: [] }, { all: true, mailboxes: [address(1)] }, {
          mailboxes: ["a@b.example"],
          cursor: "x",
        }, {
          all: false,
        }, { mailboxes: ["a@b.example"], channel: "gmail" }]
      ) {
        yield* refused(422, "invalid_body", `${path}/accounts`, body)
      }
      for (const cursor of ["x", btoa(JSON.stringify(["https://elsewhere.example/users?"]))]) {
        yield* refused(400, "invalid_cursor", `${path}/mailboxes?cursor=${encodeURIComponent(cursor)}`)
      }
      for (const id of [newId(), "nothing"]) {
        yield* refused(404, "not_found", `/v1/grants/${id}`)
        yield* refused(404, "not_found", `/v1/grants/${id}`, undefined, "DELETE")
        yield* refused(404, "not_found", `/v1/grants/${id}/mailboxes`)
        yield* refused(404, "not_found", `/v1/grants/${id}/accounts`, { all: true })
      }
      const listed = yield* taken(pageOf(Grant), 200, `/v1/grants?kind=client_credentials&appId=${app.id}`)
      assert.deepStrictEqual(listed.items.map(({ id }) => id), [grant.id])
    }))
})

/** Registers a service account with what an administrator delegated to it, and answers with its key file. */
const keyOf = Effect.fnUntraced(function* (email: string, scopes: ReadonlyArray<string>) {
  const { origin, simulator } = yield* Provider
  const response = yield* Effect.promise(() =>
    simulator.handler(
      new Request(`${origin}/_simulator/service-accounts`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ email, scopes }),
      }),
    )
  )
  return JSON.parse(yield* Effect.promise(() => response.text())).keyFile as string
})

await onDatabases(
  "The grant of a service account",
  service({ simulator: { accounts: 6, googleAccounts: 5 } }),
  (it) => {
    it.effect("gives access tokens for the mailboxes that it may stand in for", () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const key = yield* keyOf("robot@project.iam.gserviceaccount.com", ["https://mail.google.com/"])
        const clientId = `${newId()}.apps.googleusercontent.com`
        const made = yield* api("/v1/apps", { provider: "google", clientId, serviceAccountKey: key })
        assert.strictEqual(made.status, 201, made.text)
        const appId: string = JSON.parse(made.text).id
        const mailbox = simulator.account(gmail(2)).email
        const grant = yield* taken(Grant, 201, "/v1/grants", { appId, mailbox, tags: ["robot"] })
        assert.deepInclude(grant, { kind: "service_account", subject: mailbox, accounts: 1 })
        assert.strictEqual((yield* taken(Grant, 201, "/v1/grants", { appId, mailbox })).id, grant.id)
        const account = (yield* taken(pageOf(Account), 200, "/v1/accounts?tag=robot")).items[0]
        assert.deepInclude(account, { email: mailbox, access: "service-account", status: "pending", channel: "gmail" })
        const token = yield* api(`/v1/accounts/${account?.id}/access-token`)
        assert.strictEqual(token.status, 200, token.text)
        assert.strictEqual((yield* accountOf(account?.id ?? "")).status, "active")

        const stranger = yield* taken(Grant, 201, "/v1/grants", { appId, mailbox: "nobody@gmail.example" })
        const lost = (yield* taken(pageOf(Account), 200, "/v1/accounts?search=nobody")).items[0]
        assert.strictEqual(lost?.grantId, stranger.id)
        const answer = yield* api(`/v1/accounts/${lost?.id}/access-token`)
        assert.strictEqual(JSON.parse(answer.text).code, "account_blocked", answer.text)

        // Nobody can sign in to it: an administrator has to act elsewhere.
        const bareApp = yield* api("/v1/apps", {
          provider: "google",
          clientId: `${newId()}.apps.googleusercontent.com`,
          serviceAccountKey: yield* keyOf("bare@project.iam.gserviceaccount.com", []),
        })
        const other = simulator.account(gmail(3)).email
        const barred = yield* taken(Grant, 201, "/v1/grants", { appId: JSON.parse(bareApp.text).id, mailbox: other })
        const waiting = (yield* taken(pageOf(Account), 200, `/v1/accounts?search=${other}`)).items[0]
        assert.strictEqual(waiting?.grantId, barred.id)
        yield* api(`/v1/accounts/${waiting?.id}/access-token`)
        assert.strictEqual((yield* accountOf(waiting?.id ?? "")).status, "needs_reauth")
        const told = yield* toldOf(waiting?.id ?? "")
        assert.include(told.message, `${other} waits for an administrator: `)
        assert.notProperty(told, "reconnectUrl")
        yield* refused(422, "grant_of_one_mailbox", `/v1/grants/${grant.id}/accounts`, { mailboxes: [mailbox] })
      }))
  },
)

await onDatabases("The grant of a user", service({ simulator: { accounts: 3, messages: 1 } }), (it) => {
  it.effect("opens shared mailboxes by the right of whoever signed in", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const app = yield* newApp({ scopes: { graph: "Mail.Read Mail.Read.Shared" } })
      const session = yield* newSession({ appId: app.id, expectedEmail: address(1) })
      yield* signingIn(session.url ?? "", address(1))
      const owner = yield* accountOf((yield* sessionOf(session.id)).connectedAccountId ?? "")
      const path = `/v1/grants/${owner.grantId}`
      yield* refused(422, "grant_is_delegated", `${path}/mailboxes`)
      yield* refused(422, "grant_is_delegated", `${path}/accounts`, { all: true })

      const info = address(2)
      const { items } = yield* taken(pageOf(MailboxOutcome), 200, `${path}/accounts`, { mailboxes: [info] })
      const shared = yield* accountOf(items[0]?.accountId ?? "")
      assert.deepInclude(shared, { access: "shared", status: "active", grantId: owner.grantId })
      assert.strictEqual((yield* ended("/v1/syncs", { accountIds: [shared.id] })).failed, 1)
      const barred = yield* accountOf(shared.id)
      assert.strictEqual(barred.status, "active")
      assert.match(barred.sync.lastError?.message ?? "", /full access|not shared/)
      simulator.share(info, address(1), true)
      assert.strictEqual((yield* ended("/v1/syncs", { accountIds: [shared.id, owner.id] })).succeeded, 2)
      assert.strictEqual((yield* accountOf(shared.id)).sync.messages, 1)

      // It has no token that an import could replace.
      const row = yield* taken(Run, 202, "/v1/imports?onDuplicate=update&verify=false", [
        { email: info, clientId: app.clientId, refreshToken: "another-token" },
      ])
      let run = row
      while (run.state !== "completed") run = yield* taken(Run, 200, `/v1/runs/${run.id}`)
      const { text } = yield* api(`/v1/runs/${run.id}/items`)
      assert.strictEqual(JSON.parse(text).items[0].error.code, "account_has_no_token", text)
    }))
})
