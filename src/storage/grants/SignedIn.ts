/** From a sign-in to an account that works: a new one, or one that was there, in one transaction. */
import { Context, Data, Effect, Layer, Redacted, Schedule } from "effect"
import type { AccountStatus, Channel, Provider, Resource } from "../../domain/Account.ts"
import { SignInRefused } from "../../domain/ConnectSession.ts"
import { type AccountId, type AppId, type GrantId, newId } from "../../domain/Ids.ts"
import { Settings } from "../../domain/Settings.ts"
import { Vault } from "../../oauth/Vault.ts"
import { tellChanged } from "../AccountEvents.ts"
import { statusChange } from "../Accounts.ts"
import { appendAudit } from "../AuditLog.ts"
import { makeSubjects } from "../AuditSubjects.ts"
import { appendChanges } from "../mail/ChangeLog.ts"
import { column, Database } from "../Database.ts"
import { registeredLife } from "./Endings.ts"
import { accessOf, grantOwner } from "./Grants.ts"
import { followPolicies, lockTagPolicies } from "./Policies.ts"

export interface NewSignIn {
  readonly appId: AppId
  readonly provider: Provider
  /** Of a new account; that of an account which is there stays. */
  readonly channel: Channel
  readonly tags: ReadonlyArray<string>
  /** The account that is to be revived; undefined = whichever has one of the addresses, else a new one. */
  readonly accountId?: AccountId | undefined
  /** The provider's id of who signed in. */
  readonly subject: string
  /** The address of the mailbox, and all that are the person's. */
  readonly address: string
  readonly addresses: ReadonlyArray<string>
  /** Those of them that the provider vouches for. */
  readonly verified: ReadonlyArray<string>
  readonly resource: Resource
  readonly accessToken: Redacted.Redacted
  readonly expiresInSeconds: number
  readonly refreshToken: Redacted.Redacted
  readonly livesSeconds: number | undefined
  readonly dueInSeconds: { readonly keepAlive: number; readonly warm: number }
  /** The session that this ends, if there is one. */
  readonly sessionId?: string | undefined
  /** Named in the audit log. */
  readonly actor: string
}

export interface Connected {
  readonly accountId: AccountId
  readonly grantId: GrantId
  readonly email: string
  readonly isNew: boolean
  /** The operator has switched the account off, and it stays so. */
  readonly isDisabled: boolean
}

interface Existing {
  readonly id: string
  readonly email: string
  readonly grant_id: string
  readonly by_name: boolean
  readonly status: AccountStatus
  readonly kind: "refresh_token" | "client_credentials" | "service_account"
  readonly subject: string | null
}

const gone = new SignInRefused({
  code: "account_gone",
  message: "the account was deleted meanwhile; nothing was stored",
})

/** Another account was stored under the same address in this very moment. */
class Raced extends Data.TaggedError("Raced") {}

export class SignedIn extends Context.Service<SignedIn, {
  /**
   * Stores a sign-in, or refuses it where somebody else was to sign in; then nothing of it is stored. Reviving keeps the
   * account with its id, folders, cursors and mail; its grant gets the new token and the app that was signed in with.
   */
  readonly store: (signIn: NewSignIn) => Effect.Effect<Connected, SignInRefused>
}>()("mailfleet/storage/SignedIn") {
  static readonly layer: Layer.Layer<SignedIn, never, Database | Settings | Vault> = Layer.effect(
    SignedIn,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const vault = yield* Vault
      const { sql, tables: t } = database

      /** Never a part of the caller's transaction: what that rolls back, the provider has given out all the same. */
      const apart: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E> = Effect.updateContext(
        Context.omit(sql.transactionService),
      )

      /** The one named, or the one that has an address of the person: the mailbox's own first. Locked, grant and account. */
      const existingOf = ({ accountId, address, addresses, provider }: NewSignIn) => {
        const condition = accountId === undefined
          // Unique index on accounts (provider, email_key).
          ? sql`a.provider = ${provider} and a.email_key = any(${
            column("text", addresses.map((one) => one.toLowerCase()))
          }::text[] collate "C")`
          : sql`a.id = ${accountId}`
        return Effect.map(
          sql<Existing>`select a.id, a.email, a.grant_id, a.by_name, a.status, g.kind, g.subject
            from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id where ${condition}
            order by a.email_key = ${address.toLowerCase()} desc, a.id limit 1 for update of g, a`,
          (rows) => rows[0],
        )
      }

      /** Who may sign in for an account that is there: whoever did before, else whose verified address it has. */
      const faultOf = Effect.fnUntraced(
        function* ({ accountId, address, subject, verified }: NewSignIn, it: Existing) {
          const wrongPerson = new SignInRefused({
            code: "wrong_person",
            message: "another person signed in than the one that the account belongs to; nothing was stored",
            expected: it.email,
            actual: address,
          })
          if (it.kind !== "refresh_token" || (it.by_name && accountId === undefined)) {
            return new SignInRefused({
              code: "account_taken",
              message: "the mailbox is here already, read by another grant than its user's; delete that account first",
              actual: address,
            })
          }
          if (it.subject !== null) return it.subject === subject ? undefined : wrongPerson
          // A shared mailbox is read by the right of a person with a mailbox of the own, perhaps.
          const owners = it.by_name
            ? yield* sql<
              { email_key: string }
            >`select email_key from ${t.accounts} where grant_id = ${it.grant_id} and not by_name`
            : [{ email_key: it.email.toLowerCase() }]
          const known = verified.map((one) => one.toLowerCase())
          return owners.some(({ email_key }) => known.includes(email_key)) ? undefined : wrongPerson
        },
      )

      /** The columns of a grant that a sign-in sets, as `set` wants them. Of the grant `g`. */
      const fresh = (signIn: NewSignIn, grantId: GrantId) =>
        sql`app_id = ${signIn.appId}, kind = 'refresh_token', tenant = null, subject = ${signIn.subject},
          secret = ${vault.seal(grantOwner(grantId), Redacted.value(signIn.refreshToken))},
          token_hash = ${
          vault.hash(signIn.refreshToken)
        }, refreshed_at = now(), signed_in_at = now(), restored_at = null,
          lives_until = (select least(now() + make_interval(secs => ${signIn.livesSeconds ?? null}::float8),
            now() + ${sql.literal(registeredLife)}) from ${t.apps} p where p.id = ${signIn.appId}),
          due_at = now() + make_interval(secs => ${signIn.dueInSeconds.keepAlive}::float8),
          attempt_at = now() + make_interval(secs => ${signIn.dueInSeconds.keepAlive}::float8)`

      const keepAccess = (signIn: NewSignIn, grantId: GrantId) =>
        sql`insert into ${t.access_tokens} (grant_id, resource, secret, expires_at, renew_at)
          values (${grantId}, ${signIn.resource},
            ${vault.seal(grantOwner(grantId), Redacted.value(signIn.accessToken), accessOf(signIn.resource))},
            now() + make_interval(secs => ${signIn.expiresInSeconds}::float8),
            now() + make_interval(secs => ${signIn.dueInSeconds.warm}::float8))`

      const add = Effect.fnUntraced(function* (signIn: NewSignIn) {
        const accountId = newId()
        const grantId = newId()
        yield* sql`insert into ${t.grants} (id, app_id) values (${grantId}, ${signIn.appId})`
        yield* sql`update ${t.grants} g set ${fresh(signIn, grantId)} where id = ${grantId}`
        const made =
          yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, tags, status,
            sync_due_at)
          values (${accountId}, ${signIn.provider}, ${signIn.address}, ${signIn.address.toLowerCase()}, ${signIn.channel},
            ${grantId}, ${column("text", signIn.tags)}, 'active', now())
          on conflict (provider, email_key) do nothing returning id`
        if (made.length === 0) return yield* new Raced()
        const connected: Connected = { accountId, grantId, email: signIn.address, isNew: true, isDisabled: false }
        return { connected, changed: [] }
      })

      const revive = Effect.fnUntraced(function* (signIn: NewSignIn, it: Existing) {
        const grantId = it.grant_id
        yield* sql`insert into ${t.grant_tokens} (grant_id, hash) select id, token_hash from ${t.grants}
          where id = ${grantId} and token_hash is not null and token_hash <> ${vault.hash(signIn.refreshToken)}
          on conflict do nothing`
        // A redemption of the old token that is under way finds the version moved, and keeps nothing.
        yield* sql`update ${t.grants} g set ${
          fresh(signIn, grantId)
        }, version = version + 1, lease_fence = lease_fence + 1,
            lease_until = null, claimed_until = null, failures = 0, failing_since = null, failure_class = null,
            failure_code = null, failure_message = null, failure_trace_id = null, failure_correlation_id = null,
            failed_at = null
          where id = ${grantId}`
        yield* sql`delete from ${t.access_tokens} where grant_id = ${grantId}`
        yield* sql`update ${t.accounts} set tags = (select coalesce(array_agg(distinct tag), '{}') from
            unnest(tags || ${column("text", signIn.tags)}::text[]) as tag), updated_at = now()
          where id = ${it.id}`
        // All accounts that read by this grant are cured with it, but for those that the operator has switched off.
        const touched = yield* sql<{ id: string; email: string; before: AccountStatus }>`with touched as (
            select id, status as before from ${t.accounts} where grant_id = ${grantId} and status <> 'disabled'
            order by id for no key update
          )
          update ${t.accounts} a set status = 'active', status_reason = null, updated_at = now(), sync_due_at = now(),
            status_since = case a.status when 'active' then a.status_since else now() end
          from touched where a.id = touched.id returning a.id, a.email, touched.before`
        if (touched.length === 0) {
          yield* sql`update ${t.grants} set due_at = null, attempt_at = null where id = ${grantId}`
        }
        return {
          connected: {
            accountId: it.id,
            grantId,
            email: it.email,
            isNew: false,
            isDisabled: it.status === "disabled",
          },
          changed: touched.filter(({ before }) => before !== "active"),
        }
      })

      const store = Effect.fnUntraced(function* (signIn: NewSignIn) {
        yield* lockTagPolicies(database)
        const existing = yield* existingOf(signIn)
        if (existing === undefined && signIn.accountId !== undefined) return yield* gone
        const fault = existing === undefined ? undefined : yield* faultOf(signIn, existing)
        if (fault !== undefined) return yield* fault
        const { changed, connected } = existing === undefined ? yield* add(signIn) : yield* revive(signIn, existing)
        yield* keepAccess(signIn, connected.grantId)
        yield* followPolicies({ database, settings }, sql`${connected.grantId}::uuid`, "warm")
        if (signIn.sessionId !== undefined) {
          yield* sql`update ${t.connect_sessions} set state = 'connected', connected_account_id = ${connected.accountId},
              grant_id = ${connected.grantId}, secret = null, finished_at = now() where id = ${signIn.sessionId}`
        }
        yield* tellChanged(database, changed.map((one) => ({ ...one, after: "active" as const })))
        yield* appendChanges(
          database,
          connected.isNew
            ? [statusChange(connected.accountId, "pending", "active")]
            : changed.map(({ id, before }) => statusChange(id, before, "active")),
        )
        const { accountId, grantId } = connected
        const subjects = yield* makeSubjects(database)([accountId])
        yield* appendAudit(
          database,
          [{
            actor: signIn.actor,
            action: "sign_in",
            accountId,
            grantId,
            resource: signIn.resource,
            outcome: "connected",
          }],
          subjects,
        )
        return connected
      })

      return SignedIn.of({
        store: (signIn) =>
          sql.withTransaction(store(signIn)).pipe(
            // The code is spent: what a passing fault of the database undoes would be lost, and somebody had to sign in again.
            Effect.retry({
              while: (error) => error._tag === "Raced" || (error._tag === "SqlError" && error.isRetryable),
              schedule: Schedule.spaced("200 millis"),
              times: 5,
            }),
            Effect.catchTags({ Raced: Effect.die, SqlError: Effect.die }),
            apart,
            Effect.withSpan("SignedIn.store"),
          ),
      })
    }),
  )
}
