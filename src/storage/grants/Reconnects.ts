/** What a reconnect link leads to: how its account stands, and whether one more session may be opened for it. */
import { Context, Effect, Layer, Option } from "effect"
import { SqlError } from "effect/sql"
import type { Access, AccountStatus, Channel, Provider } from "../../domain/Account.ts"
import type { AccountId, AppId } from "../../domain/Ids.ts"
import { Accounts } from "../Accounts.ts"
import { column, Database, orDie } from "../Database.ts"

export interface Reconnectable {
  readonly id: AccountId
  readonly appId: AppId
  readonly provider: Provider
  readonly channel: Channel
  readonly status: AccountStatus
  readonly access: Access
}

/** Sessions of one account that may be open at a time: whoever has its link can open no more. */
const mostOpen = 5

export class Reconnects extends Context.Service<Reconnects, {
  /** Those of the accounts that a service account reads: nobody signs in to them. */
  readonly unattended: (ids: ReadonlyArray<AccountId>) => Effect.Effect<ReadonlySet<AccountId>>
  readonly find: (id: AccountId) => Effect.Effect<Option.Option<Reconnectable>>
  /** Does `create`, which makes a session of the account, as a part of one transaction. None = too many are open. */
  readonly ifRoom: <A, E, R>(id: AccountId, create: Effect.Effect<A, E, R>) => Effect.Effect<Option.Option<A>, E, R>
}>()("mailfleet/storage/Reconnects") {
  static readonly layer: Layer.Layer<Reconnects, never, Accounts | Database> = Layer.effect(
    Reconnects,
    Effect.gen(function* () {
      const accounts = yield* Accounts
      const { sql, tables: t } = yield* Database
      return Reconnects.of({
        unattended: Effect.fn("Reconnects.unattended")(function* (ids: ReadonlyArray<AccountId>) {
          if (ids.length === 0) return new Set()
          // Lateral, so that no plan looks through all grants for the few of this kind.
          const rows = yield* orDie(sql<{ id: AccountId }>`select a.id from ${t.accounts} a
            cross join lateral (select g.kind from ${t.grants} g where g.id = a.grant_id limit 1) g
            where a.id = any(${column("uuid", ids)}) and g.kind = 'service_account'`)
          return new Set(rows.map(({ id }) => id))
        }),
        find: Effect.fn("Reconnects.find")(function* (id: AccountId) {
          const account = Option.getOrUndefined(yield* accounts.get(id))
          if (account === undefined) return Option.none()
          const { access, channel, provider, status } = account
          const rows = yield* orDie(
            sql<{ app_id: string }>`select app_id from ${t.grants} where id = ${account.grantId}`,
          )
          return Option.map(
            Option.fromUndefinedOr(rows[0]),
            ({ app_id }) => ({ id, appId: app_id, provider, channel, status, access }),
          )
        }),
        ifRoom: <A, E, R>(id: AccountId, create: Effect.Effect<A, E, R>) =>
          sql.withTransaction(Effect.gen(function* () {
            // One after another: so that those who ask at once are counted.
            yield* orDie(sql`select 1 from ${t.accounts} where id = ${id} for no key update`)
            const rows = yield* orDie(sql<{ open: number }>`select count(*)::int as open from ${t.connect_sessions}
              where account_id = ${id} and state in ('open', 'started') and expires_at > now()`)
            return rows[0]!.open >= mostOpen ? Option.none<A>() : Option.some(yield* create)
          })).pipe(
            Effect.catchIf((error) => error instanceof SqlError.SqlError, Effect.die),
            Effect.withSpan("Reconnects.ifRoom"),
          ) as Effect.Effect<Option.Option<A>, E, R>,
      })
    }),
  )
}
