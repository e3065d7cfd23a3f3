/** The channel of an account for which nobody chose one, as the provider's answers decide it. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Resource } from "../../src/domain/Account.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import {
  accountOf,
  addAccount,
  type Answer,
  failing,
  fleet,
  grantOf,
  type Member,
  process,
  rotated,
  Script,
  type Sent,
  statusOf,
} from "./fleet.ts"

const graphMail = "https://graph.microsoft.com/mail.readwrite openid"
const imapOnly = "https://outlook.office.com/IMAP.AccessAsUser.All offline_access"

/** As an import leaves it whose rows name no channel. */
const anOpenAccount = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  const member = yield* addAccount()
  yield* orDie(sql`update ${t.accounts} set channel_open = true where id = ${member.id}`)
  return member
})

const isOpen = Effect.fnUntraced(function* ({ id }: Member) {
  const { sql, tables: t } = yield* Database
  const rows = yield* orDie(sql<{ open: boolean }>`select channel_open as open from ${t.accounts} where id = ${id}`)
  return rows[0]!.open
})

/** Answers for each resource. */
const script = (answers: Partial<Record<Resource, (sent: Sent) => Answer>>) => {
  const script = new Script()
  script.answer = (sent) => (answers[sent.resource] ?? rotated)(sent)
  return script
}

const granting = (scope: string) => (sent: Sent): Answer =>
  Effect.map(rotated(sent), (answer) => ({ ...answer, scope }))

const resources = ({ sent }: Script) => sent.map(({ resource }) => resource)

await onDatabases("ChannelProbe", fleet, (it) => {
  it.effect("Graph, where its scopes let mail be read, in whatever letters; without a second request", () =>
    Effect.gen(function* () {
      const silent = ["openid profile offline_access", "https://graph.microsoft.com/.default offline_access", ""]
      for (const scope of [graphMail, "Mail.Read", undefined, ...silent]) {
        const member = yield* anOpenAccount
        const asked = script(scope === undefined ? {} : { graph: granting(scope) })
        yield* (yield* process(asked)).refresh(member.grantId, "graph")
        assert.deepStrictEqual(resources(asked), ["graph"])
        assert.strictEqual((yield* accountOf(member)).channel, "graph")
        assert.isFalse(yield* isOpen(member))
      }
    }))

  it.effect("IMAP, where Graph's answer lists no mail and Outlook's does; by the rotated token", () =>
    Effect.gen(function* () {
      const member = yield* anOpenAccount
      const asked = script({ graph: granting("openid User.Read"), "outlook-imap": granting(imapOnly) })
      yield* (yield* process(asked)).refresh(member.grantId, "graph")
      assert.deepStrictEqual(asked.sent.map(({ refreshToken, resource }) => [resource, refreshToken]), [
        ["graph", `${member.name}.1`],
        ["outlook-imap", `${member.name}.2`],
      ])
      const { channel, status } = yield* accountOf(member)
      assert.deepStrictEqual([channel, status], ["imap", "active"])
      assert.strictEqual((yield* grantOf(member)).refreshToken, `${member.name}.3`)
      assert.isFalse(yield* isOpen(member))
    }))

  it.effect("IMAP, where Graph is refused for its scope: no account is dead because of that", () =>
    Effect.gen(function* () {
      const member = yield* anOpenAccount
      const asked = script({ graph: failing("scope"), "outlook-imap": granting(imapOnly) })
      const tokens = yield* process(asked)
      yield* tokens.refresh(member.grantId, "graph")
      const { channel, status, statusReason } = yield* accountOf(member)
      assert.deepStrictEqual([channel, status, statusReason], ["imap", "active", undefined])
      // Whoever wants a token for Graph does not get one for something else.
      const error = yield* Effect.flip(tokens.accessToken(member.grantId, "graph"))
      assert.strictEqual(error.class, "scope")
    }))

  it.effect("neither: the account says so as ever, and is not asked for again and again", () =>
    Effect.gen(function* () {
      const member = yield* anOpenAccount
      const asked = script({ graph: failing("scope"), "outlook-imap": failing("scope") })
      const error = yield* Effect.flip((yield* process(asked)).refresh(member.grantId, "graph"))
      assert.strictEqual(error.class, "scope")
      assert.strictEqual(yield* statusOf(member), "needs_reauth")
      assert.strictEqual((yield* accountOf(member)).channel, "graph")
      assert.deepStrictEqual(resources(asked), ["graph", "outlook-imap", "graph"])
      assert.isFalse(yield* isOpen(member))
    }))

  it.effect("still open, where the other answer did not come: tried again soon", () =>
    Effect.gen(function* () {
      const member = yield* anOpenAccount
      const asked = script({ graph: failing("scope"), "outlook-imap": failing("transient") })
      const tokens = yield* process(asked)
      yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
      assert.strictEqual(yield* statusOf(member), "pending")
      assert.isTrue(yield* isOpen(member))
      assert.isBelow((yield* grantOf(member)).due ?? Infinity, 120)
      asked.answer = (sent) => sent.resource === "graph" ? failing("scope")() : granting(imapOnly)(sent)
      yield* tokens.refresh(member.grantId, "graph")
      assert.strictEqual((yield* accountOf(member)).channel, "imap")
    }))

  it.effect("as somebody chose it, whatever is granted", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      const asked = script({ graph: failing("scope") })
      yield* Effect.flip((yield* process(asked)).refresh(member.grantId, "graph"))
      assert.deepStrictEqual(resources(asked), ["graph"])
      assert.strictEqual(yield* statusOf(member), "needs_reauth")
    }))
})
