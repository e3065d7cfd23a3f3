/** Grants in the database: leases, and what redemptions came to. */
import { DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { AccountStatus, Provider } from "../domain/Account.ts"
import type { FailureClass } from "../domain/FailureClass.ts"
import { GrantStore, type LeasedGrant, type Settled, type Settlement } from "../oauth/GrantStore.ts"
import { Vault } from "../oauth/Vault.ts"
import { statusChange } from "./Accounts.ts"
import { appendChanges } from "./ChangeLog.ts"
import { column, Database, orDie } from "./Database.ts"

/** Seconds. Longer than the token timeout of 8 s, so that a holder who is alive has settled by then. */
const leaseSeconds = 20

/** Owners of sealed values, as the Vault knows them. */
export const grantOwner = (id: string): string => `grant:${id}`
export const accessOwner = (id: string, resource: string): string => `access:${id}:${resource}`
export const appOwner = (id: string): string => `app:${id}`

type Redeemed = Extract<Settlement, { readonly _tag: "Redeemed" }>
type Failed = Extract<Settlement, { readonly _tag: "Failed" }>

export const layerGrantStore: Layer.Layer<GrantStore, never, Database | Vault> = Layer.effect(
  GrantStore,
  Effect.gen(function* () {
    const database = yield* Database
    const vault = yield* Vault
    const { sql, tables: t } = database

    const lease = Effect.fn("GrantStore.lease")(function* (id: string) {
      const rows = yield* sql<{
        version: number
        secret: Uint8Array
        lease_fence: bigint
        refreshed_at: Date | null
        failures: number
        failing_seconds: number | null
        failure_class: FailureClass | null
        app_id: string
        provider: Provider
        client_id: string
        tenant: string
        app_secret: Uint8Array | null
      }>`update ${t.grants} g
        set lease_fence = g.lease_fence + 1, lease_until = now() + make_interval(secs => ${leaseSeconds})
        from ${t.apps} p
        where g.id = ${id} and p.id = g.app_id and (g.lease_until is null or g.lease_until < now())
        returning g.version, g.secret, g.lease_fence, g.refreshed_at, g.failures, g.failure_class,
          extract(epoch from now() - g.failing_since)::float8 as failing_seconds,
          p.id as app_id, p.provider, p.client_id, p.tenant, p.secret as app_secret`
      const row = rows[0]
      if (row === undefined) {
        const held = yield* sql<{ version: number }>`select version from ${t.grants} where id = ${id}`
        return held[0] === undefined
          ? { _tag: "Missing" as const }
          : { _tag: "Held" as const, version: held[0].version }
      }
      const grant: LeasedGrant = {
        id,
        version: row.version,
        fence: row.lease_fence,
        app: {
          provider: row.provider,
          clientId: row.client_id,
          tenant: row.tenant,
          ...(row.app_secret === null ? {} : { secret: yield* vault.open(appOwner(row.app_id), row.app_secret) }),
        },
        refreshToken: yield* vault.open(grantOwner(id), row.secret),
        redeemedBefore: row.refreshed_at !== null,
        failures: row.failures,
        failingSeconds: row.failing_seconds ?? 0,
        failureClass: row.failure_class ?? undefined,
      }
      return { _tag: "Leased" as const, grant }
    }, Effect.orDie)

    const storeRedeemed = Effect.fnUntraced(function* (redeemed: ReadonlyArray<Redeemed>) {
      const ids = redeemed.map(({ grant }) => grant.id)
      const rotated = redeemed.filter(({ refreshToken }) => refreshToken !== undefined)
      if (rotated.length > 0) {
        yield* sql`insert into ${t.grant_tokens} (grant_id, hash)
          select id, token_hash from ${t.grants} where id = any(${column("uuid", rotated.map(({ grant }) => grant.id))})
          on conflict do nothing`
        yield* sql`update ${t.grants} g set version = g.version + 1, secret = new.secret, token_hash = new.hash
          from unnest(${column("uuid", rotated.map(({ grant }) => grant.id))},
            ${
          column(
            "bytea",
            rotated.map(({ grant, refreshToken }) => vault.seal(grantOwner(grant.id), Redacted.value(refreshToken!))),
          )
        },
            ${column("bytea", rotated.map(({ refreshToken }) => vault.hash(refreshToken!)))}) as new (id, secret, hash)
          where g.id = new.id`
      }
      yield* sql`update ${t.grants} g set refreshed_at = now(), lease_until = null, failures = 0, failing_since = null,
          failure_class = null, failure_code = null, failure_message = null, failed_at = null,
          due_at = now() + make_interval(secs => new.due)
        from unnest(${column("uuid", ids)}, ${
        column("float8", redeemed.map((one) => one.dueInSeconds))
      }) as new (id, due)
        where g.id = new.id`
      const tokens = yield* sql<{ grant_id: string; expires_at: Date }>`
        insert into ${t.access_tokens} (grant_id, resource, secret, expires_at)
        select id, resource, secret, now() + make_interval(secs => seconds)
        from unnest(${column("uuid", ids)}, ${column("text", redeemed.map(({ resource }) => resource))},
          ${
        column(
          "bytea",
          redeemed.map(({ grant, resource, accessToken }) =>
            vault.seal(accessOwner(grant.id, resource), Redacted.value(accessToken))
          ),
        )
      },
          ${
        column("float8", redeemed.map(({ expiresInSeconds }) => expiresInSeconds))
      }) as new (id, resource, secret, seconds)
        on conflict (grant_id, resource) do update set secret = excluded.secret, expires_at = excluded.expires_at
        returning grant_id, expires_at`
      return new Map(tokens.map((token) => [token.grant_id, DateTime.fromDateUnsafe(token.expires_at)]))
    })

    const storeFailed = (failed: ReadonlyArray<Failed>) =>
      sql`update ${t.grants} g set lease_until = null,
          failures = case when g.failure_class = new.class then g.failures + 1 else 1 end,
          failing_since = case when g.failure_class = new.class then g.failing_since else now() end,
          failure_class = new.class, failure_code = new.code, failure_message = new.message, failed_at = now(),
          due_at = now() + make_interval(secs => new.due)
        from unnest(${column("uuid", failed.map(({ grant }) => grant.id))}, ${
        column("text", failed.map((one) => one.class))
      },
          ${column("text", failed.map(({ code }) => code))}, ${column("text", failed.map(({ message }) => message))},
          ${column("float8", failed.map(({ dueInSeconds }) => dueInSeconds ?? null))})
          as new (id, class, code, message, due)
        where g.id = new.id`

    /** Accounts follow their grant. Disabled ones stay as the operator left them. */
    const storeStatuses = Effect.fnUntraced(function* (settlements: ReadonlyArray<Settlement>) {
      const wanted = new Map(settlements.flatMap((one) => {
        const status: AccountStatus | undefined = one._tag === "Redeemed" ? "active" : one.status
        const reason = one._tag === "Redeemed" ? null : one.message
        return status === undefined ? [] : [[one.grant.id, { status, reason }] as const]
      }))
      if (wanted.size === 0) return []
      const accounts = yield* sql<
        { id: string; grant_id: string; status: AccountStatus; status_reason: string | null }
      >`
        select id, grant_id, status, status_reason from ${t.accounts}
        where grant_id = any(${column("uuid", [...wanted.keys()])}) and status <> 'disabled' order by id for update`
      const changing = accounts.flatMap((account) => {
        const { status, reason } = wanted.get(account.grant_id)!
        return account.status === status && account.status_reason === reason
          ? []
          : [{ ...account, next: status, reason }]
      })
      if (changing.length === 0) return []
      yield* sql`update ${t.accounts} a set status = new.status, status_reason = new.reason, updated_at = now(),
          sync_due_at = case when new.status = 'active' then coalesce(a.sync_due_at, now()) end
        from unnest(${column("uuid", changing.map(({ id }) => id))}, ${
        column("text", changing.map(({ next }) => next))
      },
          ${column("text", changing.map(({ reason }) => reason))}) as new (id, status, reason)
        where a.id = new.id`
      return changing.filter(({ status, next }) => status !== next)
        .map(({ id, status, next }) => statusChange(id, status, next))
    })

    const settle = Effect.fn("GrantStore.settle")(
      function* (batch: ReadonlyArray<Settlement>) {
        return yield* sql.withTransaction(Effect.gen(function* () {
          // In the order of ids, so that two writers cannot wait for each other.
          const rows = yield* sql<{ id: string; version: number; lease_fence: bigint }>`
            select id, version, lease_fence from ${t.grants}
            where id = any(${column("uuid", batch.map(({ grant }) => grant.id))}) order by id for update`
          const stored = new Map(rows.map((row) => [row.id, row]))
          const applies = (one: Settlement): boolean => {
            const row = stored.get(one.grant.id)
            if (row === undefined || row.version !== one.grant.version) return false
            // A rotated token is kept even where the lease has been lost: nothing newer is there. A failure is not news then.
            return one._tag === "Redeemed" || row.lease_fence === one.grant.fence
          }
          const applied = batch.filter(applies)
          const redeemed = applied.filter((one) => one._tag === "Redeemed")
          const failed = applied.filter((one) => one._tag === "Failed")
          const expiries = redeemed.length > 0 ? yield* storeRedeemed(redeemed) : new Map<string, DateTime.Utc>()
          if (failed.length > 0) yield* storeFailed(failed)
          const changes = yield* storeStatuses(applied)
          if (changes.length > 0) yield* appendChanges(database, changes)
          return batch.map((one): Settled => ({ applied: applies(one), expiresAt: expiries.get(one.grant.id) }))
        }))
      },
      orDie,
    )

    return GrantStore.of({
      lease,
      settle,
      release: (grant) =>
        orDie(sql`update ${t.grants} set lease_until = null where id = ${grant.id} and lease_fence = ${grant.fence}`)
          .pipe(
            Effect.asVoid,
          ),
      accessToken: Effect.fnUntraced(function* (id, resource, minValiditySeconds) {
        const rows = yield* sql<{ secret: Uint8Array; expires_at: Date }>`
          select secret, expires_at from ${t.access_tokens} where grant_id = ${id} and resource = ${resource}
          and expires_at > now() + make_interval(secs => ${minValiditySeconds})`
        const row = rows[0]
        if (row === undefined) return Option.none()
        const token = yield* vault.open(accessOwner(id, resource), row.secret)
        return Option.some({ token, expiresAt: DateTime.fromDateUnsafe(row.expires_at) })
      }, Effect.orDie),
      postpone: (id, seconds) =>
        orDie(sql`update ${t.grants} set due_at = now() + make_interval(secs => ${seconds})
          where id = ${id} and due_at is not null`).pipe(Effect.asVoid),
    })
  }),
)
