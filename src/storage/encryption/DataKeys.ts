/** Data keys in the database, wrapped: few, made once or by a rotation, and never deleted. */
import { Context, Effect, Layer } from "effect"
import { DataKeys, type DataKeyUse } from "../../oauth/DataKeys.ts"
import { column, Database, orDie } from "../Database.ts"

interface KeyRow {
  readonly id: string
  readonly use: DataKeyUse
  readonly wrapped: Uint8Array | null
  readonly wrapped_by: string | null
}

export const layerDataKeys: Layer.Layer<DataKeys, never, Database> = Layer.effect(
  DataKeys,
  Effect.map(Database, ({ schema, sql, tables: t }) => {
    const apart: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E> = Effect.updateContext(
      Context.omit(sql.transactionService),
    )

    /** In a statement of its own, so that the next one sees what its last holder has written. */
    const lock = sql`select pg_advisory_xact_lock(hashtextextended(${`mailfleet:data-keys:${schema}`}, 0))`

    return DataKeys.of({
      list: sql<KeyRow>`select id, use, wrapped, wrapped_by from ${t.data_keys} order by ordinal`.pipe(
        Effect.map((rows) =>
          rows.map(({ id, use, wrapped, wrapped_by }) => ({
            id,
            use,
            wrapped: wrapped ?? undefined,
            wrappedBy: wrapped_by ?? undefined,
          }))
        ),
        orDie,
        apart,
      ),
      newest: sql<{ newest: number }>`select coalesce(max(ordinal), 0)::float8 as newest from ${t.data_keys}`.pipe(
        Effect.map((rows) => rows[0]!.newest),
        orDie,
        apart,
      ),
      // Whatever is sealed or hashed for long belongs to an app, or to a webhook.
      isFresh: sql<{ fresh: boolean }>`select not exists (select from ${t.apps})
          and not exists (select from ${t.webhooks}) as fresh`.pipe(
        Effect.map((rows) => rows[0]!.fresh),
        orDie,
        apart,
      ),
      begin: Effect.fnUntraced(
        function* ({ direct, lookup, seal }) {
          yield* lock
          const keys = [
            ...lookup.map(({ id, wrapped, wrappedBy }) => ({ id, use: "lookup", wrapped, wrappedBy })),
            ...direct.map((id) => ({ id, use: "direct", wrapped: null, wrappedBy: null })),
            ...(seal === undefined ? [] : [{ id: "d1", use: "seal", ...seal }]),
          ]
          yield* sql`insert into ${t.data_keys} (id, use, wrapped, wrapped_by)
            select * from unnest(${column("text", keys.map(({ id }) => id))}, ${
            column("text", keys.map(({ use }) => use))
          }, ${column("bytea", keys.map(({ wrapped }) => wrapped))}, ${
            column("text", keys.map(({ wrappedBy }) => wrappedBy))
          }) where not exists (select from ${t.data_keys})`
        },
        sql.withTransaction,
        orDie,
        apart,
      ),
      add: Effect.fnUntraced(
        function* (wrapped, wrappedBy) {
          yield* lock
          const rows = yield* sql<{ id: string }>`insert into ${t.data_keys} (id, use, wrapped, wrapped_by)
            select 'd' || count(*) + 1, 'seal', ${wrapped}, ${wrappedBy} from ${t.data_keys} where use = 'seal'
            returning id`
          return rows[0]!.id
        },
        sql.withTransaction,
        orDie,
        apart,
      ),
    })
  }),
)
