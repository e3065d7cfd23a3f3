import { assert } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer } from "effect"
import type { MailAccount } from "../../src/mail/Mailbox.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { SyncLeases } from "../../src/storage/mail/SyncLeases.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, changesOf } from "../support/mail.ts"
import { eventually } from "../support/processes.ts"
import { Provider, simulatedAccount, syncing } from "../support/simulator.ts"

const sync = (account: MailAccount) => Effect.flatMap(SyncAccount, (program) => program.sync(account.id))

const turn = (account: MailAccount) => Effect.flatMap(SyncAccount, (program) => program.turn(account.id))

/** What is stored is what the provider holds: folders, messages, and where they are. */
const inStep = Effect.fnUntraced(function* (account: MailAccount) {
  const { simulator } = yield* Provider
  const { sql, tables: t } = yield* Database
  const remote = simulator.mailbox(account.email)
  const rows = yield* orDie(
    sql<{ remote_id: string; folder: string; subject: string; is_read: boolean; flagged: boolean }>`
    select m.remote_id, f.remote_id as folder, m.subject, m.is_read, m.is_flagged as flagged
    from ${t.messages} m join ${t.folders} f on f.account_id = m.account_id and f.id = m.folder_id
    where m.account_id = ${account.id}`,
  )
  const order = (lines: ReadonlyArray<string>) => lines.toSorted()
  assert.deepStrictEqual(
    order(rows.map((row) => [row.remote_id, row.folder, row.subject, row.is_read, row.flagged].join(" "))),
    order(remote.messages.map((m) => [m.id, m.folderId, m.subject, m.isRead, m.flagStatus === "flagged"].join(" "))),
  )
  const folders = yield* Effect.flatMap(Folders, (folders) => folders.list(account.id))
  const roots = remote.folders.filter(({ parentId }) => parentId === null).length
  assert.strictEqual(folders.length, remote.folders.length - roots)
  assert.strictEqual(folders.reduce((sum, { messages }) => sum + messages, 0), remote.messages.length)
  return { rows, folders, remote }
})

const kinds = (account: MailAccount, from = 0) =>
  Effect.map(
    changesOf(account.id),
    (entries) =>
      entries.slice(from).map(({ fields, kind, origin }) =>
        [kind.replace("message.", ""), origin, ...(fields ?? [])].join(" ")
      ),
  )

const state = Effect.fnUntraced(function* (account: MailAccount) {
  const { sql, tables: t } = yield* Database
  const [row] = yield* orDie(sql<{
    failures: number
    code: string | null
    held: boolean
    synced: boolean
    due: number | null
  }>`select sync_failures as failures, sync_failure_code as code, coalesce(sync_lease_until > now(), false) as held,
      synced_at is not null as synced, extract(epoch from sync_due_at - now())::float8 as due
    from ${t.accounts} where id = ${account.id}`)
  return row!
})

const near = (actual: number | null, seconds: number, tolerance = 0.11) =>
  assert.isTrue(
    actual !== null && actual > seconds * (1 - tolerance) - 5 && actual < seconds * (1 + tolerance),
    `${actual} s is not about ${seconds} s`,
  )

let next = 0
/** An account that no other test has. */
const anAccount = Effect.suspend(() => simulatedAccount(++next))

const messages = 60

await onDatabases("SyncAccount", syncing({ accounts: 200, messages, oddPages: 0.3 }), (it, engine) => {
  it.effect("stores a whole mailbox, nested folders and roles included, and is due again", () =>
    Effect.gen(function* () {
      const account = yield* anAccount
      const { changes } = yield* sync(account)
      assert.strictEqual(changes, messages)
      const { folders, remote } = yield* inStep(account)
      assert.deepStrictEqual(new Set(yield* kinds(account)), new Set(["created backfill"]))
      const roles = new Map(folders.flatMap(({ displayName, role }) => role === undefined ? [] : [[role, displayName]]))
      const named = (name: string) => remote.folders.find(({ wellKnown }) => wellKnown === name)?.displayName
      assert.deepStrictEqual(
        ["inbox", "sent", "drafts", "junk", "trash", "archive"].map((role) => roles.get(role as "inbox")),
        ["inbox", "sentitems", "drafts", "junkemail", "deleteditems", "archive"].map(named),
      )
      assert.isTrue(folders.every(({ syncedAt }) => syncedAt !== null))
      const after = yield* state(account)
      assert.deepStrictEqual([after.failures, after.held, after.synced], [0, false, true])
      near(after.due, 300)

      const list = yield* Messages
      const inbox = yield* list.list({ accountId: account.id, folder: "inbox", limit: 500 })
      assert.strictEqual(inbox.items.length, folders.find(({ role }) => role === "inbox")?.messages)
    }))

  it.effect("an answer that cannot be stored is told on the account, which is tried again later", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      const answered = simulator.handler.bind(simulator)
      // Longer than an entry of an index may be.
      const long = Array.from({ length: 500 }, () => crypto.randomUUID()).join("")
      const broken = async (request: Request) => {
        const answer = await answered(request)
        if (!request.url.includes("/messages/delta")) return answer
        return new Response((await answer.text()).replaceAll(/"id":"/g, `"id":"${long}`), answer)
      }
      Object.assign(simulator, { handler: broken })
      const error = yield* Effect.flip(sync(account)).pipe(
        Effect.ensuring(Effect.sync(() => Object.assign(simulator, { handler: answered }))),
      )
      assert.deepInclude({ ...error }, { _tag: "ProviderError", code: "internal_error", class: "unknown" })
      const failed = yield* state(account)
      assert.deepStrictEqual([failed.failures, failed.code, failed.held], [1, "internal_error", false])
      near(failed.due, 900)

      yield* sync(account)
      yield* inStep(account)
      assert.strictEqual((yield* state(account)).failures, 0)
    }))

  it.effect("asks little of a mailbox in which nothing happened", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      simulator.configure({ oddPages: 0 })
      simulator.resetCounters()
      assert.deepStrictEqual(yield* sync(account), { changes: 0 })
      const { folders } = yield* inStep(account)
      const parents = new Set(folders.flatMap(({ parentId }) => parentId === undefined ? [] : [parentId])).size
      assert.strictEqual(simulator.counters().graph.requests, 1 + parents + folders.length)
      assert.deepStrictEqual(simulator.violations().counts, {})
      simulator.configure({ oddPages: 0.3 })
    }))

  it.effect("brings what was delivered, changed, moved and deleted, each once", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      const held = simulator.mailbox(account.email)
      const inbox = held.folders.find(({ wellKnown }) => wellKnown === "inbox")!.id
      const [a, b, c, d] = held.messages.filter(({ folderId }) => folderId === inbox)
      simulator.deliver(account.email, { count: 2, subject: "fresh" })
      simulator.editMessage(account.email, a!.id, { isRead: !a!.isRead })
      simulator.moveMessage(account.email, b!.id, "archive")
      simulator.moveMessage(account.email, c!.id, "deleteditems")
      simulator.removeMessage(account.email, d!.id)
      assert.deepStrictEqual(yield* sync(account), { changes: 6 })
      yield* inStep(account)
      assert.deepStrictEqual((yield* kinds(account, messages)).toSorted(), [
        "created live",
        "created live",
        "deleted live",
        "moved live",
        "moved live",
        "updated live isRead",
      ])
    }))

  it.effect("reconciles without false entries when the provider forgets its cursors", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      for (const form of ["410", "code"] as const) {
        const before = (yield* changesOf(account.id)).length
        const [a, b, ...others] = simulator.mailbox(account.email).messages
        const elsewhere = others.find(({ folderId }) => folderId !== a!.folderId)
        simulator.expireCursors(account.email, form)
        simulator.moveMessage(account.email, a!.id, elsewhere!.folderId)
        simulator.removeMessage(account.email, b!.id)
        simulator.deliver(account.email)
        yield* sync(account)
        yield* inStep(account)
        const news = (yield* kinds(account, before)).map((line) => line.split(" ")[0]).toSorted()
        assert.deepStrictEqual(news, ["created", "deleted", "moved"])
      }
    }))

  it.effect("follows folders that come and go", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      const outer = simulator.addFolder(account.email, { displayName: "outer" })
      const inner = simulator.addFolder(account.email, { displayName: "inner", parent: outer.id })
      const [a, b] = simulator.mailbox(account.email).messages
      simulator.moveMessage(account.email, a!.id, inner.id)
      simulator.moveMessage(account.email, b!.id, inner.id)
      yield* sync(account)
      const { folders } = yield* inStep(account)
      const stored = (name: string) => folders.find(({ displayName }) => displayName === name)
      assert.strictEqual(stored("inner")?.parentId, stored("outer")?.id)
      assert.strictEqual(stored("inner")?.messages, 2)

      simulator.moveMessage(account.email, a!.id, "inbox")
      simulator.removeFolder(account.email, outer.id)
      yield* sync(account)
      yield* inStep(account)
      assert.deepStrictEqual((yield* kinds(account, messages)).toSorted(), [
        "deleted live",
        "moved live",
        "moved live",
        "moved live",
      ])
    }))

  it.effect("refreshes the access token when Graph refuses it, and asks no more than 4 at once", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      simulator.deliver(account.email)
      yield* Effect.sleep(2)
      simulator.withdrawAccessTokens(account.email)
      yield* Effect.sleep(2)
      simulator.resetCounters()
      simulator.configure({ latency: 5 })
      assert.deepStrictEqual(yield* sync(account), { changes: 1 })
      simulator.configure({ latency: 0 })
      const counters = simulator.counters()
      assert.strictEqual(counters.token.requests, 1)
      assert.strictEqual(counters.mailboxes.peak, 4)
      assert.deepStrictEqual(simulator.violations().counts, {})
    }))

  it.effect("waits out a short pause in place, and hands a long one back", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      yield* sync(account)
      simulator.deliver(account.email)
      simulator.script({
        endpoint: "graph",
        email: account.email,
        answers: [{ status: 429, headers: { "retry-after": "0.4" } }],
      })
      const started = performance.now()
      assert.deepStrictEqual(yield* sync(account), { changes: 1 })
      assert.isAtLeast(performance.now() - started, 400)

      simulator.deliver(account.email)
      simulator.script({
        endpoint: "graph",
        email: account.email,
        answers: [{ times: 3 }, { status: 429, body: "slow down", headers: { "retry-after": "120" } }].map((
          answer,
          i,
        ) => i === 0 ? { status: 429, headers: { "retry-after": "0" }, ...answer } : answer),
      })
      const error = yield* Effect.flip(sync(account))
      assert.strictEqual(error._tag, "ProviderError")
      if (error._tag !== "ProviderError") return
      assert.strictEqual(error.class, "throttled")
      assert.isAbove(error.retryAfterMillis ?? 0, 118_000)
      const failed = yield* state(account)
      assert.deepStrictEqual([failed.failures, failed.code, failed.held], [1, "throttled", false])
      near(failed.due, 120)
      // The pause stands for the whole mailbox.
      const notSent = yield* Effect.flip(sync(account))
      assert.strictEqual(notSent._tag === "ProviderError" && notSent.notSent, true)
    }))

  it.effect("gets through faults that pass, and loses and repeats nothing by them", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      simulator.script({
        endpoint: "graph",
        email: account.email,
        answers: [{ fault: "gateway" }, { fault: "error" }, { fault: "reset" }],
      })
      yield* sync(account)
      assert.strictEqual((yield* changesOf(account.id)).length, messages)
      yield* inStep(account)
      simulator.deliver(account.email)
      simulator.script({ endpoint: "graph", email: account.email, answers: [{ fault: "lost", times: 3 }] })
      assert.deepStrictEqual(yield* sync(account), { changes: 1 })

      simulator.script({ endpoint: "graph", email: account.email, answers: [{ fault: "gateway", times: 4 }] })
      const error = yield* Effect.flip(sync(account))
      assert.strictEqual(error._tag === "ProviderError" && error.class, "transient")
      near((yield* state(account)).due, 60)
    }), 20_000)

  it.effect("records a failure by its class and goes on from where it was", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      for (
        const [status, code, expected, due] of [
          [404, "MailboxNotEnabledForRESTAPI", "account_blocked", 86_400],
          [403, "ErrorAccessDenied", "consent_required", 86_400],
          [400, "SomethingNew", "provider_answer_unknown", 900],
        ] as const
      ) {
        simulator.refuseMailbox(account.email, { status, code })
        const error = yield* Effect.flip(sync(account))
        assert.strictEqual(error._tag === "ProviderError" && error.code, expected)
        assert.strictEqual(error._tag === "ProviderError" && error.providerCode, code)
        const failed = yield* state(account)
        assert.deepStrictEqual([failed.code, failed.held], [expected, false])
        near(failed.due, due)
      }
      simulator.refuseMailbox(account.email, null)
      yield* sync(account)
      yield* inStep(account)
      const after = yield* state(account)
      assert.deepStrictEqual([after.failures, after.code], [0, null])
    }))

  it.effect("joins callers in one round that outlives them", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      simulator.configure({ latency: 20 })
      simulator.resetCounters()
      const first = yield* Effect.forkChild(sync(account))
      yield* Effect.sleep(5)
      const others = yield* Effect.forkChild(Effect.all([sync(account), sync(account)], { concurrency: "unbounded" }))
      yield* Fiber.interrupt(first)
      const [one, two] = yield* Fiber.join(others)
      simulator.configure({ latency: 0 })
      assert.deepStrictEqual([one, two], [{ changes: messages }, { changes: messages }])
      assert.strictEqual((yield* changesOf(account.id)).length, messages)
    }))

  it.effect("waits for the round of another process, and takes over one that died", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const leases = yield* SyncLeases
      const account = yield* anAccount
      const theirs = yield* acquireLease(account.id)
      const joined = yield* Effect.forkChild(sync(account))
      yield* Effect.sleep(300)
      yield* leases.succeed(theirs, 60_000)
      assert.deepStrictEqual(yield* Fiber.join(joined), { changes: 0 })

      const failing = yield* acquireLease(account.id)
      const failed = yield* Effect.forkChild(Effect.flip(sync(account)))
      yield* Effect.sleep(50)
      yield* leases.fail(failing, { code: "account_blocked", message: "blocked", dueInMillis: 1_000 })
      const error = yield* Fiber.join(failed)
      assert.deepStrictEqual(error._tag === "ProviderError" && [error.class, error.code], [
        "blocked",
        "account_blocked",
      ])

      yield* acquireLease(account.id)
      const takes = yield* Effect.forkChild(sync(account))
      yield* Effect.sleep(50)
      yield* orDie(sql`update ${t.accounts} set sync_lease_until = now() where id = ${account.id}`)
      assert.deepStrictEqual(yield* Fiber.join(takes), { changes: messages })
      yield* inStep(account)
    }))

  it.effect("lets go of an account that a fault of the database ended, as soon as the database is back", () =>
    Effect.gen(function* () {
      const account = yield* anAccount
      const leases = yield* SyncLeases
      const down = Effect.die(new Error("the database is down"))
      let fails = 0
      const faulty = Layer.succeed(SyncLeases, {
        ...leases,
        succeed: () => down,
        release: (key) => fails++ < 2 ? down : leases.release(key),
      })
      const program = Layer.fresh(SyncAccount.layer).pipe(Layer.provide(faulty), Layer.provide(yield* services))
      const released = Effect.map(state(account), ({ held }) => !held)
      yield* Effect.gen(function* () {
        assert.isTrue(Exit.hasDies(yield* Effect.exit(sync(account))))
        assert.isFalse(yield* released)
        yield* eventually("it lets go", released, (isReleased) => isReleased)
      }).pipe(Effect.provide(program))
      assert.strictEqual(fails, 3)
    }))

  it.effect("knows no account that does not exist", () =>
    Effect.gen(function* () {
      const program = yield* SyncAccount
      for (const id of ["nonsense", crypto.randomUUID()]) {
        assert.strictEqual((yield* Effect.flip(program.sync(id)))._tag, "AccountGone")
      }
    }))

  it.effect("loses and repeats nothing wherever it is cut off", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      simulator.configure({ latency: 3 })
      let delivered = messages
      for (let cut = 5; cut < 100; cut += engine === "postgres" ? 4 : 9) {
        // A service of its own for each try: closing it is what the end of a process does.
        yield* Effect.timeoutOption(sync(account), cut).pipe(
          Effect.provide(Layer.fresh(SyncAccount.layer).pipe(Layer.provide(yield* services))),
        )
        simulator.deliver(account.email)
        delivered++
        const [a] = simulator.mailbox(account.email).messages.slice(3)
        simulator.moveMessage(account.email, a!.id, cut % 2 === 0 ? "archive" : "inbox")
      }
      simulator.configure({ latency: 0 })
      yield* sync(account)
      yield* inStep(account)
      const entries = yield* changesOf(account.id)
      const created = entries.filter(({ kind }) => kind === "message.created").map(({ messageId }) => messageId)
      assert.strictEqual(new Set(created).size, delivered)
      assert.strictEqual(created.length, delivered)
      assert.deepStrictEqual(entries.filter(({ kind }) => kind === "message.deleted"), [])
    }))

  it.effect(
    "goes on after a turn as soon as those before it have had theirs, and loses nothing where turns are cut off",
    () =>
      Effect.gen(function* () {
        const { simulator } = yield* Provider
        const account = yield* anAccount
        simulator.configure({ latency: 2 })
        const small = Layer.fresh(SyncAccount.layerWith({ pages: 1, millis: 20_000 })).pipe(
          Layer.provide(yield* services),
        )
        const first = yield* Effect.provide(turn(account), small)
        assert.isFalse(first.complete)
        const between = yield* state(account)
        assert.deepStrictEqual([between.held, between.synced, between.failures], [false, false, 0])
        assert.isAtMost(between.due ?? 1, 0)
        let delivered = messages
        for (let cut = 4; cut < 60; cut += engine === "postgres" ? 5 : 14) {
          yield* Effect.timeoutOption(Effect.andThen(turn(account), turn(account)), cut).pipe(Effect.provide(small))
          simulator.deliver(account.email)
          delivered++
          const [a] = simulator.mailbox(account.email).messages.slice(5)
          simulator.moveMessage(account.email, a!.id, cut % 2 === 0 ? "archive" : "inbox")
        }
        simulator.configure({ latency: 0 })
        yield* Effect.provide(sync(account), small)
        yield* sync(account)
        yield* inStep(account)
        const entries = yield* changesOf(account.id)
        const created = entries.filter(({ kind }) => kind === "message.created").map(({ messageId }) => messageId)
        assert.deepStrictEqual([new Set(created).size, created.length], [delivered, delivered])
        assert.deepStrictEqual(entries.filter(({ kind }) => kind === "message.deleted"), [])
      }),
    60_000,
  )

  it.effect("has the provider's answer decide on a channel that nobody chose, before it reads through it", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const { sql, tables: t } = yield* Database
      const account = yield* anAccount
      yield* orDie(sql`update ${t.accounts} set channel_open = true where id = ${account.id}`)
      simulator.resetCounters()
      // These tokens decide nothing: then it waits.
      const error = yield* Effect.flip(turn(account))
      assert.strictEqual(error._tag === "ProviderError" && error.class, "transient")
      near((yield* state(account)).due, 60)
      const { graph, token } = simulator.counters()
      assert.deepStrictEqual([graph.requests, token.requests], [0, 1])
      yield* orDie(sql`update ${t.accounts} set channel_open = false where id = ${account.id}`)
      assert.deepStrictEqual(yield* sync(account), { changes: messages })
    }))

  it.effect("ends in step with mailboxes that change all the while", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* anAccount
      simulator.configure({ latency: 2 })
      const places = ["inbox", "archive", "sentitems", "deleteditems"]
      let deleted = 0
      let delivered = messages
      const meddle = Effect.gen(function* () {
        for (let n = 0; n < 150; n++) {
          const { messages: held } = simulator.mailbox(account.email)
          const message = held[(n * 7) % held.length]!
          if (n % 10 === 0) {
            simulator.removeMessage(account.email, message.id)
            deleted++
          } else if (n % 5 === 0) {
            simulator.deliver(account.email)
            delivered++
          } else {
            simulator.moveMessage(account.email, message.id, places[n % places.length]!)
          }
          if (n === 75) simulator.expireCursors(account.email)
          yield* Effect.sleep(3)
        }
      })
      const meddling = yield* Effect.forkChild(meddle)
      while (meddling.pollUnsafe() === undefined) yield* sync(account)
      assert.isTrue(Exit.isSuccess(yield* Fiber.await(meddling)))
      simulator.configure({ latency: 0 })
      yield* sync(account)
      yield* sync(account)
      yield* inStep(account)
      const entries = yield* changesOf(account.id)
      const of = (kind: string) => entries.filter((entry) => entry.kind === kind).map(({ messageId }) => messageId)
      const created = of("message.created")
      const gone = of("message.deleted")
      // No message is told as deleted and created for a move.
      assert.strictEqual(new Set(created).size, created.length)
      assert.strictEqual(new Set(gone).size, gone.length)
      assert.strictEqual(created.length - gone.length, delivered - deleted)
      assert.isAtMost(gone.length, deleted)
      assert.isAtMost(created.length, delivered)
    }))
})

/** What `SyncAccount` is built from, shared by all of a test. */
const services = Effect.map(
  Effect.context<Layer.Services<typeof SyncAccount.layer>>(),
  (context) => Layer.succeedContext(context),
)
