/** The drill: a backup under load, a restore into the other engine, and a server that goes on from there. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schedule, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { engines } from "../support/engines.ts"
import { postgresUrl, usableEngines } from "../support/databases.ts"
import {
  all,
  ended,
  found,
  install,
  type Installation,
  runToEnd,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"

const accounts = 30
const messages = 20

const Log = Schema.Struct({ items: Schema.Array(Schema.Unknown), nextCursor: Schema.String })
const Expired = Schema.fromJsonString(
  Schema.Struct({ code: Schema.Literal("position_expired"), status: Schema.Literal(410), position: Schema.String }),
)
const Token = Schema.Struct({ accessToken: Schema.String })
const Made = Schema.Struct({ id: Schema.String })
const json = { "content-type": "application/json" }

const commandEnv = ({ adminKey, encryptionKeys, engine, folder, schema }: Installation, backupKey: string) => ({
  ...(engine === "postgres" ? { DATABASE_URL: postgresUrl } : {}),
  MAILFLEET_DATABASE_SCHEMA: schema,
  MAILFLEET_DATA_DIR: folder,
  MAILFLEET_ADMIN_KEY: adminKey,
  MAILFLEET_ENCRYPTION_KEYS: encryptionKeys,
  MAILFLEET_BACKUP_KEY: backupKey,
})

const inStep = (service: Service) => Effect.flatMap(startOverAll(service, "sync"), ({ id }) => ended(service, id))

const usable = await usableEngines

describe.runIf(engines.length === 2 && usable.includes("postgres"))("A drill", () => {
  it.live("brings a fleet from Postgres into the embedded database while it works", () =>
    Effect.gen(function* () {
      const simulator = yield* make({ accounts, messages })
      const origin = yield* serveSimulator(simulator)
      const quick = { MAILFLEET_SYNC_SPACING: "0 seconds", MAILFLEET_WEBHOOK_ALLOW_PRIVATE: "on" }
      const from = yield* install("postgres", origin, quick)
      const service = yield* from.start()
      yield* ended(service, (yield* upload(service, [...simulator.importLines()].join(""))).id)
      yield* inStep(service)
      const { nextCursor: before } = yield* service.call(Log, "/v1/changes?limit=500")
      const body = JSON.stringify({ url: "http://127.0.0.1:9/", enabled: false })
      const webhook = yield* service.call(Made, "/v1/webhooks", { method: "POST", headers: json, body, status: 201 })

      const load = Effect.gen(function* () {
        for (let n = 1; n <= accounts; n += 3) {
          simulator.deliver(`sim${String(n).padStart(5, "0")}@sim.example`, { count: 1, subject: "more" })
        }
        yield* Effect.all([
          inStep(service),
          Effect.flatMap(startOverAll(service, "refresh"), ({ id }) => ended(service, id)),
        ], { concurrency: 2 })
      })
      yield* load.pipe(Effect.repeat(Schedule.forever), Effect.forkScoped)
      const made = yield* runToEnd(["keys", "new-backup-key"], {})
      const [secret, recipient] = [/AGE-SECRET-KEY-\S+/, /age1\S+/].map((form) => found(form.exec(made.output)?.[0]))
      const file = `${from.folder}/fleet.age`
      // The machine that makes backups needs the public part of the key only.
      const written = yield* runToEnd(["backup", file], commandEnv(from, recipient!))
      assert.strictEqual(written.code, 0, written.output)
      yield* service.kill

      const bytes = yield* Effect.promise(() => Deno.readFile(file))
      const plain = new TextDecoder("latin1").decode(bytes)
      assert.include(plain.slice(0, 30), "age-encryption.org/v1")
      assert.notInclude(plain, "sim00001@sim.example")

      const to = { ...(yield* install("embedded", origin, quick)), encryptionKeys: from.encryptionKeys }
      yield* Effect.promise(() => Deno.writeFile(`${from.folder}/cut.age`, bytes.subarray(0, bytes.length - 200)))
      const cut = yield* runToEnd(["restore", `${from.folder}/cut.age`], commandEnv(to, secret!))
      assert.strictEqual(cut.code, 2)
      assert.include(cut.output, "it was cut off or altered")
      const restored = yield* runToEnd(["restore", file], commandEnv(to, secret!))
      assert.strictEqual(restored.code, 0, restored.output)
      assert.include(restored.output, `${accounts} accounts`)

      const after = yield* to.start({ MAILFLEET_ENCRYPTION_KEYS: from.encryptionKeys, MAILFLEET_SCHEDULES: "off" })
      const list = yield* all(after, Account, "/v1/accounts")
      assert.lengthOf(list, accounts)
      assert.isTrue(list.every(({ status, sync }) => status === "active" && sync.messages >= messages))
      yield* after.call(Token, `/v1/accounts/${list[0]!.id}/access-token`)

      // Positions of before are expired, wherever they are shown; the answer says where to go on.
      const refused = [
        yield* after.send(`/v1/changes?after=${before}`),
        yield* after.send("/v1/changes/stream", { headers: { "last-event-id": before } }),
        yield* after.send(`/v1/webhooks/${webhook.id}/replay`, {
          method: "POST",
          headers: json,
          body: JSON.stringify({ after: before }),
        }),
      ]
      for (const { status, text } of refused) {
        assert.strictEqual(status, 410, text)
        const { position } = Schema.decodeUnknownSync(Expired)(text)
        assert.isAbove(position.localeCompare(before), 0, "positions sort by age over a restore as well")
        yield* after.call(Log, `/v1/changes?after=${position}`)
      }

      // Every token opens, and the mail comes into step with the mailboxes.
      const refresh = yield* ended(after, (yield* startOverAll(after, "refresh")).id)
      assert.deepInclude(refresh, { succeeded: accounts, failed: 0 })
      assert.deepInclude(yield* inStep(after), { succeeded: accounts, failed: 0 })
      const counts = (yield* all(after, Account, "/v1/accounts")).map(({ email, sync }) => [email, sync.messages])
      assert.deepStrictEqual(
        Object.fromEntries(counts),
        Object.fromEntries(list.map(({ email }) => [email, simulator.mailbox(email).messages.length])),
      )
    }).pipe(Effect.scoped), 90_000)
})
