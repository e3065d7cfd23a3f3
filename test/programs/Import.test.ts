import { assert } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Latch, Option, Redacted, Scope, Stream } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import type { RunRequests } from "../../src/programs/RunRequests.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { ImportStaging } from "../../src/storage/runs/ImportStaging.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import {
  accountOf,
  addAccount,
  failing,
  fleet,
  grantOf,
  held,
  importAgain,
  type Member,
  rotated,
  Script,
  statusOf,
} from "../oauth/fleet.ts"
import { onDatabases } from "../support/databases.ts"
import { eventually } from "../support/processes.ts"
import { body, counts, ended, importOptions, itemsOf, outcomes, runOf, startProcess } from "./worker.ts"

const clientId = newId()
const header = "email,client_id,refresh_token"

/** Addresses that no other test has. */
const names = (count: number) => Array.from({ length: count }, () => newId())

/** A CSV file with a good row for each name. */
const fileOf = (accounts: ReadonlyArray<string>, generation = 1): string =>
  [header, ...accounts.map((name) => `${name}@example.com,${clientId},${name}.${generation}`), ""].join("\n")

const importing = (
  requests: RunRequests["Service"],
  text: string,
  options: Partial<typeof importOptions> = {},
  idempotencyKey?: string,
) => requests.import(body(text), { ...importOptions, ...options }, { trigger: "api", idempotencyKey })

/** The account with this name, by its address. */
const memberOf = Effect.fnUntraced(function* (name: string) {
  const { items } = yield* Effect.orDie((yield* Accounts).list({ search: name, limit: 2 }))
  assert.isAtMost(items.length, 1)
  return Option.map(
    Option.fromUndefinedOr(items[0]),
    (account): Member => ({ ...account, clientId, name, resource: "graph" }),
  )
})

const found = (name: string) => Effect.map(memberOf(name), Option.getOrThrow)

const runsOf = Effect.fnUntraced(function* () {
  const { items } = yield* Effect.orDie((yield* Runs).list({ kind: "import", limit: 500 }))
  return items.length
})

await onDatabases("Import", fleet, (it, engine) => {
  it.effect("makes an account of each row, and redeems its token once", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const all = names(40)
      const run = yield* importing(requests, fileOf(all), { tags: ["spring"] })
      assert.deepInclude(counts(run), { state: "queued", total: 40, processed: 0 })
      assert.deepInclude(counts(yield* ended(run)), { state: "completed", succeeded: 40 })
      const items = yield* itemsOf(run)
      assert.deepStrictEqual(
        items.map(({ email, line, position }) => [position, line, email]),
        all.map((name, index) => [index + 1, index + 2, `${name}@example.com`]),
      )
      for (const [index, name] of all.entries()) {
        const member = yield* found(name)
        assert.strictEqual(items[index]!.accountId, member.id)
        assert.deepInclude({ ...(yield* accountOf(member)) }, { status: "active", tags: ["spring"], tenant: "common" })
        assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${name}.2` })
      }
      assert.sameMembers(script.sent.map(({ refreshToken }) => refreshToken), all.map((name) => `${name}.1`))
      assert.isAtMost(script.mostInFlight, 5)
      // Nothing of the file is left.
      const { sql, tables: t } = yield* Database
      assert.strictEqual((yield* orDie(sql`select 1 from ${t.import_blocks} where run_id = ${run.id}`)).length, 0)
    }))

  it.effect("fails a row that cannot be stored, and no other", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const all = names(12)
      const { sql, tables: t } = yield* Database
      // A rule that the operator's database has, and nobody told us of.
      yield* orDie(
        sql`alter table ${t.accounts} add constraint ours check (email_key <> ${
          sql.literal(`'${all[4]}@example.com'`)
        })`,
      )
      const run = yield* importing(requests, fileOf(all))
      assert.deepInclude(counts(yield* ended(run)), { state: "completed", succeeded: 11, failed: 1 })
      yield* orDie(sql`alter table ${t.accounts} drop constraint ours`)
      assert.strictEqual((yield* outcomes(run))[4], "failed internal_error")
      assert.isTrue(Option.isNone(yield* memberOf(all[4]!)))
      assert.isTrue(Option.isSome(yield* memberOf(all[5]!)))
    }))

  it.effect("stores a well-formed row even if its token is refused, and says why in its status", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [good, dead] = names(2) as [string, string]
      script.answer = (sent) =>
        sent.refreshToken.startsWith(dead) ? failing("needs_user", { providerCode: "AADSTS700082" })() : rotated(sent)
      const run = yield* ended(yield* importing(requests, fileOf([good, dead])))
      assert.deepInclude(counts(run), { state: "completed", succeeded: 1, failed: 1 })
      assert.deepStrictEqual(yield* outcomes(run), ["succeeded", "failed needs_reauth"])
      const { status, statusReason } = yield* accountOf(yield* found(dead))
      assert.deepStrictEqual([status, statusReason], ["needs_reauth", "the provider said needs_user"])

      // Only rows that have an account can be run again.
      script.answer = rotated
      const again = Option.getOrThrow(yield* requests.retry(run, { trigger: "retry" }))
      assert.deepInclude(counts(yield* ended(again)), { total: 1, succeeded: 1 })
      assert.strictEqual((yield* itemsOf(again))[0]!.line, 3)
      assert.strictEqual(yield* statusOf(yield* found(dead)), "active")
    }))

  it.effect("fails a bad row with its line, skips a repeated one with the line of the first, and goes on", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const [one, other] = names(2) as [string, string]
      const rows = [
        header,
        `${one}@example.com,${clientId},${one}.1`,
        "# a comment",
        `no address,${clientId},secret-of-a-bad-row`,
        "",
        `${one.toUpperCase()}@EXAMPLE.com,${clientId},${one}.99`,
        `${other}@example.com,not an id,secret-of-a-bad-row`,
        `${other}@example.com,${clientId},${other}.1`,
      ]
      const run = yield* ended(yield* importing(requests, rows.join("\r\n")))
      assert.deepStrictEqual(counts(run), {
        state: "completed",
        total: 5,
        processed: 5,
        succeeded: 2,
        failed: 2,
        skipped: 1,
      })
      const items = yield* itemsOf(run)
      assert.deepStrictEqual(items.map(({ line, outcome }) => `${line} ${outcome}`), [
        "2 succeeded",
        "4 failed",
        "6 skipped",
        "7 failed",
        "8 succeeded",
      ])
      assert.deepStrictEqual(items[2]!.error, {
        code: "duplicate_in_file",
        message: "line 2 has this address already",
        retryable: false,
      })
      assert.notInclude(JSON.stringify(items), "secret-of-a-bad-row")
      assert.deepInclude(yield* grantOf(yield* found(one)), { version: 2, refreshToken: `${one}.2` })
    }))

  it.effect("finds a repeated row across blocks", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const all = names(1_100)
      const text = fileOf([...all, all[0]!, all[700]!])
      const run = yield* ended(yield* importing(requests, text, { verify: false }))
      assert.deepInclude(counts(run), { total: 1_102, succeeded: 1_100, skipped: 2 })
      assert.deepStrictEqual(
        (yield* itemsOf(run)).slice(-2).map(({ error }) => error?.message),
        ["line 2 has this address already", "line 702 has this address already"],
      )
    }))

  it.effect("leaves accounts pending where they are not to be verified, due within the period", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const all = names(30)
      yield* ended(yield* importing(requests, fileOf(all), { verify: false }))
      assert.deepStrictEqual(script.sent, [])
      const dues: Array<number> = []
      for (const name of all) {
        const member = yield* found(name)
        assert.strictEqual(yield* statusOf(member), "pending")
        dues.push((yield* grantOf(member)).due ?? NaN)
      }
      assert.isTrue(dues.every((due) => due > -10 && due <= 86_400), String(dues))
      assert.isAbove(Math.max(...dues) - Math.min(...dues), 3_600, "a fleet imported at once is not due at once")
    }))

  it.effect("stores nothing and asks no provider in a dry run, but says what would come of the rows", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [known, fresh] = names(2) as [string, string]
      yield* ended(yield* importing(requests, fileOf([known]), { verify: false }))
      const member = yield* found(known)
      const before = yield* grantOf(member)
      const expected = { skip: "skipped duplicate_account", fail: "failed duplicate_account", update: "succeeded" }
      for (const onDuplicate of ["skip", "fail", "update"] as const) {
        const text = `${fileOf([known, fresh], 5)}no address,${clientId},x\n${fresh}@example.com,${clientId},x\n`
        const run = yield* ended(yield* importing(requests, text, { dryRun: true, onDuplicate }))
        assert.isTrue(run.dryRun)
        assert.deepStrictEqual(yield* outcomes(run), [
          expected[onDuplicate],
          "succeeded",
          "failed invalid_email",
          "skipped duplicate_in_file",
        ])
        assert.notProperty((yield* itemsOf(run))[1], "accountId")
      }
      assert.isTrue(Option.isNone(yield* memberOf(fresh)))
      const { due: _, ...after } = yield* grantOf(member)
      assert.deepInclude(before, after)
      assert.deepStrictEqual(script.sent, [])
    }))

  it.effect("skips, fails or updates an account that is there already, as asked", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [name] = names(1) as [string]
      yield* ended(yield* importing(requests, fileOf([name]), { tags: ["old"] }))
      const member = yield* found(name)
      for (const onDuplicate of ["skip", "fail"] as const) {
        const run = yield* ended(yield* importing(requests, fileOf([name], 50), { onDuplicate }))
        assert.deepStrictEqual(yield* outcomes(run), [
          `${onDuplicate === "skip" ? "skipped" : "failed"} duplicate_account`,
        ])
        assert.strictEqual((yield* itemsOf(run))[0]!.accountId, member.id)
        assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${name}.2` })
      }
      const run = yield* ended(yield* importing(requests, fileOf([name], 50), { onDuplicate: "update", tags: ["new"] }))
      assert.deepStrictEqual(yield* outcomes(run), ["succeeded"])
      assert.strictEqual((yield* found(name)).id, member.id)
      assert.deepInclude(yield* grantOf(member), { version: 4, refreshToken: `${name}.51` })
      assert.deepStrictEqual((yield* accountOf(member)).tags, ["new", "old"])
      assert.deepStrictEqual(script.tokensOf(name), [`${name}.1`, `${name}.50`])
    }))

  it.effect("never puts an old token back", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const all = names(3)
      const lastMonth = fileOf(all)
      yield* ended(yield* importing(requests, lastMonth))
      const members = yield* Effect.forEach(all, found)
      const selection = { _tag: "Ids" as const, ids: members.map(({ id }) => id) }
      for (let day = 0; day < 3; day++) yield* ended(yield* requests.refresh(selection, { trigger: "api" }))
      const sent = script.sent.length
      // Each of the tokens it has had, the present one included.
      for (let generation = 1; generation <= 5; generation++) {
        const text = generation === 1 ? lastMonth : fileOf(all, generation)
        const run = yield* ended(yield* importing(requests, text, { onDuplicate: "update" }))
        assert.deepStrictEqual(yield* outcomes(run), Array(3).fill("skipped token_known"))
        for (const member of members) {
          assert.deepInclude(yield* grantOf(member), { version: 5, refreshToken: `${member.name}.5` })
          assert.strictEqual(yield* statusOf(member), "active")
        }
      }
      assert.strictEqual(script.sent.length, sent)
    }))

  it.effect("does not switch an account on that the operator has disabled", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [name] = names(1) as [string]
      yield* ended(yield* importing(requests, fileOf([name])))
      const member = yield* found(name)
      yield* (yield* Accounts).patch(member.id, { status: "disabled" })
      const run = yield* ended(yield* importing(requests, fileOf([name], 50), { onDuplicate: "update" }))
      assert.deepStrictEqual(yield* outcomes(run), ["skipped account_disabled"])
      assert.strictEqual(yield* statusOf(member), "disabled")
      // The new token is kept for the day on which it is enabled again.
      assert.deepInclude(yield* grantOf(member), { version: 3, refreshToken: `${name}.50`, due: null })
      assert.deepStrictEqual(script.tokensOf(name), [`${name}.1`])
    }))

  if (engine === "postgres") {
    it.effect("applies a new token once, where two imports bring it at the same time", () =>
      Effect.gen(function* () {
        const { sql } = yield* Database
        const member = yield* addAccount()
        const [first, second] = [yield* Deferred.make<void>(), yield* Latch.make()]
        const slow = yield* Effect.forkChild(sql.withTransaction(Effect.gen(function* () {
          const item = yield* importAgain(member, `${member.name}.50`)
          yield* Deferred.succeed(first, undefined)
          yield* second.await
          return item
        })))
        yield* Deferred.await(first)
        const quick = yield* Effect.forkChild(importAgain(member, `${member.name}.50`))
        yield* eventually(
          "it waits for the grant",
          orDie(sql<{ waiting: boolean }>`select count(*) > 0 as waiting from pg_stat_activity
            where wait_event_type = 'Lock' and datname = current_database() and application_name = 'mailfleet-test'`),
          ([row]) => row!.waiting,
        )
        yield* second.open
        assert.strictEqual((yield* Fiber.join(slow)).outcome, "succeeded")
        assert.strictEqual((yield* Fiber.join(quick)).error?.code, "token_known")
        assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.50` })
      }))
  }

  it.effect("gives the same run for the same key and body, and refuses another body", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const all = names(3)
      const key = newId()
      const run = yield* importing(requests, fileOf(all), {}, key)
      assert.strictEqual((yield* importing(requests, fileOf(all), {}, key)).id, run.id)
      yield* ended(run)
      assert.strictEqual((yield* importing(requests, fileOf(all), {}, key)).id, run.id)
      for (
        const other of [
          importing(requests, fileOf(all, 2), {}, key),
          importing(requests, fileOf(all), { dryRun: true }, key),
        ]
      ) {
        assert.deepInclude({ ...(yield* Effect.flip(other)) }, { _tag: "IdempotencyConflict", kind: "reused" })
      }
      const selection = { _tag: "Ids" as const, ids: [] }
      const reused = yield* Effect.flip(requests.refresh(selection, { trigger: "api", idempotencyKey: key }))
      assert.strictEqual(reused.kind, "reused")
    }))

  it.effect("shows no run before its body is there, refuses its key meanwhile, and frees it if the body breaks off", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const all = names(600)
      for (const end of ["fails", "is interrupted", "is not in its format"] as const) {
        const before = yield* runsOf()
        const key = newId()
        const half = yield* Deferred.make<void>()
        const gate = yield* Latch.make()
        const broken = end === "is not in its format" ? Stream.make(Uint8Array.of(0, 0, 0)) : Stream.fail("broken off")
        const upload = yield* Effect.forkChild(Effect.exit(requests.import(
          Stream.concat(
            body(fileOf(all)),
            Stream.unwrap(Effect.gen(function* () {
              yield* Deferred.succeed(half, undefined)
              yield* gate.await
              return broken
            })),
          ),
          importOptions,
          { trigger: "api", idempotencyKey: key },
        )))
        yield* Deferred.await(half)
        assert.strictEqual(yield* runsOf(), before)
        const meanwhile = yield* Effect.flip(importing(requests, fileOf(all), {}, key))
        assert.deepInclude({ ...meanwhile }, { _tag: "IdempotencyConflict", kind: "uploading" })
        if (end === "is interrupted") yield* Fiber.interrupt(upload)
        else {
          yield* gate.open
          assert.isTrue(Exit.isFailure(yield* Fiber.join(upload)))
        }
        assert.strictEqual(yield* runsOf(), before)
        // The key is free, for any body.
        const again = yield* importing(requests, fileOf(names(1)), {}, key)
        yield* ended(again)
      }
      const { sql, tables: t } = yield* Database
      assert.strictEqual((yield* orDie(sql`select 1 from ${t.runs} where state = 'uploading'`)).length, 0)
      assert.isTrue(Option.isNone(yield* memberOf(all[0]!)))
    }))

  it.effect("frees the key of an upload whose process has died", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const staging = yield* ImportStaging
      const { sql, tables: t } = yield* Database
      const key = newId()
      const begun = yield* staging.begin({ kind: "import", trigger: "api", idempotencyKey: key })
      assert(begun._tag === "New")
      yield* orDie(sql`update ${t.runs} set owner_until = now() - interval '1 second' where id = ${begun.upload.runId}`)
      yield* ended(yield* importing(requests, fileOf(names(1)), {}, key))
      assert.strictEqual(yield* staging.sweep, 0)
    }))

  it.effect("refuses a file without rows, and one that is none", () =>
    Effect.gen(function* () {
      const requests = yield* startProcess(new Script())
      const before = yield* runsOf()
      for (
        const [text, code] of [
          ["", "empty_file"],
          ["\n\n", "empty_file"],
          [`${header}\n`, "empty_file"],
          [`${header}\n# nothing\n\n`, "empty_file"],
          ["\0\0\0", "binary_file"],
        ] as const
      ) {
        const key = newId()
        const error = yield* Effect.flip(importing(requests, text, {}, key))
        assert.deepInclude({ ...error }, { _tag: "ImportRefused", code }, JSON.stringify(text))
        yield* ended(yield* importing(requests, fileOf(names(1)), {}, key))
      }
      assert.strictEqual(yield* runsOf(), before + 5)
    }))

  it.effect("goes on where a process stopped, and stores and redeems nothing twice", () =>
    Effect.gen(function* () {
      const script = new Script()
      const all = names(60)
      const twentieth = yield* Deferred.make<void>()
      script.answer = (sent) =>
        script.sent.length === 20
          ? Effect.andThen(Deferred.succeed(twentieth, undefined), rotated(sent))
          : rotated(sent)
      const scope = yield* Scope.make()
      const requests = yield* Scope.provide(startProcess(script), scope)
      const run = yield* importing(requests, fileOf(all))
      yield* Deferred.await(twentieth)
      yield* Scope.close(scope, Exit.void)
      assert.isBelow((yield* runOf(run.id)).processed, 60)
      yield* startProcess(script)
      assert.deepInclude(counts(yield* ended(run)), { state: "completed", total: 60, succeeded: 60 })
      assert.sameMembers(script.sent.map(({ refreshToken }) => refreshToken), all.map((name) => `${name}.1`))
    }))

  it.effect("stops at a cancel, and keeps nothing of the rows that are not stored yet", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = gate.answer
      const requests = yield* startProcess(script)
      const run = yield* importing(requests, fileOf(names(20)))
      yield* gate.asked
      assert.isTrue(yield* requests.cancel(run.id))
      const after = yield* ended(run)
      assert.deepInclude(counts(after), { state: "cancelled", processed: 0 })
      const { sql, tables: t } = yield* Database
      assert.strictEqual((yield* orDie(sql`select 1 from ${t.import_blocks} where run_id = ${run.id}`)).length, 0)
      yield* gate.release
    }))

  it.effect("adds a single account, unless there is one", () =>
    Effect.gen(function* () {
      const script = new Script()
      const requests = yield* startProcess(script)
      const [name] = names(1) as [string]
      const account = {
        email: `${name}@example.com`,
        clientId,
        refreshToken: Redacted.make(`${name}.1`),
        tags: ["one"],
      }
      const added = yield* requests.addAccount(account)
      assert.deepInclude({ ...added }, { status: "active", tags: ["one"], channel: "graph", tenant: "common" })
      const again = yield* Effect.flip(requests.addAccount({ ...account, email: account.email.toUpperCase() }))
      assert.deepInclude({ ...again }, { _tag: "DuplicateAccount", accountId: added.id })
      const bad = yield* Effect.flip(requests.addAccount({ ...account, email: "nobody" }))
      assert.deepInclude({ ...bad }, { _tag: "ImportRefused", code: "invalid_email", field: "email" })
    }))
})
