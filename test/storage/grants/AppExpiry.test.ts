/** Secrets and certificates that end are told beforehand, each step once. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Redacted, Result } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { readCertificate } from "../../../src/oauth/AppKeys.ts"
import { Apps } from "../../../src/storage/grants/Apps.ts"
import { Database } from "../../../src/storage/Database.ts"
import { Events } from "../../../src/storage/Events.ts"
import { fleet } from "../../oauth/fleet.ts"
import { certified } from "../../support/certificates.ts"
import { onDatabases } from "../../support/databases.ts"

const layer = Layer.mergeAll(Apps.layer, Events.layer).pipe(Layer.provideMerge(fleet), Layer.orDie)

await onDatabases("The end of a secret", layer, (it) => {
  const made = Effect.fnUntraced(function* () {
    const apps = yield* Apps
    const { app } = yield* apps.create({
      provider: "microsoft",
      clientId: newId(),
      tenant: "contoso.example",
      secret: Redacted.make("CANARY"),
    })
    const subject = `microsoft:${app.clientId}:contoso.example`
    return {
      ...app,
      subject,
      /** What is told of this app, when its secret ends so many hours from now. */
      toldAt: Effect.fnUntraced(function* (hours: number) {
        const { sql, tables: t } = yield* Database
        yield* sql`update ${t.apps} set secret_expires_at = now() + make_interval(hours => ${hours}) where id = ${app.id}`
        const told = yield* apps.tellExpiring
        assert.isEmpty((yield* apps.tellExpiring).filter((event) => event.subject === subject))
        return told.filter((event) => event.subject === subject).map(({ message }) => message)
      }),
    }
  })

  it.effect("is told 30, 7 and 1 days before and when it has come, once each", () =>
    Effect.gen(function* () {
      const { id, subject, toldAt } = yield* made()
      assert.isEmpty(yield* toldAt(31 * 24))
      for (
        const [hours, words] of [
          [29 * 24, /ends on \d{4}-\d\d-\d\d, within 30 days: make a new one at Microsoft, .*AADSTS7000222/],
          [8 * 24, undefined],
          [6 * 24, /within 7 days/],
          [30, undefined],
          [20, /within a day/],
          [-1, /ended on .* Microsoft refuses the app \(AADSTS7000222\)/],
          [-2_000, undefined],
        ] as const
      ) {
        const told = yield* toldAt(hours)
        assert.lengthOf(told, words === undefined ? 0 : 1, String(hours))
        if (words !== undefined) {
          assert.match(told[0]!, words)
          assert.include(told[0], `mailfleet apps set-secret ${id}`)
        }
      }
      const { items } = yield* Effect.orDie((yield* Events).list({ limit: 100, kind: "app.secret_expiring" }))
      const stored = items.filter((event) => event.subject === subject)
      assert.lengthOf(stored, 4)
      assert.notInclude(JSON.stringify(stored), "CANARY")
    }))

  it.effect("is told anew of another secret, and only at the step that has come", () =>
    Effect.gen(function* () {
      const apps = yield* Apps
      const { id, toldAt } = yield* made()
      assert.match((yield* toldAt(12))[0]!, /within a day/)
      const secretExpiresAt = DateTime.addDuration(yield* DateTime.now, Duration.days(3))
      yield* apps.patch(id, { secret: Redacted.make("another"), secretExpiresAt })
      const told = (yield* apps.tellExpiring).filter(({ message }) => message.includes(id))
      assert.lengthOf(told, 1)
      assert.match(told[0]!.message, /within 7 days/)
      yield* apps.patch(id, { secret: Redacted.make("a third") })
      assert.isEmpty((yield* apps.tellExpiring).filter(({ message }) => message.includes(id)))
    }))

  it.effect("is told of a certificate likewise, and by one of several processes", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const apps = yield* Apps
      const certificate = Result.getOrThrow(readCertificate(Redacted.make(certified), yield* DateTime.now))
      const ids: Array<string> = []
      for (let index = 0; index < 5; index++) {
        const { app } = yield* apps.create({ provider: "microsoft", clientId: newId(), tenant: "common", certificate })
        ids.push(app.id)
      }
      assert.isEmpty(yield* apps.tellExpiring)
      yield* sql`update ${t.apps} set certificate_expires_at = now() + interval '5 days' where certificate is not null`
      const told = (yield* Effect.all([apps.tellExpiring, apps.tellExpiring, apps.tellExpiring], { concurrency: 3 }))
        .flat()
      assert.lengthOf(told, 5)
      for (const id of ids) {
        const [event] = told.filter(({ message }) => message.includes(id))
        assert.include(event?.message, `the certificate of the app ends on`)
        assert.include(event?.message, `mailfleet apps update ${id} --certificate FILE`)
        assert.notInclude(event?.message, "7000222")
      }
    }))
})
