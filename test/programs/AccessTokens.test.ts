import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { AccessTokens } from "../../src/programs/AccessTokens.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Audit } from "../../src/storage/Audit.ts"
import { onDatabases } from "../support/databases.ts"
import { access, addAccount, failing, fleet, process, rotated, Script } from "../oauth/fleet.ts"

/** Access tokens of a provider that is a script; the audit log may be another. */
const start = Effect.fnUntraced(function* (wrap: (audit: Audit["Service"]) => Audit["Service"] = (it) => it) {
  const script = new Script()
  const tokens = yield* process(script)
  const audit = wrap(yield* Audit)
  const services = Context.make(Tokens, tokens).pipe(Context.add(Audit, audit), Context.add(Accounts, yield* Accounts))
  const layer = Layer.provide(Layer.fresh(AccessTokens.layer), Layer.succeedContext(services))
  return { script, issue: Context.get(yield* Layer.build(layer), AccessTokens).issue }
})

const outcomesOf = (accountId: string) =>
  Effect.flatMap(
    Audit,
    (audit) =>
      Effect.map(Effect.orDie(audit.list({ limit: 10, accountId })), ({ items }) =>
        items.map(({ actor, grantId, outcome, resource }) => ({ actor, grantId, outcome, resource })).toReversed()),
  )

await onDatabases("AccessTokens", Layer.provideMerge(Audit.layer, fleet), (it) => {
  it.effect("records each hand-out and each refusal, with its code", () =>
    Effect.scoped(Effect.gen(function* () {
      const { issue, script } = yield* start()
      const { grantId, id } = yield* addAccount()
      const token = yield* issue("admin", id)
      assert.include(access(token), "access to graph")
      assert.strictEqual(access(yield* issue("admin", id)), access(token), "from the cache")
      script.answer = failing("blocked")
      const error = yield* Effect.flip(issue("library", id, { resource: "outlook-imap" }))
      assert.strictEqual(error._tag, "ProviderError")
      script.answer = rotated
      yield* (yield* Accounts).patch(id, { status: "disabled" })
      const disabled = yield* Effect.flip(issue("library", id))
      assert.deepInclude({ ...disabled }, { code: "account_disabled", notSent: true })
      const wrong = yield* Effect.flip(issue("library", id, { resource: "gmail" }))
      assert.deepInclude({ ...wrong }, { _tag: "WrongResource", expected: ["graph", "outlook-imap"] })
      const nobody = newId()
      assert.deepInclude({ ...(yield* Effect.flip(issue("admin", nobody))) }, { accountId: nobody })
      assert.deepStrictEqual(yield* outcomesOf(id), [
        { actor: "admin", grantId, resource: "graph", outcome: "issued" },
        { actor: "admin", grantId, resource: "graph", outcome: "issued" },
        { actor: "library", grantId, resource: "outlook-imap", outcome: "account_blocked" },
        { actor: "library", grantId, resource: "graph", outcome: "account_disabled" },
      ])
      assert.deepStrictEqual(yield* outcomesOf(nobody), [])
    })))

  it.effect("gives none where it cannot be recorded", () =>
    Effect.scoped(Effect.gen(function* () {
      const { issue } = yield* start((audit) => ({ ...audit, record: () => Effect.die("the disk is full") }))
      const { id } = yield* addAccount()
      const exit = yield* Effect.exit(issue("admin", id))
      assert.strictEqual(exit._tag, "Failure")
    })))
})
