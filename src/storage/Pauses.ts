/** Pauses that a provider asked one process of a cluster for, kept by all of them. All times are the database's. */
import { Effect, Layer } from "effect"
import { type Pause, SharedPauses } from "../pacing/SharedPauses.ts"
import { Database, orDie, relaxed } from "./Database.ts"

export const layerSharedPauses: Layer.Layer<SharedPauses, never, Database> = Layer.effect(
  SharedPauses,
  Effect.map(Database, ({ sql, tables: t }) =>
    SharedPauses.of({
      // A pause that is over makes room for the next one: there is no more than one row for each key.
      add: ({ key, millis }) =>
        orDie(Effect.asVoid(sql`insert into ${t.pauses} as p (key, until)
          select ${key}, now() + make_interval(secs => ${millis / 1_000}::float8) from ${sql.literal(relaxed)}
          on conflict (key) do update set until = greatest(p.until, excluded.until)`)),
      // Of all rows: the table holds what is paused now and was lately, see Sweeps.
      all: orDie(
        sql<Pause>`select key, extract(epoch from until - now())::float8 * 1000 as millis from ${t.pauses}
          where until > now()`,
      ),
    })),
)
