/** Deletes what has no use any more, a bounded number of rows at a time. */
import { Context, Effect, Layer } from "effect"
import { Database, orDie } from "./Database.ts"

/**
 * How long hashes of past tokens are kept. A Microsoft token dies after 90 days without use (Microsoft identity platform,
 * refresh tokens), so one retired this long ago is refused by the provider itself.
 */
const tokenHashDays = 400

/** How long events and audit entries are kept: a year and a month, so that a yearly review finds the whole year. */
const recordDays = 400

const rowsAtOnce = 10_000

export class Sweeps extends Context.Service<Sweeps, {
  /** Removes hashes of tokens long dead and access tokens that have expired. */
  readonly tokens: Effect.Effect<void>
  /** Removes events and audit entries past their time. */
  readonly records: Effect.Effect<void>
}>()("mailfleet/storage/Sweeps") {
  static readonly layer: Layer.Layer<Sweeps, never, Database> = Layer.effect(
    Sweeps,
    Effect.map(Database, ({ sql, tables: t }) =>
      Sweeps.of({
        tokens: Effect.gen(function* () {
          yield* sql`delete from ${t.grant_tokens} where (grant_id, hash) in (select grant_id, hash from ${t.grant_tokens}
            where retired_at < now() - make_interval(days => ${tokenHashDays}) limit ${rowsAtOnce})`
          yield* sql`delete from ${t.access_tokens} where (grant_id, resource) in (select grant_id, resource
            from ${t.access_tokens} where expires_at < now() - interval '1 day' limit ${rowsAtOnce})`
        }).pipe(orDie),
        // Of the oldest by the primary key, which are looked at whether or not they are past their time.
        records: Effect.forEach([t.events, t.audit], (table) =>
          sql`delete from ${table} where id in (
            select id from (select id, at from ${table} order by id limit ${rowsAtOnce}) oldest
            where at < now() - make_interval(days => ${recordDays}))`, { discard: true }).pipe(orDie),
      })),
  )
}
