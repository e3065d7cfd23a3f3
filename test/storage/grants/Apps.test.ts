/** Apps in the database: their names, their sealed secrets, and the grants that a new secret may cure. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Option, Redacted, Result } from "effect"
import { Buffer } from "node:buffer"
import type { AppChange, AppName } from "../../../src/domain/App.ts"
import { newId } from "../../../src/domain/Ids.ts"
import { readCertificate } from "../../../src/oauth/AppKeys.ts"
import { GrantStore } from "../../../src/oauth/GrantStore.ts"
import { Vault } from "../../../src/oauth/Vault.ts"
import { appKeyOwner, appOwner } from "../../../src/storage/grants/AppCredentials.ts"
import { Apps } from "../../../src/storage/grants/Apps.ts"
import { Database } from "../../../src/storage/Database.ts"
import { addAccount, fleet } from "../../oauth/fleet.ts"
import { certified, otherCertificate, otherKey } from "../../support/certificates.ts"
import { onDatabases } from "../../support/databases.ts"

const layer = Apps.layer.pipe(Layer.provideMerge(fleet), Layer.orDie)

const google = (clientId: string, secret?: string) => ({
  provider: "google" as const,
  clientId,
  tenant: "",
  ...(secret === undefined ? {} : { secret: Redacted.make(secret) }),
})

const microsoft = (): AppName => ({ provider: "microsoft", clientId: newId(), tenant: "common" })

const keyed = (pem: string) =>
  Result.getOrThrow(readCertificate(Redacted.make(pem), DateTime.makeUnsafe("2026-12-01T00:00:00Z")))

await onDatabases("Apps", layer, (it) => {
  it.effect("a secret is stored sealed, changed and taken away", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const vault = yield* Vault
      const { app, created } = yield* apps.create(google(newId(), "first secret"))
      assert.isTrue(created)
      assert.isTrue(app.hasSecret)
      const sealed = Effect.map(
        sql<{ secret: Uint8Array | null }>`select secret from ${t.apps} where id = ${app.id}`,
        (rows) => rows[0]!.secret,
      )
      const first = (yield* sealed)!
      assert.notInclude(Buffer.from(first).toString("latin1"), "first secret")
      assert.strictEqual(Redacted.value(yield* vault.open(appOwner(app.id), first)), "first secret")

      // Whatever the case in which the id is written: the secret is sealed for the app.
      const changed = Option.getOrThrow(
        yield* apps.patch(app.id.toUpperCase(), { secret: Redacted.make("second secret") }),
      )
      assert.strictEqual(Redacted.value(yield* vault.open(appOwner(app.id), (yield* sealed)!)), "second secret")
      assert.isTrue(changed.updatedAt.epochMilliseconds >= changed.createdAt.epochMilliseconds)
      assert.deepStrictEqual(yield* apps.get(app.id), Option.some(changed))

      assert.isFalse(Option.getOrThrow(yield* apps.patch(app.id, { secret: null })).hasSecret)
      assert.isNull(yield* sealed)
      for (const id of [newId(), "nothing"]) {
        assert.deepStrictEqual(yield* apps.get(id), Option.none())
        assert.deepStrictEqual(yield* apps.patch(id, { secret: null }), Option.none())
      }
    }))

  it.effect("an app that is there is answered with, and left as it is", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const clientId = newId()
      const first = yield* apps.create(google(clientId))
      const again = yield* apps.create(google(clientId, "another"))
      assert.deepStrictEqual(again, { app: first.app, created: false })
      assert.isTrue((yield* apps.create({ ...google(clientId), tenant: "contoso" })).created)
      assert.isTrue((yield* apps.create({ ...google(clientId), provider: "microsoft" })).created)
    }))

  it.effect("the list holds each app once, oldest first, over its pages", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const made: Array<string> = []
      for (let index = 0; index < 7; index++) made.push((yield* apps.create(google(newId()))).app.id)
      const seen: Array<string> = []
      let cursor: string | undefined
      do {
        const page = yield* Effect.orDie(apps.list({ limit: 2, cursor }))
        assert.isAtMost(page.items.length, 2)
        seen.push(...page.items.map(({ id }) => id))
        cursor = page.nextCursor ?? undefined
      } while (cursor !== undefined)
      assert.deepStrictEqual(seen.filter((id) => made.includes(id)), made)
      assert.deepStrictEqual(seen, [...seen].sort())
      assert.strictEqual((yield* Effect.flip(apps.list({ limit: 2, cursor: "x" })))._tag, "InvalidCursor")
    }))

  it.effect("an import makes a public app, or uses the one that is there with its secret", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const store = yield* GrantStore
      const leased = Effect.fnUntraced(function* (clientId: string) {
        const { grantId } = yield* addAccount({ clientId, provider: "google", tenant: "" })
        const [answer] = yield* store.lease([grantId])
        assert(answer?._tag === "Leased")
        return answer.grant.app
      })
      const known = (yield* apps.create(google(newId(), "known"))).app.clientId
      const { secret } = yield* leased(known)
      assert.strictEqual(secret && Redacted.value(secret), "known")
      const unknown = newId()
      assert.notProperty(yield* leased(unknown), "secret")
      const { app, created } = yield* apps.create(google(unknown, "late"))
      assert.isFalse(created)
      yield* apps.patch(app.id, { secret: Redacted.make("late") })
      const later = yield* leased(unknown)
      assert.strictEqual(later.secret && Redacted.value(later.secret), "late")
    }))

  it.effect("a changed app has the grants that waited for it tried within a minute, and no others", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const clientId = newId()
      const { app } = yield* apps.create(google(clientId))
      const grant = Effect.fnUntraced(
        function* (failureClass: string | null, options: { readonly client?: string; readonly rests?: boolean } = {}) {
          const { grantId } = yield* addAccount({
            clientId: options.client ?? clientId,
            provider: "google",
            tenant: "",
          })
          yield* sql`update ${t.grants} set failure_class = ${failureClass}, failures = ${
            failureClass === null ? 0 : 1
          },
            due_at = case when ${options.rests === true}::bool then null else now() - interval '1 minute' end,
            attempt_at = case when ${options.rests === true}::bool then null else now() + interval '1 hour' end
            where id = ${grantId}`
          return grantId
        },
      )
      const waits = [yield* grant("app"), yield* grant("app"), yield* grant(null)]
      const unreadable = yield* grant("unknown")
      yield* sql`update ${t.grants} set failure_code = 'app_secret_unreadable' where id = ${unreadable}`
      waits.push(unreadable)
      const lacking = yield* grant("scope")
      const others = [
        yield* grant("throttled"),
        yield* grant("needs_user"),
        yield* grant("unknown"),
        lacking,
        yield* grant("app", { client: newId() }),
      ]
      const rests = yield* grant("app", { rests: true })
      yield* apps.patch(app.id, { registration: "testing", redirectUri: "https://app.example/" })
      const waiting = yield* sql<{ id: string }>`select id from ${t.grants}
        where attempt_at > now() + interval '50 minutes'`
      assert.includeMembers(waiting.map(({ id }) => id), waits)
      yield* apps.patch(app.id, { secret: Redacted.make("new") })
      const attempts = yield* sql<{ id: string; attempt: number | null; due: number | null }>`select id,
        extract(epoch from attempt_at - now())::float8 as attempt, extract(epoch from due_at - now())::float8 as due
        from ${t.grants}`
      for (const { attempt, due, id } of attempts) {
        if (waits.includes(id)) {
          assert.isAtMost(attempt!, 60)
          assert.isBelow(due!, 0)
        }
        if (others.includes(id)) assert.isAbove(attempt!, 3_000)
        if (id === rests) assert.isNull(attempt)
      }
      // Other scopes may be what those wait for that lack a permission.
      yield* apps.patch(app.id, { scopes: { gmail: "https://mail.google.com/" } })
      const [cured] = yield* sql<{ attempt: number }>`select extract(epoch from attempt_at - now())::float8 as attempt
        from ${t.grants} where id = ${lacking}`
      assert.isAtMost(cured!.attempt, 60)
    }))

  it.effect("all that is known of an app is stored, and only what is given is changed", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const secretExpiresAt = DateTime.makeUnsafe("2027-06-01T12:00:00Z")
      const { app } = yield* apps.create({
        ...microsoft(),
        authority: "https://login.microsoftonline.us",
        redirectUri: "http://localhost:8080/callback",
        scopes: { graph: "Mail.Read", imap: "https://outlook.office.com/IMAP.AccessAsUser.All" },
        registration: "spa",
        secret: Redacted.make("CANARY"),
        secretExpiresAt,
      })
      assert.deepInclude(app, {
        authority: "https://login.microsoftonline.us",
        redirectUri: "http://localhost:8080/callback",
        scopes: { graph: "Mail.Read", imap: "https://outlook.office.com/IMAP.AccessAsUser.All" },
        registration: "spa",
        hasSecret: true,
        secretExpiresAt,
      })
      assert.notProperty(app, "certificate")
      assert.deepStrictEqual(yield* apps.get(app.id), Option.some(app))
      assert.notInclude(JSON.stringify(app), "CANARY")
      const patched = (change: AppChange) =>
        Effect.map(apps.patch(app.id, change), (found) => {
          const { updatedAt: _, ...rest } = Option.getOrThrow(found)
          return rest
        })
      const { updatedAt: _, ...before } = app
      assert.deepStrictEqual(yield* patched({ scopes: { graph: null } }), {
        ...before,
        scopes: { imap: "https://outlook.office.com/IMAP.AccessAsUser.All" },
      })
      assert.deepStrictEqual(yield* patched({ scopes: { graph: "Mail.Read" } }), before)
      const { authority: _a, redirectUri: _r, ...bare } = before
      assert.deepStrictEqual(
        yield* patched({ authority: null, redirectUri: null, scopes: null, registration: "standard" }),
        {
          ...bare,
          scopes: {},
          registration: "standard",
        },
      )
      // Nobody said when the new secret ends.
      assert.notProperty(yield* patched({ secret: Redacted.make("another") }), "secretExpiresAt")
      assert.deepInclude(yield* patched({ secretExpiresAt }), { hasSecret: true, secretExpiresAt })
    }))

  it.effect("a certificate takes the place of a secret; its key is stored sealed, and leased with the grants", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const vault = yield* Vault
      const store = yield* GrantStore
      const name = microsoft()
      const { grantId } = yield* addAccount({ clientId: name.clientId, tenant: "common" })
      const { app: { id } } = yield* apps.create({ ...name, tenant: "common" })
      const certificate = keyed(certified)
      yield* apps.patch(id, { secret: Redacted.make("CANARY") })
      const both = yield* Effect.flip(apps.patch(id, { certificate }))
      assert.deepInclude(both, { _tag: "InvalidApp", field: "certificate" })
      const app = Option.getOrThrow(yield* apps.patch(id, { certificate, secret: null }))
      assert.isFalse(app.hasSecret)
      assert.deepStrictEqual(app.certificate, { thumbprint: certificate.thumbprint, expiresAt: certificate.expiresAt })
      assert.deepInclude(yield* Effect.flip(apps.patch(id, { secret: Redacted.make("CANARY") })), { field: "secret" })
      assert.deepInclude(yield* Effect.flip(apps.patch(id, { secretExpiresAt: certificate.expiresAt })), {
        field: "secretExpiresAt",
      })

      const [row] = yield* sql<{ private_key: Uint8Array; certificate: string }>`select private_key, certificate
        from ${t.apps} where id = ${id}`
      assert.notInclude(Buffer.from(row!.private_key).toString("latin1"), "PRIVATE KEY")
      assert.strictEqual(row!.certificate, certificate.certificate)
      const key = Redacted.value(certificate.privateKey)
      assert.strictEqual(Redacted.value(yield* vault.open(appKeyOwner(id), row!.private_key)), key)

      const [leased] = yield* store.lease([grantId])
      assert(leased?._tag === "Leased")
      assert.notProperty(leased.grant.app, "secret")
      assert.strictEqual(leased.grant.app.certificate?.thumbprint, certificate.thumbprint)
      assert.strictEqual(leased.grant.app.certificate && Redacted.value(leased.grant.app.certificate.privateKey), key)
      yield* store.release(leased.grant)

      // Another one takes its place, key and all.
      const other = keyed(otherCertificate + otherKey)
      yield* apps.patch(id, { certificate: other, redirectUri: "https://app.example/" })
      const signIn = Option.getOrThrow(yield* apps.credentials(id))
      assert.deepInclude(signIn, { ...name, id, redirectUri: "https://app.example/", registration: "standard" })
      assert.strictEqual(signIn.certificate?.thumbprint, other.thumbprint)
      assert.strictEqual(
        signIn.certificate && Redacted.value(signIn.certificate.privateKey),
        Redacted.value(other.privateKey),
      )

      // A key that was altered, or whose encryption key is gone, is said of the app; the grant is not at fault.
      yield* sql`update ${t.apps} set private_key = ${vault.seal(appOwner(id), "CANARY")} where id = ${id}`
      const [unreadable] = yield* store.lease([grantId])
      assert.deepInclude(unreadable, { _tag: "Unreadable", code: "app_secret_unreadable" })
      assert.match((unreadable as { message: string }).message, /the private key of the app cannot be read/)
      assert.strictEqual((yield* Effect.flip(apps.credentials(id)))._tag, "VaultError")

      const publicApp = Option.getOrThrow(yield* apps.patch(id, { certificate: null }))
      assert.notProperty(publicApp, "certificate")
      assert.notProperty(Option.getOrThrow(yield* apps.credentials(id)), "certificate")
      assert.deepStrictEqual(yield* apps.credentials(newId()), Option.none())
      assert.deepStrictEqual(yield* apps.credentials("nothing"), Option.none())
    }))

  it.effect("of a secret and a certificate that come at once, one is taken", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      for (let round = 0; round < 5; round++) {
        const { app: { id } } = yield* apps.create(microsoft())
        const outcomes = yield* Effect.all([
          Effect.exit(apps.patch(id, { secret: Redacted.make("a secret") })),
          Effect.exit(apps.patch(id, { certificate: keyed(certified) })),
        ], { concurrency: 2 })
        assert.lengthOf(outcomes.filter(({ _tag }) => _tag === "Success"), 1)
        const app = Option.getOrThrow(yield* apps.get(id))
        assert.notStrictEqual(app.hasSecret, app.certificate !== undefined)
      }
    }))

  it.effect("a service account has a key beside the secret of its app", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const key = { email: "mail@fleet.iam.gserviceaccount.com", privateKey: Redacted.make("CANARY-key") }
      const { app } = yield* apps.create({ ...google(newId(), "CANARY-secret"), serviceAccount: key })
      assert.deepInclude(app, { serviceAccount: key.email, hasSecret: true })
      const both = Option.getOrThrow(yield* apps.credentials(app.id))
      assert.strictEqual(both.serviceAccount && Redacted.value(both.serviceAccount.privateKey), "CANARY-key")
      assert.strictEqual(both.secret && Redacted.value(both.secret), "CANARY-secret")
      yield* apps.patch(app.id, { certificate: null })
      assert.property(Option.getOrThrow(yield* apps.credentials(app.id)), "serviceAccount")
      assert.notProperty(Option.getOrThrow(yield* apps.patch(app.id, { serviceAccount: null })), "serviceAccount")
      assert.notProperty(Option.getOrThrow(yield* apps.credentials(app.id)), "serviceAccount")
      assert.notInclude(JSON.stringify([app, both]), "CANARY")
    }))
})
