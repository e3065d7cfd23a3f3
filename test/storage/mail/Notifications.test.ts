/** The inbox and the subscriptions beside it: what is taken in, who becomes due, and when it is forgotten. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Redacted } from "effect"
import type { MailAccount } from "../../../src/mail/Mailbox.ts"
import { Database, orDie } from "../../../src/storage/Database.ts"
import { type NotificationKind, Notifications } from "../../../src/storage/mail/Notifications.ts"
import { Subscriptions } from "../../../src/storage/mail/Subscriptions.ts"
import { SyncLeases } from "../../../src/storage/mail/SyncLeases.ts"
import { onDatabases } from "../../support/databases.ts"
import { acquireLease, mailStorage, makeAccount } from "../../support/mail.ts"
import { pushStorage } from "../../support/push.ts"

const day = 86_400_000
const later = { dueInMillis: day, expiresAt: DateTime.makeUnsafe("2036-01-01T00:00:00Z") }

/** An account with a subscription, whose creation has been worked off. */
const watched = Effect.fnUntraced(function* (id: string) {
  const { sql, tables: t } = yield* Database
  const subscriptions = yield* Subscriptions
  const account = yield* makeAccount({})
  yield* subscriptions.enroll("microsoft")
  yield* subscriptions.begin(account.id, {
    clientState: Redacted.make(`state of ${id}`),
    resource: "/me/messages",
    notificationUrl: "https://here.example/n",
  })
  yield* subscriptions.made(account.id, { id, ...later })
  yield* orDie(sql`delete from ${t.notifications}`)
  yield* orDie(sql`update ${t.accounts} set sync_due_at = now() + interval '1 day' where id = ${account.id}`)
  return account
})

const tell = (subscriptionId: string, kind: NotificationKind = "change", clientState = `state of ${subscriptionId}`) =>
  Effect.flatMap(Notifications, ({ takeGraph }) => takeGraph([{ subscriptionId, kind, clientState }]))

const isDue = Effect.fnUntraced(function* ({ id }: MailAccount) {
  const { sql, tables: t } = yield* Database
  const [row] = yield* orDie(
    sql<{ due: boolean }>`select sync_due_at <= now() as due from ${t.accounts} where id = ${id}`,
  )
  return row!.due
})

const stored = Effect.flatMap(
  Database,
  ({ sql, tables: t }) =>
    orDie(
      sql<
        { kind: string; drained: boolean }
      >`select kind, drained_at is not null as drained from ${t.notifications} order by id`,
    ),
)

const clean = Effect.flatMap(
  Database,
  ({ sql, tables: t }) => Effect.andThen(orDie(sql`delete from ${t.accounts}`), orDie(sql`delete from ${t.grants}`)),
)

await onDatabases("Notifications", Layer.merge(mailStorage, pushStorage), (it) => {
  it.effect("one of several alike is kept, and those of strangers and forgers are not", () =>
    Effect.gen(function* () {
      yield* clean
      const { takeGraph } = yield* Notifications
      yield* watched("S1")
      yield* watched("S2")
      const of = (subscriptionId: string, clientState: string | undefined, kind: NotificationKind = "change") => ({
        subscriptionId,
        clientState,
        kind,
      })
      const taken = yield* takeGraph([
        of("S1", "state of S1"),
        of("S1", "state of S1"),
        of("S2", "state of S2", "missed"),
        of("S2", "state of S1"),
        of("S2", undefined),
        of("s1", "state of S1"),
        of("S3", "state of S3"),
      ])
      assert.deepStrictEqual(taken, { accepted: 3, forged: 2, unknown: 2 })
      assert.deepStrictEqual(yield* tell("S1"), { accepted: 1, forged: 0, unknown: 0 })
      assert.sameDeepMembers([...yield* stored], [
        { kind: "change", drained: false },
        { kind: "missed", drained: false },
      ])
      assert.deepStrictEqual(yield* takeGraph([]), { accepted: 0, forged: 0, unknown: 0 })
    }))

  it.effect("make their account due, and are kept until a round that began later has ended", () =>
    Effect.gen(function* () {
      yield* clean
      const { backlog, drain, finish } = yield* Notifications
      const leases = yield* SyncLeases
      const account = yield* watched("S")
      yield* tell("S")
      assert.strictEqual(yield* drain(10), 1)
      assert.isTrue(yield* isDue(account))
      assert.strictEqual(yield* drain(10), 0)
      assert.deepStrictEqual(yield* finish, [])
      assert.strictEqual((yield* backlog).waiting, 1)

      // Another one while the round is under way: that may have passed what it tells of.
      const lease = yield* acquireLease(account.id)
      yield* tell("S")
      yield* tell("S")
      assert.strictEqual(yield* drain(10), 0)
      yield* leases.succeed(lease, day)
      assert.isFalse(yield* isDue(account))
      assert.strictEqual((yield* finish).length, 1)
      assert.deepStrictEqual(yield* stored, [{ kind: "change", drained: false }])
      assert.strictEqual(yield* drain(10), 1)
      assert.isTrue(yield* isDue(account))
      yield* leases.succeed(yield* acquireLease(account.id), day)
      assert.strictEqual((yield* finish).length, 1)
      assert.deepStrictEqual(yield* backlog, { waiting: 0, lagSeconds: 0 })
    }))

  it.effect("leave alone accounts that are out of use, or wait for a pause of the provider", () =>
    Effect.gen(function* () {
      yield* clean
      const { sql, tables: t } = yield* Database
      const { drain } = yield* Notifications
      const leases = yield* SyncLeases
      const disabled = yield* watched("S1")
      yield* orDie(sql`update ${t.accounts} set status = 'disabled', sync_due_at = null where id = ${disabled.id}`)
      const throttled = yield* watched("S2")
      const failure = { code: "throttled", message: "slow down", dueInMillis: 300_000 }
      yield* leases.fail(yield* acquireLease(throttled.id), failure)
      yield* tell("S1")
      yield* tell("S2")
      assert.strictEqual(yield* drain(10), 2)
      assert.isNull(yield* isDue(disabled))
      assert.isFalse(yield* isDue(throttled))
    }))

  it.effect("tell of subscriptions: one to be renewed, one that is no more, something missed", () =>
    Effect.gen(function* () {
      yield* clean
      const { drain, finish } = yield* Notifications
      const subscriptions = yield* Subscriptions
      const account = yield* watched("S")
      assert.deepStrictEqual(yield* subscriptions.claim("microsoft", 10, 60), [])

      yield* tell("S", "reauthorizationRequired")
      yield* drain(10)
      assert.isFalse(yield* isDue(account))
      const [renewal] = yield* subscriptions.claim("microsoft", 10, 60)
      assert.deepInclude(renewal, { remoteId: "S", begun: false, wanted: true, active: true })
      assert.deepStrictEqual(yield* subscriptions.claim("microsoft", 10, 60), [])
      yield* subscriptions.renewed(account.id, { id: "S", ...later })
      yield* finish

      // Removed while it is being renewed: it is due still.
      yield* tell("S", "reauthorizationRequired")
      yield* drain(10)
      assert.lengthOf(yield* subscriptions.claim("microsoft", 10, 60), 1)
      yield* tell("S", "subscriptionRemoved")
      yield* drain(10)
      assert.isTrue(yield* isDue(account))
      yield* subscriptions.renewed(account.id, { id: "S", ...later })
      const [gone] = yield* subscriptions.claim("microsoft", 10, 60)
      assert.deepInclude(gone, { remoteId: null })
      assert.deepStrictEqual(yield* subscriptions.counts, { active: 0, failing: 0, wanted: 1 })

      yield* subscriptions.made(account.id, { id: "S'", ...later })
      assert.deepStrictEqual(yield* subscriptions.counts, { active: 1, failing: 0, wanted: 0 })
      // A late word on the one before.
      assert.deepStrictEqual(yield* tell("S", "subscriptionRemoved"), { accepted: 0, forged: 0, unknown: 1 })
      assert.deepStrictEqual((yield* stored).at(-1), { kind: "change", drained: false })
    }))

  it.effect("of Gmail find the account by its address", () =>
    Effect.gen(function* () {
      yield* clean
      const { sql, tables: t } = yield* Database
      const { takeGmail } = yield* Notifications
      const account = yield* makeAccount({ email: "ada@example.com", channel: "gmail" })
      assert.deepInclude(yield* takeGmail("ada@example.com"), { accepted: 0, unknown: 1 })
      yield* orDie(sql`update ${t.accounts} set provider = 'google' where id = ${account.id}`)
      for (const email of ["ada@example.com", "Ada@Example.com"]) {
        assert.deepInclude(yield* takeGmail(email), { accepted: 1, unknown: 0 })
      }
      assert.deepStrictEqual(yield* stored, [{ kind: "change", drained: false }])
    }))

  it.effect("subscriptions are wanted for own mailboxes and for those of a whole tenant, and for no other", () =>
    Effect.gen(function* () {
      yield* clean
      const { sql, tables: t } = yield* Database
      const subscriptions = yield* Subscriptions
      const own = yield* makeAccount({})
      const shared = yield* makeAccount({})
      const ofTenant = yield* makeAccount({})
      const pending = yield* makeAccount({})
      yield* makeAccount({ channel: "imap" })
      yield* orDie(sql`update ${t.accounts} set by_name = true where id in (${shared.id}, ${ofTenant.id})`)
      yield* orDie(sql`update ${t.grants} set kind = 'client_credentials' where id = ${ofTenant.grantId}`)
      yield* orDie(sql`update ${t.accounts} set status = 'pending' where id = ${pending.id}`)
      yield* subscriptions.enroll("microsoft")
      yield* subscriptions.enroll("microsoft")
      const claimed = yield* subscriptions.claim("microsoft", 10, 60)
      assert.sameMembers(claimed.map(({ account }) => account.id), [own.id, ofTenant.id])
      assert.isTrue(claimed.every(({ active, wanted }) => active && wanted))
      // Read otherwise from now on.
      yield* orDie(sql`update ${t.accounts} set channel = 'imap' where id = ${own.id}`)
      yield* subscriptions.postpone(own.id, 0)
      assert.deepInclude((yield* subscriptions.claim("microsoft", 10, 60))[0], { wanted: false })
      yield* subscriptions.remove(own.id)
      yield* subscriptions.failed(ofTenant.id, { code: "x", message: "y", dueInMillis: day, certain: true })
      assert.deepStrictEqual(yield* subscriptions.counts, { active: 0, failing: 1, wanted: 0 })
    }))
})
