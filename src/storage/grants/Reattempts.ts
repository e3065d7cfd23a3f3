/** Looks at grants again that may have been wronged. */
import { Context, Effect, Layer } from "effect"
import type { GrantId } from "../../domain/Ids.ts"
import { column, Database, orDie } from "../Database.ts"

export class Reattempts extends Context.Service<Reattempts, {
  /**
   * Has grants that were refused for good tried again in 15 to 20 minutes, where they would be tried later. Those that were
   * redeemed since, and those that nobody tries, are left alone. Answers how many.
   */
  readonly soon: (grants: ReadonlyArray<GrantId>) => Effect.Effect<number>
}>()("mailfleet/storage/Reattempts") {
  static readonly layer: Layer.Layer<Reattempts, never, Database> = Layer.effect(
    Reattempts,
    Effect.map(Database, ({ sql, tables: t }) =>
      Reattempts.of({
        soon: Effect.fn("Reattempts.soon")(function* (grants) {
          // Locked in the order of ids, as every statement does that changes many grants at once.
          const rows = yield* sql`with later as (
              select g.id from ${t.grants} g where g.id = any(${column("uuid", grants)})
                and exists (select from ${t.accounts} a where a.grant_id = g.id and a.status = 'needs_reauth')
                and g.attempt_at > now() + interval '20 minutes'
              order by g.id for update of g
            )
            update ${t.grants} g set attempt_at = now() + interval '15 minutes' * (1 + random() / 3)
            from later where g.id = later.id returning g.id`
          return rows.length
        }, orDie),
      })),
  )
}
