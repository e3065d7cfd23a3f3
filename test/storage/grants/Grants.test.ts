/** Leases in batches, and what redemptions leave behind: when a grant is due, when it is tried, and why it fails. */
import { assert } from "@effect/vitest"
import { DateTime, Deferred, Effect, Layer, Option, Redacted } from "effect"
import type { FailureClass } from "../../../src/domain/FailureClass.ts"
import { type GrantId, newId } from "../../../src/domain/Ids.ts"
import { ProviderError } from "../../../src/domain/ProviderError.ts"
import { type GrantLease, GrantStore, type LeasedGrant, type Settlement } from "../../../src/oauth/GrantStore.ts"
import { type AccountPatch, Accounts } from "../../../src/storage/Accounts.ts"
import { DueGrants } from "../../../src/storage/grants/DueGrants.ts"
import { column, Database, orDie } from "../../../src/storage/Database.ts"
import { Policies } from "../../../src/storage/grants/Policies.ts"
import {
  accountOf,
  addAccount,
  addSharer,
  age,
  endLease,
  failing,
  fleet,
  grantOf,
  importAgain,
  type Member,
  process,
  rotated,
  Script,
  setDue,
  statusOf,
  successor,
} from "../../oauth/fleet.ts"
import { onDatabases } from "../../support/databases.ts"
import { changesOf } from "../../support/mail.ts"
import { eventually } from "../../support/processes.ts"

const minute = 60
const hour = 3_600
const day = 86_400

const layer = Policies.layer.pipe(Layer.provideMerge(fleet), Layer.orDie)

const lease = (...ids: ReadonlyArray<GrantId>) => Effect.flatMap(GrantStore, (store) => store.lease(ids))

const leased = Effect.fnUntraced(function* ({ grantId }: Pick<Member, "grantId">) {
  const [answer] = yield* lease(grantId)
  assert(answer?._tag === "Leased")
  return answer
})

const settle = (...batch: ReadonlyArray<Settlement>) => Effect.flatMap(GrantStore, (store) => store.settle(batch))

type Redeemed = Extract<Settlement, { readonly _tag: "Redeemed" }>

/** A redemption for Graph whose token lives an hour: due in 20 hours, or, while warm, in 50 minutes. */
const redeemed = (grant: LeasedGrant, more: Partial<Redeemed> = {}): Redeemed => ({
  _tag: "Redeemed",
  grant,
  resource: "graph",
  accessToken: Redacted.make("access"),
  expiresInSeconds: hour,
  refreshToken: Redacted.make(successor(Redacted.value(grant.refreshToken!))),
  dueInSeconds: { keepAlive: 20 * hour, warm: 50 * minute },
  ...more,
})

type Failed = Extract<Settlement, { readonly _tag: "Failed" }>

const failed = (
  grant: GrantLease,
  attemptInSeconds: number,
  movesDue: boolean,
  more: Partial<Failed> = {},
): Failed => ({
  _tag: "Failed",
  grant,
  resource: "graph",
  class: "transient",
  code: "provider_unavailable",
  message: "the provider is down",
  traceId: undefined,
  correlationId: undefined,
  refreshToken: undefined,
  recorded: true,
  status: undefined,
  attemptInSeconds,
  movesDue,
  ...more,
})

const dead: Partial<Failed> = { class: "needs_user", code: "AADSTS700082", status: "needs_reauth" }

const patch = ({ id }: Pick<Member, "id">, change: AccountPatch) =>
  Effect.flatMap(Accounts, (accounts) => accounts.patch(id, change))

const refused = (grant: LeasedGrant) => failed(grant, day, true, dead)

/** Seconds until a grant is due and tried; null = not by itself. */
const timesOf = Effect.fnUntraced(function* ({ grantId }: Pick<Member, "grantId">) {
  const { sql, tables: t } = yield* Database
  const rows = yield* sql<{ due: number | null; attempt: number | null; claimed: boolean }>`select
      extract(epoch from due_at - now())::float8 as due, extract(epoch from attempt_at - now())::float8 as attempt,
      claimed_until is not null as claimed
    from ${t.grants} where id = ${grantId}`
  return rows[0]!
}, orDie)

/** `actual` is `expected`, give or take the time that the test took. */
const assertSeconds = (actual: number | null, expected: number) => {
  assert.isNotNull(actual)
  assert.approximately(actual!, expected - 29, 30)
}

/** Due and tried in so many seconds, and claimed by nobody. */
const assertDue = Effect.fnUntraced(function* (member: Pick<Member, "grantId">, seconds: number) {
  const { attempt, claimed, due } = yield* timesOf(member)
  assertSeconds(due, seconds)
  assert.strictEqual(attempt, due)
  assert.isFalse(claimed)
})

const resting = { due: null, attempt: null, claimed: false }

const claimAll = Effect.flatMap(DueGrants, (grants) => grants.claim(1_000, 600, []))

await onDatabases("Grants", layer, (it, engine) => {
  it.effect("leases in batches: one answer for each id, in their order", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const [free, held, off, half, unreadable, other] = yield* Effect.all([
        addAccount(),
        addAccount(),
        addAccount(),
        addAccount(),
        addAccount(),
        addAccount(),
      ])
      yield* leased(held)
      yield* patch(off, { status: "disabled" })
      yield* addSharer(half, "imap")
      yield* patch(half, { status: "disabled" })
      yield* orDie(sql`update ${t.grants} set secret = '\\x00' where id = ${unreadable.grantId}`)
      const expected = new Map<GrantId, string>([
        [other.grantId, "Leased"],
        [newId(), "Missing"],
        [off.grantId, "Disabled"],
        [unreadable.grantId, "Unreadable"],
        [half.grantId, "Leased"],
        [held.grantId, "Held"],
        [newId(), "Missing"],
        [free.grantId, "Leased"],
      ])
      const answers = yield* lease(...expected.keys())
      assert.deepStrictEqual(answers.map(({ _tag }) => _tag), [...expected.values()])
      const names = new Map([free, half, other].map(({ grantId, name }) => [grantId, name]))
      for (const [index, id] of [...expected.keys()].entries()) {
        const answer = answers[index]!
        if (answer._tag !== "Leased") continue
        assert.strictEqual(answer.grant.id, id)
        assert.strictEqual(Redacted.value(answer.grant.refreshToken!), `${names.get(id)}.1`)
      }
      assert.deepStrictEqual(yield* lease(), [])
    }))

  it.effect("a lease that ran out is taken over; one that was given back, or settled, is not", () =>
    Effect.gen(function* () {
      const store = yield* GrantStore
      const member = yield* addAccount()
      const first = yield* leased(member)
      assert.isFalse(first.takenOver)
      yield* endLease(member)
      const second = yield* leased(member)
      assert.isTrue(second.takenOver)
      assert.strictEqual(second.grant.fence, first.grant.fence + 1n)
      // Whoever lost the lease cannot give it back.
      yield* store.release(first.grant)
      assert.strictEqual((yield* lease(member.grantId))[0]?._tag, "Held")
      yield* store.release(second.grant)
      const third = yield* leased(member)
      assert.isFalse(third.takenOver)
      yield* settle(redeemed(third.grant))
      assert.isFalse((yield* leased(member)).takenOver)
    }))

  it.effect("batches that overlap lease each grant once, and wait for none of each other's", () =>
    Effect.gen(function* () {
      const store = yield* GrantStore
      const members = yield* Effect.forEach(Array.from({ length: 40 }), () => addAccount())
      const ids = members.map(({ grantId }) => grantId)
      const orders = [ids, [...ids].reverse(), [...ids.slice(20), ...ids.slice(0, 20)]]
      for (let round = 0; round < 10; round++) {
        const answers = (yield* Effect.forEach(orders, (order) => lease(...order), { concurrency: "unbounded" })).flat()
        const grants = answers.flatMap((answer) => answer._tag === "Leased" ? [answer.grant] : [])
        assert.deepStrictEqual(grants.map(({ id }) => id).sort(), [...ids].sort())
        assert.strictEqual(answers.filter(({ _tag }) => _tag === "Held").length, 2 * ids.length)
        yield* Effect.forEach(grants, store.release)
      }
    }))

  it.effect("settles in batches: one answer for each, in their order", () =>
    Effect.gen(function* () {
      const [good, lost, moved, stale, bad] = yield* Effect.all([
        addAccount(),
        addAccount(),
        addAccount(),
        addAccount(),
        addAccount(),
      ])
      const [goodLease, lostLease, movedLease, staleLease, badLease] = yield* Effect.all([
        leased(good),
        leased(lost),
        leased(moved),
        leased(stale),
        leased(bad),
      ])
      yield* settle(redeemed(movedLease.grant))
      // A failure is believed of the holder alone; a rotated token is kept whoever brings it.
      for (const member of [lost, stale]) yield* endLease(member)
      yield* leased(stale)
      const settled = yield* settle(
        failed(staleLease.grant, minute, false),
        redeemed(lostLease.grant),
        failed(badLease.grant, minute, false),
        redeemed(movedLease.grant),
        redeemed(goodLease.grant),
      )
      assert.deepStrictEqual(settled.map(({ applied }) => applied), [false, true, true, false, true])
      for (const [index, { expiresAt }] of settled.entries()) {
        assert.strictEqual(expiresAt !== undefined, index === 1 || index === 4)
      }
      assertSeconds((DateTime.toEpochMillis(settled[4]!.expiresAt!) - Date.now()) / 1_000, hour)
    }))

  it.effect("any redemption, for whatever reason, makes the grant due anew", () =>
    Effect.gen(function* () {
      const tokens = yield* process(new Script())
      const member = yield* addAccount()
      for (
        const redeem of [
          tokens.refresh(member.grantId, "graph"),
          tokens.refresh(member.grantId, "outlook-imap", {
            provider: "microsoft",
            clientId: member.clientId,
            tenant: "common",
          }),
          tokens.accessToken(member.grantId, "graph", { minValidity: "2 hours" }),
        ]
      ) {
        yield* setDue(member, -day)
        yield* age(member, 2)
        yield* claimAll
        yield* redeem
        const { attempt, claimed, due } = yield* timesOf(member)
        assert.isAtLeast(due!, day / 10 - 60)
        assert.isAtMost(due!, day)
        assert.strictEqual(attempt, due)
        assert.isFalse(claimed)
      }
      // From the cache: nothing was redeemed.
      yield* setDue(member, -day)
      yield* tokens.accessToken(member.grantId, "graph")
      yield* assertDue(member, -day)
    }))

  it.effect("follows the policy of the moment of writing", () =>
    Effect.gen(function* () {
      const policies = yield* Policies
      const member = yield* addAccount()
      const tag = newId()
      const steps: ReadonlyArray<readonly [Effect.Effect<unknown, never, Accounts>, number]> = [
        [patch(member, { refreshPolicy: "warm" }), 50 * minute],
        [patch(member, { refreshPolicy: null }), 20 * hour],
        [patch(member, { tags: [tag] }), 20 * hour],
        [policies.set(tag, "warm"), 50 * minute],
        [policies.unset(tag), 20 * hour],
      ]
      for (const [change, due] of steps) {
        const { grant } = yield* leased(member)
        yield* change
        yield* settle(redeemed(grant))
        yield* assertDue(member, due)
      }
    }))

  it.effect("a warm grant is due before the first token to end of those that its accounts read through", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      yield* settle(redeemed((yield* leased(member)).grant))
      const imap = yield* addSharer(member, "imap")
      yield* patch(member, { refreshPolicy: "warm" })
      const redeem = (more: Partial<Redeemed>) =>
        Effect.flatMap(leased(member), ({ grant }) => settle(redeemed(grant, more)))
      yield* redeem({})
      yield* assertDue(member, 0)
      yield* redeem({
        resource: "outlook-imap",
        expiresInSeconds: 30 * minute,
        dueInSeconds: { keepAlive: 20 * hour, warm: 20 * minute },
      })
      yield* assertDue(member, 20 * minute)
      // 10 minutes before the other one ends.
      yield* redeem({ expiresInSeconds: 2 * hour, dueInSeconds: { keepAlive: 20 * hour, warm: 110 * minute } })
      yield* assertDue(member, 20 * minute)
      yield* patch(imap, { status: "disabled" })
      yield* redeem({})
      yield* assertDue(member, 50 * minute)
    }))

  it.effect("a warm grant that nobody uses any more, and that does not rest yet, is due again as if it were used", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const member = yield* addAccount()
      yield* patch(member, { refreshPolicy: "warm" })
      const { grant } = yield* leased(member)
      yield* orDie(sql`update ${t.accounts} set status = 'disabled' where id = ${member.id}`)
      yield* settle(redeemed(grant))
      yield* assertDue(member, 50 * minute)
    }))

  it.effect("a lease tells when the grant would have been due", () =>
    Effect.gen(function* () {
      const store = yield* GrantStore
      const member = yield* addAccount()
      for (const seconds of [-hour, hour]) {
        yield* setDue(member, seconds)
        const { grant } = yield* leased(member)
        assertSeconds(grant.dueInSeconds ?? null, seconds)
        yield* store.release(grant)
      }
    }))

  it.effect("a warm grant with two resources is not due for ever where tokens live shorter than the margin", () =>
    Effect.gen(function* () {
      const script = new Script()
      script.answer = (sent) => Effect.map(rotated(sent), (redemption) => ({ ...redemption, expiresIn: 8 * minute }))
      const tokens = yield* process(script)
      const member = yield* addAccount()
      yield* addSharer(member, "imap")
      yield* patch(member, { refreshPolicy: "warm" })
      yield* tokens.refresh(member.grantId, "graph")
      yield* tokens.refresh(member.grantId, "outlook-imap")
      const { due } = yield* timesOf(member)
      assert.isAbove(due!, minute)
      assert.isBelow(due!, 4 * minute)
    }))

  it.effect("a passing fault leaves the due time, so that the lag is seen; a fault of the grant moves it", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const classes: Readonly<Record<FailureClass, boolean>> = {
        throttled: false,
        transient: false,
        app: false,
        unknown: true,
        ambiguous: true,
        scope: true,
        blocked: true,
        needs_user: true,
      }
      for (const [failureClass, movesDue] of Object.entries(classes) as Array<[FailureClass, boolean]>) {
        const member = yield* addAccount()
        yield* setDue(member, -hour)
        yield* claimAll
        script.answer = failing(failureClass, { reach: "app", retryAfterMillis: 1_000 })
        yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
        const { attempt, claimed, due } = yield* timesOf(member)
        assert.isAtLeast(attempt!, minute - 30, failureClass)
        assert.isFalse(claimed)
        if (movesDue) assert.strictEqual(due, attempt, failureClass)
        else assertSeconds(due, -hour)
      }
    }))

  it.effect("a grant whose accounts were disabled meanwhile goes on resting", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      for (const settlement of [redeemed, (grant: LeasedGrant) => failed(grant, minute, true)]) {
        const { grant } = yield* leased(member)
        yield* patch(member, { status: "disabled" })
        assert.deepStrictEqual((yield* settle(settlement(grant))).map(({ applied }) => applied), [true])
        assert.deepStrictEqual(yield* timesOf(member), resting)
        assert.strictEqual(yield* statusOf(member), "disabled")
        yield* patch(member, { status: "active" })
        yield* assertDue(member, 0)
      }
      // What the provider rotated is kept all the same.
      assert.strictEqual((yield* grantOf(member)).refreshToken, `${member.name}.2`)
    }))

  it.effect("an account says why and how often its redemption failed, until one succeeds", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const failure = (code: string, traceId?: string, correlationId?: string) => () =>
        Effect.fail({
          error: new ProviderError({
            class: "unknown",
            code: "provider_unknown",
            message: code,
            providerCode: code,
            ...(traceId === undefined ? {} : { traceId }),
            ...(correlationId === undefined ? {} : { correlationId }),
          }),
        })
      const refresh = Effect.exit(tokens.refresh(member.grantId, "graph"))
      const lastError = Effect.map(accountOf(member), ({ token }) => token.lastError)

      script.answer = failure("AADSTS1", "trace 1", "correlation 1")
      yield* refresh
      const first = (yield* lastError)!
      assert.deepInclude(first, {
        code: "AADSTS1",
        class: "unknown",
        message: "AADSTS1",
        count: 1,
        traceId: "trace 1",
        correlationId: "correlation 1",
      })
      assert.deepStrictEqual(first.at, first.since)
      script.answer = failure("AADSTS2", "trace 2")
      yield* refresh
      const second = (yield* lastError)!
      assert.deepInclude(second, { code: "AADSTS2", count: 2, since: first.since, traceId: "trace 2" })
      assert.notProperty(second, "correlationId")
      assert.isTrue(DateTime.isGreaterThan(second.at, first.at))

      // Another class is another row of failures.
      script.answer = failing("needs_user")
      yield* refresh
      assert.deepInclude((yield* lastError)!, { class: "needs_user", count: 1 })
      assert.notProperty(yield* lastError, "traceId")

      script.answer = rotated
      yield* refresh
      assert.isUndefined(yield* lastError)
    }))

  it.effect("a permission that no account reads through may be refused: that stops nobody, and moves no time", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      yield* tokens.refresh(member.grantId, "graph")
      yield* setDue(member, hour)
      for (const failureClass of ["scope", "app"] as const) {
        script.answer = failing(failureClass, { reach: "tenant" })
        const error = yield* Effect.flip(tokens.accessToken(member.grantId, "outlook-imap"))
        assert.strictEqual(error.class, failureClass)
        assert.deepInclude(yield* grantOf(member), { leased: false, failures: 0, failure_class: null })
        assert.strictEqual(yield* statusOf(member), "active")
        yield* assertDue(member, hour)
      }
      // A refusal of the grant itself counts, whatever was asked for; and so does one of what an account reads through.
      const imap = yield* addSharer(member, "imap")
      script.answer = failing("scope")
      yield* Effect.flip(tokens.refresh(member.grantId, "outlook-imap"))
      assert.strictEqual(yield* statusOf(imap), "needs_reauth")
      script.answer = rotated
      yield* tokens.refresh(member.grantId, "graph")
      yield* patch(imap, { status: "disabled" })
      script.answer = failing("needs_user")
      yield* Effect.flip(tokens.refresh(member.grantId, "outlook-imap"))
      assert.strictEqual(yield* statusOf(member), "needs_reauth")
    }))

  it.effect("a passing fault leaves what is known of a grant, and only puts off the next attempt", () =>
    Effect.gen(function* () {
      const script = new Script()
      const tokens = yield* process(script)
      for (const known of ["ambiguous", "needs_user", "blocked", "scope", "unknown"] as const) {
        const member = yield* addAccount()
        const fail = (failureClass: FailureClass) => {
          script.answer = failing(failureClass, { reach: "grant", retryAfterMillis: 1 })
          return Effect.flip(tokens.refresh(member.grantId, "graph"))
        }
        yield* fail(known)
        yield* fail(known)
        const { status, statusReason, token: { lastError } } = yield* accountOf(member)
        for (const passing of ["throttled", "transient", "app"] as const) {
          yield* setDue(member, -hour)
          assert.strictEqual((yield* fail(passing)).class, passing)
          const after = yield* accountOf(member)
          assert.deepStrictEqual([after.status, after.statusReason], [status, statusReason])
          assert.deepStrictEqual(after.token.lastError, lastError)
          const { attempt, due } = yield* timesOf(member)
          assert.isAtLeast(attempt!, 14 * minute)
          assertSeconds(due, -hour)
        }
        yield* fail(known)
        assert.strictEqual((yield* grantOf(member)).failures, 3)
      }
    }))

  it.effect("a secret that cannot be decrypted is a failure like others: seen on the account, tried ever more rarely", () =>
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const script = new Script()
      const tokens = yield* process(script)
      const member = yield* addAccount()
      const check = Effect.fnUntraced(function* (code: string, what: string, count: number) {
        const error = yield* Effect.flip(tokens.refresh(member.grantId, "graph"))
        assert.deepInclude({ ...error }, { class: "unknown", code })
        assert.isUndefined(error.notSent)
        const { token: { lastError } } = yield* accountOf(member)
        assert.deepInclude(lastError, { class: "unknown", code, count })
        assert.include(lastError?.message, `${what} cannot be read`)
      })
      yield* orDie(sql`update ${t.apps} set secret = '\\x00' where client_id = ${member.clientId}`)
      yield* check("app_secret_unreadable", "the secret of the app", 1)
      yield* orDie(sql`update ${t.apps} set secret = null where client_id = ${member.clientId}`)
      const [row] = yield* orDie(
        sql<{ secret: Uint8Array }>`select secret from ${t.grants} where id = ${member.grantId}`,
      )
      yield* orDie(sql`update ${t.grants} set secret = '\\x00' where id = ${member.grantId}`)
      yield* check("secret_unreadable", "the refresh token", 2)
      assert.isAtLeast((yield* timesOf(member)).attempt!, 2 * hour - 30)
      assert.strictEqual(script.sent.length, 0)
      yield* orDie(sql`update ${t.grants} set secret = ${row!.secret} where id = ${member.grantId}`)
      yield* tokens.refresh(member.grantId, "graph")
      assert.notProperty((yield* accountOf(member)).token, "lastError")
    }))

  it.effect("a failure that is stored twice counts once; one of a lost lease does not count", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      const { grant } = yield* leased(member)
      for (let time = 0; time < 2; time++) {
        assert.isTrue((yield* settle(failed(grant, minute, false)))[0]!.applied)
        assert.strictEqual((yield* grantOf(member)).failures, 1)
      }
      const next = yield* leased(member)
      assert.isFalse((yield* settle(failed(grant, minute, false)))[0]!.applied, "somebody else asks by now")
      yield* settle(failed(next.grant, minute, false))
      assert.isFalse((yield* settle(failed(grant, minute, false)))[0]!.applied)
      assert.strictEqual((yield* grantOf(member)).failures, 2)
      const last = yield* leased(member)
      yield* settle({ ...redeemed(last.grant), refreshToken: undefined })
      assert.isFalse((yield* settle(failed(next.grant, minute, false)))[0]!.applied)
      assert.strictEqual((yield* grantOf(member)).failures, 0)
    }))

  it.effect("a rotated token is kept where the answer that brought it is a failure, even by who lost the lease", () =>
    Effect.gen(function* () {
      const member = yield* addAccount()
      const first = yield* leased(member)
      const late = failed(first.grant, minute, false, { refreshToken: Redacted.make(`${member.name}.2`) })
      yield* endLease(member)
      yield* leased(member)
      for (let time = 0; time < 2; time++) {
        yield* settle(late)
        assert.deepInclude(yield* grantOf(member), {
          version: 2,
          refreshToken: `${member.name}.2`,
          leased: false,
          failures: 1,
        })
      }
      // The one before is known as a past one.
      assert.strictEqual((yield* importAgain(member, `${member.name}.1`)).outcome, "skipped")
      assert.strictEqual((yield* grantOf(member)).refreshToken, `${member.name}.2`)
    }))

  it.effect("what was not sent is put off: its due time stays, its claim ends, and nothing wakes what rests", () =>
    Effect.gen(function* () {
      const store = yield* GrantStore
      const [member, off] = yield* Effect.all([addAccount(), addAccount()])
      yield* setDue(member, -hour)
      yield* claimAll
      yield* store.postpone(member.grantId, 5 * minute)
      const { attempt, claimed, due } = yield* timesOf(member)
      assertSeconds(due, -hour)
      assertSeconds(attempt, 5 * minute)
      assert.isFalse(claimed)
      yield* patch(off, { status: "disabled" })
      yield* store.postpone(off.grantId, 5 * minute)
      assert.deepStrictEqual(yield* timesOf(off), resting)

      // Nor is anything sent under a lease that is given back.
      yield* setDue(member, -hour)
      yield* claimAll
      yield* store.release((yield* leased(member)).grant)
      assert.deepInclude(yield* timesOf(member), { claimed: false })
      yield* assertDue(member, -hour)
    }))

  it.effect("knows the app of a grant", () =>
    Effect.gen(function* () {
      const store = yield* GrantStore
      const { clientId, grantId } = yield* addAccount({ tenant: "contoso.com" })
      assert.deepStrictEqual(
        yield* store.app(grantId),
        Option.some({ provider: "microsoft" as const, clientId, tenant: "contoso.com" }),
      )
      assert.deepStrictEqual(yield* store.app(newId()), Option.none())
    }))

  if (engine === "postgres") {
    for (const [name, settlement] of [["a redemption", redeemed], ["a refusal", refused]] as const) {
      it.effect(`${name} that changes two accounts, and a page of mail of either, do not lock each other out`, () =>
        Effect.gen(function* () {
          const { changesLock, sql, tables: t } = yield* Database
          for (const held of [0, 1]) {
            const member = yield* addAccount()
            const ids = [member.id, (yield* addSharer(member, "graph")).id].sort()
            yield* orDie(sql`update ${t.accounts} set status = 'blocked' where grant_id = ${member.grantId}`)
            const { grant } = yield* leased(member)
            const settling = yield* Deferred.make<void>()
            // As a sync writes a page: it locks the account, then, at the end, the change log.
            const page = Effect.orDie(sql.withTransaction(Effect.gen(function* () {
              yield* sql`update ${t.accounts} set messages = 7 where id = ${ids[held]!}`
              yield* Deferred.succeed(settling, undefined)
              yield* eventually(
                "the other one waits",
                sql`select 1 from pg_stat_activity where pg_backend_pid() = any(pg_blocking_pids(pid))`,
                (rows) => rows.length > 0,
              )
              yield* sql`select pg_advisory_xact_lock(${changesLock})`
            })))
            const settled = Effect.andThen(Deferred.await(settling), settle(settlement(grant)))
            const [, [answer]] = yield* Effect.all([page, settled], { concurrency: "unbounded" })
            assert.isTrue(answer?.applied)
            const status = settlement === redeemed ? "active" : "needs_reauth"
            for (const [index, id] of ids.entries()) {
              const account = yield* accountOf({ ...member, id })
              assert.deepStrictEqual([account.status, account.sync.messages], [status, index === held ? 7 : 0])
              const entries = (yield* changesOf(id)).map(({ fields }) => fields)
              assert.deepStrictEqual(entries, [["blocked", status]])
            }
          }
        }))
    }

    it.effect("settling many grants and changing their policy at once does not lock each other out", () =>
      Effect.gen(function* () {
        const { sql, tables: t } = yield* Database
        const policies = yield* Policies
        const tag = newId()
        const members = yield* Effect.forEach(Array.from({ length: 200 }), () => addAccount())
        yield* orDie(sql`update ${t.accounts} set tags = ${column("text", [tag])}
          where id = any(${column("uuid", members.map(({ id }) => id))})`)
        const ids = members.map(({ grantId }) => grantId)
        const settleAll = Effect.gen(function* () {
          const answers = yield* lease(...ids)
          const batch = answers.flatMap((answer) => answer._tag === "Leased" ? [redeemed(answer.grant)] : [])
          yield* settle(...batch.reverse())
        })
        const follow = Effect.andThen(policies.set(tag, "warm"), policies.unset(tag))
        yield* Effect.all([Effect.repeat(settleAll, { times: 20 }), Effect.repeat(follow, { times: 20 })], {
          concurrency: "unbounded",
        })
      }))
  }
})
