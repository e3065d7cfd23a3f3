/** Accounts that are read by name: mailboxes of a tenant, shared mailboxes, and those of a service account. */
import { Context, Effect, Layer } from "effect"
import type { SqlError } from "effect/sql"
import type { Channel, Provider } from "../../domain/Account.ts"
import { type GrantKind, GrantRefused, type MailboxOutcome } from "../../domain/Grant.ts"
import { type AppId, type GrantId, newId } from "../../domain/Ids.ts"
import { isEmail } from "../../domain/import/Row.ts"
import { Settings } from "../../domain/Settings.ts"
import { statusChange } from "../Accounts.ts"
import { appendChanges } from "../mail/ChangeLog.ts"
import { column, Database } from "../Database.ts"
import { followPolicies, lockTagPolicies } from "./Policies.ts"

export interface NewMailboxes {
  readonly mailboxes: ReadonlyArray<string>
  readonly tags: ReadonlyArray<string>
  readonly channel: Channel
}

interface GrantRow {
  readonly id: string
  readonly kind: GrantKind
  readonly provider: Provider
  /** Whether its last redemption brought a token. */
  readonly works: boolean
}

export class GrantAccounts extends Context.Service<GrantAccounts, {
  /**
   * Adds mailboxes to a grant, each by itself: one that is there already, on this grant or another, is left as it is. They are
   * `active`, and due for their first sync, where the grant has worked; else `pending` until it does, which is tried at once.
   * Undefined = there is no such grant.
   */
  readonly add: (
    grantId: GrantId,
    mailboxes: NewMailboxes,
  ) => Effect.Effect<ReadonlyArray<MailboxOutcome> | undefined, GrantRefused>
  /** Lets the service account of an app read a mailbox: the account, and a grant of its own. */
  readonly addServiceAccount: (
    appId: AppId,
    mailbox: string,
    tags: ReadonlyArray<string>,
  ) => Effect.Effect<{ readonly id: GrantId; readonly created: boolean }, GrantRefused>
  /** The accounts of these addresses at a provider, by address in lower case. */
  readonly known: (
    provider: Provider,
    addresses: ReadonlyArray<string>,
  ) => Effect.Effect<ReadonlyMap<string, string>>
}>()("mailfleet/storage/GrantAccounts") {
  static readonly layer: Layer.Layer<GrantAccounts, never, Database | Settings> = Layer.effect(
    GrantAccounts,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const { sql, tables: t } = database

      const lockGrant = (id: GrantId) =>
        Effect.map(
          sql<GrantRow>`select g.id, g.kind, p.provider, g.refreshed_at is not null
              and (g.failure_class is null or g.failure_class in ('throttled', 'transient', 'app', 'unknown')) as works
            from ${t.grants} g join ${t.apps} p on p.id = g.app_id where g.id = ${id} for update of g`,
          (rows) => rows[0],
        )

      // Unique index on accounts (provider, email_key).
      const knownIn = (provider: Provider, addresses: ReadonlyArray<string>) =>
        Effect.map(
          sql<{ id: string; email_key: string }>`select a.id, a.email_key from ${t.accounts} a
            where a.provider = ${provider} and a.email_key = any(${
            column("text", addresses.map((one) => one.toLowerCase()))
          }::text[] collate "C")`,
          (rows) => new Map(rows.map(({ email_key, id }) => [email_key, id])),
        )

      /** Inserts accounts of addresses that differ; those that are there already are not among the answers. */
      const insert = Effect.fnUntraced(function* (
        { id: grantId, kind, provider, works }: GrantRow,
        addresses: ReadonlyArray<string>,
        { channel, tags }: Omit<NewMailboxes, "mailboxes">,
      ) {
        const status = works ? "active" : "pending"
        const rows = yield* sql<{ id: string; email_key: string }>`
          insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, by_name, tags, status, sync_due_at)
          select new.id, ${provider}, new.email, lower(new.email), ${channel}, ${grantId}::uuid,
            ${kind !== "service_account"}, ${column("text", tags)}, ${status}, case when ${works} then now() end
          from unnest(${column("uuid", addresses.map(() => newId()))}, ${column("text", addresses)}) as new (id, email)
          on conflict (provider, email_key) do nothing returning id, email_key`
        if (!works && rows.length > 0) {
          yield* sql`update ${t.grants} set due_at = now(), attempt_at = now() where id = ${grantId}`
        }
        yield* followPolicies({ database, settings }, sql`${grantId}::uuid`)
        if (works) yield* appendChanges(database, rows.map(({ id }) => statusChange(id, "pending", "active")))
        return new Map(rows.map(({ email_key, id }) => [email_key, id]))
      })

      const add = Effect.fnUntraced(function* (grantId: GrantId, given: NewMailboxes) {
        yield* lockTagPolicies(database)
        const grant = yield* lockGrant(grantId)
        if (grant === undefined) return undefined
        if (grant.kind === "service_account" || grant.provider !== "microsoft") {
          return yield* new GrantRefused({
            code: "grant_of_one_mailbox",
            message: "a grant at Google opens one mailbox: add each mailbox with a grant of its own",
          })
        }
        const first = new Map<string, string>()
        for (const address of given.mailboxes) {
          const key = address.toLowerCase()
          if (isEmail(address) && !first.has(key)) first.set(key, address)
        }
        const made = first.size === 0 ? new Map<string, string>() : yield* insert(grant, [...first.values()], given)
        const there = yield* knownIn(grant.provider, [...first.keys()])
        return given.mailboxes.map((email): MailboxOutcome => {
          const accountId = there.get(email.toLowerCase())
          return accountId === undefined
            ? {
              email,
              outcome: "failed",
              error: { code: "invalid_email", message: "Expected the address of a mailbox" },
            }
            : { email, outcome: made.delete(email.toLowerCase()) ? "created" : "exists", accountId }
        })
      })

      const serviceAccountGrant = Effect.fnUntraced(
        function* (appId: AppId, mailbox: string, tags: ReadonlyArray<string>) {
          yield* lockTagPolicies(database)
          const id = newId()
          // Pending until its first token, which is asked for at once.
          yield* sql`insert into ${t.grants} (id, app_id, kind, subject, due_at, attempt_at)
          values (${id}, ${appId}, 'service_account', ${mailbox}, now(), now())`
          const grant = { id, kind: "service_account", provider: "google", works: false } as const
          const made = yield* insert(grant, [mailbox], { channel: "gmail", tags })
          if (made.size > 0) return { id, created: true }
          yield* sql`delete from ${t.grants} where id = ${id}`
          const rows = yield* sql<{ grant_id: string; kind: GrantKind; app_id: string }>`
          select a.grant_id, g.kind, g.app_id from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
          where a.provider = 'google' and a.email_key = ${mailbox.toLowerCase()}`
          const there = rows[0]
          if (there?.kind === "service_account" && there.app_id === appId) return { id: there.grant_id, created: false }
          return yield* new GrantRefused({
            code: "mailbox_taken",
            message: "there is an account of this mailbox already, read by another grant: delete that account first",
          })
        },
      )

      const inTransaction = <A>(effect: Effect.Effect<A, GrantRefused | SqlError.SqlError>) =>
        sql.withTransaction(effect).pipe(Effect.catchTag("SqlError", Effect.die))

      return GrantAccounts.of({
        add: (grantId, given) => Effect.withSpan(inTransaction(add(grantId, given)), "GrantAccounts.add"),
        addServiceAccount: (appId, mailbox, tags) =>
          Effect.withSpan(inTransaction(serviceAccountGrant(appId, mailbox, tags)), "GrantAccounts.addServiceAccount"),
        known: (provider, addresses) => Effect.orDie(knownIn(provider, addresses)),
      })
    }),
  )
}
