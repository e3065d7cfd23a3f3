import { assert } from "@effect/vitest"
import { DateTime, Deferred, Effect, Exit, Fiber, Redacted, Schema, Scope } from "effect"
import { TestClock } from "effect/testing"
import { codeOf, type FailureClass } from "../../src/domain/FailureClass.ts"
import { newId } from "../../src/domain/Ids.ts"
import type { GrantStore, Settlement } from "../../src/oauth/GrantStore.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { column, Database, orDie } from "../../src/storage/Database.ts"
import { onDatabases } from "../support/databases.ts"
import { changesOf } from "../support/mail.ts"
import { eventually } from "../support/processes.ts"
import {
  access,
  accountOf,
  addAccount,
  addSharer,
  age,
  endLease,
  failing,
  fleet,
  grantOf,
  held,
  importAgain,
  type Member,
  process,
  rotated,
  Script,
  statusOf,
  unrotated,
} from "./fleet.ts"

/** The entries of an account's status in the change log. */
const statuses = (member: Member) =>
  Effect.map(
    changesOf(member.id),
    (entries) =>
      entries.filter(({ kind }) => kind === "account.status").map(({ fields }) => (fields ?? []).join(" → ")),
  )

/** As `test`, where the test says what time it is. The database's own clock goes on. */
const withClock = Effect.provide(TestClock.layer())

/** Fails the first `times` calls that store something of `member`, before or after they have stored it. */
const failingStore =
  (member: () => Member, times: number, when: "before" | "after") => (store: GrantStore["Service"]) => {
    let left = times
    return {
      ...store,
      settle: (batch: ReadonlyArray<Settlement>) =>
        Effect.suspend(() => {
          const mine = batch.some(({ grant }) => grant.id === member().grantId) && left-- > 0
          if (!mine) return store.settle(batch)
          const down = Effect.die(new Error("the database is down"))
          return when === "before" ? down : Effect.andThen(store.settle(batch), down)
        }),
    }
  }

await onDatabases("Tokens", fleet, (it, engine) => {
  it.effect("redeems once for a hundred callers, and hands out what it stored", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const answers = yield* Effect.forEach(
        Array.from({ length: 100 }, (_, n) => n),
        (n) => n % 2 === 0 ? tokens.refresh(member.grantId, "graph") : tokens.accessToken(member.grantId, "graph"),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`])
      assert.deepStrictEqual(new Set(answers.map(access)), new Set([`access to graph by ${member.name}.1`]))
      assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.2`, leased: false })
      // From the cache.
      const later = yield* tokens.accessToken(member.grantId, "graph")
      assert.strictEqual(access(later), `access to graph by ${member.name}.1`)
      assert.strictEqual(script.sent.length, 1)
    }))

  it.effect("redeems again where somebody asks for a refresh, or for a longer validity than is left", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      yield* tokens.refresh(member.grantId, "graph")
      yield* tokens.refresh(member.grantId, "graph")
      assert.strictEqual(script.sent.length, 2)
      yield* tokens.accessToken(member.grantId, "graph", { minValidity: "59 minutes" })
      assert.strictEqual(script.sent.length, 2)
      yield* age(member, 2)
      yield* tokens.accessToken(member.grantId, "graph", { minValidity: "57 minutes" })
      assert.strictEqual(script.sent.length, 2)
      const { expiresAt } = yield* tokens.accessToken(member.grantId, "graph", { minValidity: "59 minutes" })
      assert.deepStrictEqual(script.tokensOf(member.name), [1, 2, 3].map((n) => `${member.name}.${n}`))
      const left = DateTime.toEpochMillis(expiresAt) - Date.now()
      assert.isTrue(left > 3_500_000 && left < 3_700_000, `${left} ms`)
    }))

  it.effect("serves a token of the last minute to whoever asks for a longer validity than tokens have", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const long = (resource: "graph" | "outlook-imap") =>
        tokens.accessToken(member.grantId, resource, { minValidity: "2 hours" })
      const first = access(yield* long("graph"))
      for (let time = 0; time < 3; time++) assert.strictEqual(access(yield* long("graph")), first)
      assert.strictEqual(script.sent.length, 1)
      // Of two resources each has its own age: one that is to be replaced is not young because of the other.
      yield* age(member, 55)
      yield* long("outlook-imap")
      assert.notStrictEqual(access(yield* long("graph")), first)
      assert.strictEqual(script.sent.length, 3)
      // But never one that has ended.
      script.answer = (sent) => Effect.map(rotated(sent), (redemption) => ({ ...redemption, expiresIn: 0 }))
      yield* tokens.refresh(member.grantId, "graph")
      script.answer = rotated
      assert.isAbove((yield* long("graph")).expiresAt.epochMilliseconds, Date.now())
      assert.strictEqual(script.sent.length, 5)
    }))

  it.effect("keeps an access token for each resource, from one refresh token, one redemption after the other", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const both = ["graph", "outlook-imap", "graph", "outlook-imap"] as const
      const answers = yield* Effect.forEach(both, (resource) => tokens.accessToken(member.grantId, resource), {
        concurrency: "unbounded",
      })
      assert.deepStrictEqual(answers.map(({ resource }) => resource), [...both])
      assert.sameMembers(script.sent.map(({ resource }) => resource), ["graph", "outlook-imap"])
      assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`, `${member.name}.2`])
      assert.strictEqual(script.mostInFlight, 1)
    }))

  for (
    const [name, answer, provider] of [["rotates", rotated, "microsoft"], ["does not", unrotated, "google"]] as const
  ) {
    it.effect(`redeems once for two processes, where the provider ${name}`, () =>
      Effect.gen(function* () {
        const script = new Script()
        const gate = held(answer)
        script.answer = gate.answer
        const first = yield* process(script)
        const lost = yield* Deferred.make<void>()
        const second = yield* process(script, (store) => ({
          ...store,
          lease: (ids) =>
            Effect.tap(
              store.lease(ids),
              ([answer]) => answer?._tag === "Held" ? Deferred.succeed(lost, undefined) : Effect.void,
            ),
        }))
        const member = yield* addAccount({ provider })
        const winner = yield* Effect.forkChild(first.refresh(member.grantId, member.resource))
        yield* gate.asked
        const loser = yield* Effect.forkChild(second.refresh(member.grantId, member.resource))
        yield* Deferred.await(lost)
        yield* gate.release
        const [one, other] = [yield* Fiber.join(winner), yield* Fiber.join(loser)]
        assert.strictEqual(access(one), access(other))
        assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`])
        assert.strictEqual((yield* grantOf(member)).leased, false)
      }))
  }

  it.effect("has one redemption of a grant in flight, over many callers in several processes", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = (sent) => Effect.andThen(Effect.sleep("2 millis"), rotated(sent))
      const processes = yield* Effect.all([process(script), process(script), process(script)])
      const member = yield* addAccount()
      yield* Effect.forEach(
        Array.from({ length: 30 }, (_, n) => processes[n % 3]!),
        (tokens, n) => Effect.andThen(Effect.sleep(n * 3), tokens.refresh(member.grantId, "graph")),
        { concurrency: "unbounded" },
      )
      assert.strictEqual(script.mostInFlight, 1)
      const used = script.tokensOf(member.name)
      assert.strictEqual(new Set(used).size, used.length, "a token was redeemed twice")
      assert.strictEqual((yield* grantOf(member)).version, used.length + 1)
    }))

  it.effect("goes on where a process died in the middle, once its lease has ended", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = (sent) => script.sent.length === 1 ? gate.answer(sent) : rotated(sent)
      const dead = yield* process(script)
      const alive = yield* process(script)
      const member = yield* addAccount()
      const lost = yield* Effect.forkChild(dead.refresh(member.grantId, "graph"))
      yield* gate.asked
      yield* endLease(member)
      yield* alive.refresh(member.grantId, "graph")
      // It was not dead but slow, and its answer comes when a newer one is stored.
      yield* gate.release
      assert.strictEqual(access(yield* Fiber.join(lost)), `access to graph by ${member.name}.1`)
      assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.2`, leased: false })
      assert.strictEqual(script.sent.length, 2)
    }))

  it.effect("sends nothing under a lease that it heard of when it was nearly over: another process may be at it", () =>
    Effect.gen(function* () {
      const script = new Script()
      const alive = yield* process(script)
      const member = yield* addAccount()
      const services = yield* Effect.context<Database>()
      let isFirst = true
      const frozen = yield* process(script, (store) => ({
        ...store,
        lease: (ids) =>
          Effect.tap(store.lease(ids), () => {
            if (!isFirst) return Effect.void
            isFirst = false
            // As where a process stands still, or is cut off, before it hears that the lease is its own.
            return Effect.andThen(endLease(member), alive.refresh(member.grantId, "graph")).pipe(
              Effect.andThen(TestClock.adjust("11 seconds")),
              Effect.provide(services),
              Effect.orDie,
            )
          }),
      }))
      const { token } = yield* frozen.refresh(member.grantId, "graph")
      assert.strictEqual(Redacted.value(token), `access to graph by ${member.name}.2`)
      assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`, `${member.name}.2`])
      assert.deepInclude(yield* grantOf(member), { version: 3, refreshToken: `${member.name}.3`, leased: false })
    }).pipe(withClock))

  it.effect("does not believe a failure of a process that lost its lease", () =>
    Effect.gen(function* () {
      const script = new Script()
      const [slow, quick] = [held(failing("needs_user")), held()]
      script.answer = (sent) => script.sent.length === 1 ? slow.answer(sent) : quick.answer(sent)
      const first = yield* process(script)
      const second = yield* process(script)
      const member = yield* addAccount()
      const late = yield* Effect.forkChild(first.refresh(member.grantId, "graph"))
      yield* slow.asked
      yield* endLease(member)
      const winner = yield* Effect.forkChild(second.refresh(member.grantId, "graph"))
      yield* quick.asked
      yield* slow.release
      yield* eventually("the late one is asked no more", Effect.sync(() => script.inFlight), (n) => n === 1)
      assert.strictEqual(yield* statusOf(member), "pending")
      yield* quick.release
      assert.strictEqual(access(yield* Fiber.join(late)), access(yield* Fiber.join(winner)))
      assert.strictEqual(yield* statusOf(member), "active")
      assert.deepStrictEqual(yield* statuses(member), ["pending → active"])
    }))

  it.effect("stores what it redeemed even where every caller has gone", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = gate.answer
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const callers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(tokens.refresh(member.grantId, "graph")))
      yield* gate.asked
      yield* Fiber.interruptAll(callers)
      assert.strictEqual(script.inFlight, 1)
      yield* gate.release
      yield* eventually("it is stored", grantOf(member), ({ version }) => version === 2)
      assert.strictEqual(yield* statusOf(member), "active")
      assert.strictEqual(
        access(yield* tokens.accessToken(member.grantId, "graph")),
        `access to graph by ${member.name}.1`,
      )
      assert.strictEqual(script.sent.length, 1)
    }))

  it.effect("stores what it redeemed before its process ends, even where the database fails at first", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = gate.answer
      const scope = yield* Scope.make()
      const member = yield* addAccount()
      const tokens = yield* Scope.provide(process(script, failingStore(() => member, 3, "before")), scope)
      yield* Effect.forkChild(Effect.exit(tokens.refresh(member.grantId, "graph")))
      yield* gate.asked
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      yield* Effect.yieldNow
      assert.isUndefined(closing.pollUnsafe())
      yield* gate.release
      yield* Fiber.join(closing)
      assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.2`, leased: false })
    }))

  it.effect("is not part of a caller's transaction", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = gate.answer
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const { sql, tables: t } = yield* Database
      const rolledBack = yield* Effect.exit(sql.withTransaction(Effect.gen(function* () {
        yield* sql`update ${t.accounts} set tags = '{mine}' where id = ${member.id}`
        yield* Effect.forkDetach(Effect.ignore(tokens.refresh(member.grantId, "graph")))
        return yield* Effect.fail("rolled back")
      })))
      assert.isTrue(Exit.isFailure(rolledBack))
      yield* gate.asked
      assert.isTrue((yield* grantOf(member)).leased)
      yield* gate.release
      yield* eventually("it is stored", grantOf(member), ({ version }) => version === 2)
      assert.deepStrictEqual((yield* accountOf(member)).tags, [])
      if (engine === "embedded") return
      // A transaction that waits for a token is bad manners, and on the embedded database's one connection it cannot end.
      yield* Effect.exit(
        sql.withTransaction(Effect.andThen(tokens.refresh(member.grantId, "graph"), Effect.fail("no"))),
      )
      assert.strictEqual((yield* grantOf(member)).version, 3)
    }))

  for (
    const [name, answer] of [["succeeds", rotated], ["says that the grant is dead", failing("needs_user")]] as const
  ) {
    it.effect(`prefers the token of an import that came while a redemption was under way which ${name}`, () =>
      Effect.gen(function* () {
        const script = new Script()
        const tokens = yield* process(script)
        const member = yield* addAccount()
        yield* tokens.refresh(member.grantId, "graph")
        const gate = held(answer)
        script.answer = (sent) => sent.refreshToken === `${member.name}.2` ? gate.answer(sent) : rotated(sent)
        const caller = yield* Effect.forkChild(tokens.refresh(member.grantId, "graph"))
        yield* gate.asked
        yield* importAgain(member, `${member.name}.100`)
        assert.deepInclude(yield* grantOf(member), { version: 3, refreshToken: `${member.name}.100` })
        yield* gate.release
        assert.strictEqual(access(yield* Fiber.join(caller)), `access to graph by ${member.name}.100`)
        assert.deepInclude(yield* grantOf(member), {
          version: 4,
          refreshToken: `${member.name}.101`,
          leased: false,
          failure_class: null,
        })
        assert.deepStrictEqual(yield* statuses(member), ["pending → active", "active → pending", "pending → active"])
      }))
  }

  it.effect("serves a token that is still valid while refreshing fails", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const first = access(yield* tokens.refresh(member.grantId, "graph"))
      for (const failureClass of ["transient", "throttled", "needs_user", "app"] as const) {
        yield* age(member, 3)
        script.answer = failing(failureClass, { reach: "grant", retryAfterMillis: 1 })
        const served = yield* tokens.accessToken(member.grantId, "graph", { minValidity: "2 hours" })
        assert.strictEqual(access(served), first)
      }
      assert.strictEqual(script.sent.length, 5)
      const other = yield* Effect.flip(tokens.accessToken(member.grantId, "outlook-imap"))
      assert.strictEqual(other.class, "app")
      const asked = yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
      assert.strictEqual(asked.class, "app")
    }))

  it.effect("does not ask again for what was refused a moment ago, but where somebody asks for a refresh", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const ask = Effect.flip(tokens.accessToken(member.grantId, "graph"))
      for (const failureClass of ["needs_user", "blocked", "ambiguous", "scope"] as const) {
        const before = script.sent.length
        script.answer = failing(failureClass, { providerCode: "AADSTS1" })
        assert.isUndefined((yield* ask).notSent)
        for (let time = 0; time < 3; time++) {
          const { code, message, notSent, providerCode } = yield* ask
          assert.deepStrictEqual({ code, message, providerCode, notSent }, {
            code: codeOf[failureClass],
            message: `the provider said ${failureClass}`,
            providerCode: "AADSTS1",
            notSent: true,
          })
        }
        assert.strictEqual(script.sent.length, before + 1)
        yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
        assert.strictEqual(script.sent.length, before + 2)
        yield* age(member, 3)
      }
      // A permission that is missing for one resource says nothing of another.
      yield* ask
      const asked = script.sent.length
      script.answer = rotated
      yield* tokens.accessToken(member.grantId, "outlook-imap")
      script.answer = failing("scope")
      yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
      yield* addSharer(member, "imap")
      yield* ask
      assert.strictEqual(script.sent.length, asked + 3)
      // A fault that passes is asked about again; a new token of the user is used at once.
      script.answer = failing("needs_user")
      yield* ask
      yield* importAgain(member, `${member.name}.100`)
      script.answer = failing("transient")
      yield* ask
      yield* ask
      assert.strictEqual(script.sent.length, asked + 6)
      script.answer = rotated
      assert.strictEqual(
        access(yield* tokens.accessToken(member.grantId, "graph")),
        `access to graph by ${member.name}.100`,
      )
    }))

  it.effect("tries a new secret at once, whichever process was given it", () =>
    Effect.gen(function* () {
      const script = new Script()
      const { sql, tables: t } = yield* Database
      const tokens = yield* process(script)
      const member = yield* addAccount()
      script.answer = failing("app", { reach: "app" })
      yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
      assert.isTrue((yield* Effect.flip(tokens.refresh(member.grantId, "graph"))).notSent)
      script.answer = rotated
      yield* orDie(sql`update ${t.apps} set updated_at = updated_at + interval '1 hour'
        where client_id = ${member.clientId}`)
      yield* tokens.refresh(member.grantId, "graph")
      assert.strictEqual(script.sent.length, 2)
    }))

  it.effect("says so where there is no such grant, or no longer", () =>
    Effect.gen(function* () {
      const script = new Script()
      const gate = held()
      script.answer = gate.answer
      const tokens = yield* process(script)
      assert.strictEqual((yield* Effect.flip(tokens.refresh(newId(), "graph"))).code, "grant_not_found")
      const member = yield* addAccount()
      const caller = yield* Effect.forkChild(Effect.flip(tokens.refresh(member.grantId, "graph")))
      yield* gate.asked
      yield* (yield* Accounts).remove(member.id)
      yield* gate.release
      assert.strictEqual((yield* Fiber.join(caller)).code, "grant_not_found")
    }))

  it.effect("takes a defect of a provider module for a passing fault", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = () => Effect.die(new Error("a bug"))
      const tokens = yield* process(script)
      const member = yield* addAccount()
      assert.strictEqual((yield* Effect.flip(tokens.refresh(member.grantId, "graph"))).class, "transient")
      assert.deepInclude(yield* grantOf(member), { version: 1, leased: false, failure_class: "transient" })
      assert.strictEqual(yield* statusOf(member), "pending")
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "graph")
    }))

  it.effect("keeps the refresh token where the provider sends none", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = unrotated
      const tokens = yield* process(script)
      const member = yield* addAccount({ provider: "google" })
      for (let round = 1; round <= 3; round++) {
        yield* tokens.refresh(member.grantId, "gmail")
        assert.deepInclude(yield* grantOf(member), { version: 1, refreshToken: `${member.name}.1`, leased: false })
        assert.isNotNull((yield* accountOf(member)).token.refreshedAt)
      }
      assert.deepStrictEqual(script.tokensOf(member.name), [1, 1, 1].map((n) => `${member.name}.${n}`))
      // Against its documentation.
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "gmail")
      assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.2` })
    }))

  for (const when of ["before", "after"] as const) {
    it.effect(`tries to store a redemption until it is, where the database fails ${when} it has`, () =>
      Effect.gen(function* () {
        const script = new Script()
        const member = yield* addAccount()
        const tokens = yield* process(script, failingStore(() => member, 3, when))
        assert.strictEqual(
          access(yield* tokens.refresh(member.grantId, "graph")),
          `access to graph by ${member.name}.1`,
        )
        assert.deepInclude(yield* grantOf(member), { version: 2, refreshToken: `${member.name}.2`, leased: false })
        assert.strictEqual(script.sent.length, 1)
        assert.deepStrictEqual(yield* statuses(member), ["pending → active"])
        script.answer = failing("needs_user")
        const refused = yield* process(script, failingStore(() => member, 3, when))
        assert.strictEqual((yield* Effect.flip(refused.refresh(member.grantId, "graph"))).class, "needs_user")
        assert.deepInclude(yield* grantOf(member), { version: 2, leased: false, failures: 1 })
        assert.strictEqual(script.sent.length, 2)
        assert.deepStrictEqual(yield* statuses(member), ["pending → active", "active → needs_reauth"])
      }))
  }

  it.effect("keeps a rotated token that came with a failure, and goes on with it", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      script.answer = failing("transient", { refreshToken: Redacted.make(`${member.name}.2`) })
      assert.strictEqual((yield* Effect.flip(tokens.refresh(member.grantId, "graph"))).class, "transient")
      assert.deepInclude(yield* grantOf(member), {
        version: 2,
        refreshToken: `${member.name}.2`,
        leased: false,
        failure_class: "transient",
      })
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "graph")
      assert.deepStrictEqual(script.tokensOf(member.name), [`${member.name}.1`, `${member.name}.2`])
    }))

  it.effect("lets a redemption that cannot be stored hold up no other, before it or after it", () =>
    Effect.gen(function* () {
      const script = new Script()
      const stuck = yield* addAccount()
      const others = yield* Effect.forEach([1, 2, 3, 4], () => addAccount())
      const failed = yield* Deferred.make<void>()
      let broken = true
      const tokens = yield* process(script, (store) => ({
        ...store,
        settle: (batch) =>
          broken && batch.some(({ grant }) => grant.id === stuck.grantId)
            ? Effect.andThen(Deferred.succeed(failed, undefined), Effect.die(new Error("a bad row")))
            : store.settle(batch),
      }))
      const refresh = ({ grantId }: Member) => Effect.forkChild(tokens.refresh(grantId, "graph"))
      const waiting = yield* refresh(stuck)
      const beside = yield* Effect.forEach(others.slice(0, 2), refresh)
      yield* Deferred.await(failed)
      const after = yield* Effect.forEach(others.slice(2), refresh)
      yield* Fiber.joinAll([...beside, ...after])
      assert.isUndefined(waiting.pollUnsafe())
      broken = false
      yield* Fiber.join(waiting)
      assert.strictEqual((yield* grantOf(stuck)).version, 2)
    }))

  it.effect("writes each change of a status once, for each account of the grant that is in use", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const { sql, tables: t } = yield* Database
      const accounts = yield* Accounts
      const [shared, off] = [{ ...member, id: newId() }, { ...member, id: newId() }]
      for (const { id } of [shared, off]) {
        yield* orDie(sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id)
          values (${id}, 'microsoft', ${id}, ${id}, 'graph', ${member.grantId})`)
      }
      yield* accounts.patch(off.id, { status: "disabled" })
      const step = (answer: typeof script.answer) =>
        Effect.suspend(() => {
          script.answer = answer
          return Effect.exit(tokens.refresh(member.grantId, "graph"))
        })
      yield* step(rotated)
      yield* step(rotated)
      yield* step(failing("transient"))
      yield* step(failing("needs_user"))
      const { statusReason } = yield* accountOf(member)
      assert.strictEqual(statusReason, "the provider said needs_user")
      yield* step(failing("needs_user"))
      yield* step(failing("blocked"))
      yield* step(rotated)
      assert.notProperty(yield* accountOf(member), "statusReason")
      const entries = ["pending → active", "active → needs_reauth", "needs_reauth → blocked", "blocked → active"]
      assert.deepStrictEqual(yield* statuses(member), entries)
      assert.deepStrictEqual(yield* statuses(shared), entries)
      assert.deepStrictEqual(yield* statuses(off), ["pending → disabled"])
      assert.strictEqual(yield* statusOf(off), "disabled")
    }))

  it.effect("believes an unexplained refusal only after three further tries over three hours", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = failing("ambiguous")
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const { sql, tables: t } = yield* Database
      const hoursPass = (hours: number) =>
        orDie(sql`update ${t.grants} set failing_since = failing_since - make_interval(hours => ${hours})
          where id = ${member.grantId}`)
      const refresh = Effect.flip(tokens.refresh(member.grantId, "graph"))
      for (let n = 1; n <= 6; n++) yield* refresh
      assert.strictEqual(yield* statusOf(member), "pending", "six tries in a second")
      // What counts is the grant's own row: another refusal ends it, and a fault that passes neither ends it nor counts.
      const step = (failureClass: FailureClass) => {
        script.answer = failing(failureClass)
        return refresh
      }
      yield* step("unknown")
      yield* hoursPass(5)
      yield* step("ambiguous")
      yield* step("transient")
      yield* hoursPass(5)
      yield* step("ambiguous")
      yield* step("ambiguous")
      yield* step("transient")
      assert.strictEqual(yield* statusOf(member), "pending", "two further tries")
      yield* step("ambiguous")
      assert.strictEqual(yield* statusOf(member), "needs_reauth")
      assert.isAtLeast((yield* grantOf(member)).due!, 86_000)
    }))

  it.effect("believes the refusal of a grant out of a backup only after three further tries over three hours", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const [member, cured] = [yield* addAccount(), yield* addAccount()]
      const { sql, tables: t } = yield* Database
      const both = column("uuid", [member.grantId, cured.grantId])
      yield* Effect.forEach([member, cured], ({ grantId }) => tokens.refresh(grantId, "graph"))
      yield* orDie(sql`update ${t.grants} set restored_at = now() where id = any(${both})`)

      const refuse = ({ grantId }: typeof member) => {
        script.answer = failing("needs_user", { providerCode: "AADSTS700082" })
        return Effect.flip(tokens.refresh(grantId, "graph"))
      }
      for (let n = 1; n <= 5; n++) yield* refuse(member)
      assert.strictEqual(yield* statusOf(member), "active", "five tries in a second")
      assert.isBelow((yield* grantOf(member)).due!, 3_600 * 1.2)
      yield* orDie(sql`update ${t.grants} set failing_since = failing_since - interval '3 hours'
        where id = ${member.grantId}`)
      yield* refuse(member)
      assert.strictEqual(yield* statusOf(member), "needs_reauth")

      // One that has been redeemed since is as any other.
      yield* refuse(cured)
      assert.strictEqual(yield* statusOf(cured), "active")
      script.answer = rotated
      yield* tokens.refresh(cured.grantId, "graph")
      yield* refuse(cured)
      assert.strictEqual(yield* statusOf(cured), "needs_reauth")
    }))

  it.effect("sends nothing under a key that is paused, and goes on under the others", () =>
    withClock(Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const clientId = newId()
      const member = yield* addAccount({ clientId })
      const sameTenant = yield* addAccount({ clientId })
      const otherTenant = yield* addAccount({ clientId, tenant: "contoso.com" })
      const otherApp = yield* addAccount()
      const all = [member, sameTenant, otherTenant, otherApp]
      for (
        const [reach, paused] of [
          ["grant", [member]],
          ["tenant", [member, sameTenant]],
          ["app", [member, sameTenant, otherTenant]],
        ] as const
      ) {
        script.answer = failing("throttled", { reach, retryAfterMillis: 60_000 })
        const first = yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
        assert.deepInclude({ ...first }, { class: "throttled", retryAfterMillis: 60_000 })
        assert.isUndefined(first.notSent)
        script.answer = rotated
        yield* TestClock.adjust("20 seconds")
        for (const one of all) {
          const before = script.sent.length
          const result = yield* Effect.result(tokens.refresh(one.grantId, "graph"))
          const isPaused = paused.some(({ id }) => id === one.id)
          assert.strictEqual(result._tag, isPaused ? "Failure" : "Success", `${reach} ${all.indexOf(one)}`)
          assert.strictEqual(script.sent.length - before, isPaused ? 0 : 1)
          if (result._tag === "Failure") {
            assert.deepInclude({ ...result.failure }, { class: "throttled", notSent: true, retryAfterMillis: 40_000 })
          }
          assert.isFalse((yield* grantOf(one)).leased)
        }
        yield* TestClock.adjust("40 seconds")
        yield* tokens.refresh(member.grantId, "graph")
      }
      for (const one of all) assert.strictEqual(yield* statusOf(one), "active")
    })))

  it.effect("finds a pause by itself where the provider names none, longer each time", () =>
    withClock(Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const throttle = (expected: number) =>
        Effect.gen(function* () {
          script.answer = failing("throttled", { reach: "app" })
          const { retryAfterMillis } = yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
          assert.strictEqual(retryAfterMillis, expected)
          yield* TestClock.adjust(expected)
        })
      for (const seconds of [1, 2, 4, 8, 16, 32, 60, 60]) yield* throttle(seconds * 1_000)
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "graph")
      yield* throttle(1_000)
    })))

  it.effect("stops an app that is refused, leaves its accounts alone, and finds out when it is in order again", () =>
    withClock(Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const clientId = newId()
      const members = yield* Effect.forEach(Array.from({ length: 8 }), () => addAccount({ clientId }))
      const member = members[0]!
      yield* tokens.refresh(member.grantId, "graph")
      const other = yield* addAccount()
      const refuse = failing("app", { providerCode: "AADSTS7000222" })
      script.answer = (sent) => sent.clientId === clientId ? refuse() : rotated(sent)

      const untilOpen = Effect.repeat(Effect.flip(tokens.refresh(member.grantId, "graph")), {
        until: ({ notSent }) => notSent === true,
      })
      const opened = yield* untilOpen
      assert.deepInclude({ ...opened }, { class: "app", code: "app_misconfigured" })
      assert.isAtMost(script.sent.length, 4, "one that succeeded, and three refusals")
      const attempts = script.sent.length
      const refreshAll = Effect.forEach(members, ({ grantId }) => Effect.result(tokens.refresh(grantId, "graph")), {
        concurrency: "unbounded",
      })
      for (const result of yield* refreshAll) assert.strictEqual(result._tag, "Failure")
      assert.strictEqual(script.sent.length, attempts)
      yield* tokens.refresh(other.grantId, "graph")

      // One probe, which is refused, then a longer time; then one that is not.
      yield* TestClock.adjust("30 seconds")
      yield* refreshAll
      assert.strictEqual(script.sent.length, attempts + 2)
      yield* TestClock.adjust("30 seconds")
      yield* refreshAll
      assert.strictEqual(script.sent.length, attempts + 2)
      yield* TestClock.adjust("30 seconds")
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "graph")
      for (const result of yield* refreshAll) assert.strictEqual(result._tag, "Success")
      for (const one of members) {
        assert.deepStrictEqual(yield* statuses(one), ["pending → active"])
        assert.isFalse((yield* grantOf(one)).leased)
      }
    })))

  it.effect.prop(
    "changes a status only for an answer that calls for it",
    [
      Schema.Array(
        Schema.Literals(["ok", "throttled", "transient", "app", "unknown", "scope", "blocked", "needs_user"]),
      )
        .check(Schema.isBetweenLength(1, 12)),
    ],
    ([answers]) =>
      withClock(Effect.gen(function* () {
        const script = new Script()
        const tokens = yield* process(script)
        const member = yield* addAccount()
        const calledFor = (answer: FailureClass | "ok") =>
          answer === "ok"
            ? "active"
            : answer === "blocked"
            ? "blocked"
            : answer === "scope" || answer === "needs_user"
            ? "needs_reauth"
            : undefined
        let status: string = "pending"
        let version = 1
        const log: Array<string> = []
        for (const [index, answer] of answers.entries()) {
          // Pauses and open circuits are over by then.
          yield* TestClock.adjust("1 hour")
          script.answer = answer === "ok" ? rotated : failing(answer, { reach: "app", retryAfterMillis: 1_000 })
          const result = yield* Effect.result(tokens.refresh(member.grantId, "graph"))
          assert.strictEqual(result._tag === "Success" ? "ok" : result.failure.class, answer)
          assert.strictEqual(script.sent.length, index + 1)
          const next: string = calledFor(answer) ?? status
          if (next !== status) log.push(`${status} → ${next}`)
          status = next
          if (answer === "ok") version++
          assert.strictEqual(yield* statusOf(member), status)
          assert.deepInclude(yield* grantOf(member), { version, leased: false })
        }
        assert.deepStrictEqual(yield* statuses(member), log)
      })),
    { arbitrary: { runs: 25 } },
  )
})
