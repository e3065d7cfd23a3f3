/** When grants are redeemed next, and when their refresh tokens end: counted by hour and by day. */
import { Context, DateTime, Effect, Layer } from "effect"
import { Database, orDie } from "../Database.ts"
import { shared } from "../Measurement.ts"
import { alive, endsAt } from "./Endings.ts"

const hours = 48
const days = 90

/** `grants` from `from` to the next bar's. */
export interface Bar {
  readonly from: DateTime.Utc
  readonly grants: number
}

export interface FleetDue {
  readonly refresh: {
    readonly overdue: number
    readonly byHour: ReadonlyArray<Bar>
    readonly later: number
    readonly resting: number
  }
  readonly endings: { readonly byDay: ReadonlyArray<Bar> }
}

interface Count {
  readonly bar: number
  readonly grants: number
}

export class DueStats extends Context.Service<DueStats, {
  /** Kept for a few seconds where counting takes long, as it does over a million grants. */
  readonly due: Effect.Effect<FleetDue>
}>()("mailfleet/storage/DueStats") {
  static readonly layer: Layer.Layer<DueStats, never, Database> = Layer.effect(
    DueStats,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database

      // -1 = overdue, null = at rest. All grants are counted: one pass over the table, some tenths of a second for a million.
      const attempts = sql<Omit<Count, "bar"> & { bar: number | null }>`select
          case when attempt_at is not null
            then greatest(-1, least(${hours}, floor(extract(epoch from attempt_at - now()) / 3600)))::int end as bar,
          count(*)::float8 as grants
        from ${t.grants} group by 1`

      // Grants in use end 90 days after today, so that all of them are looked at: a join of the whole tables.
      const ends = sql.literal(endsAt)
      const endings = sql<Count>`select floor(extract(epoch from ${ends} - now()) / 86400)::int as bar,
          count(*)::float8 as grants
        from ${t.grants} g join ${t.apps} p on p.id = g.app_id
        where ${ends} >= now() and ${ends} < now() + make_interval(days => ${days}) and ${alive(database)}
        group by 1`

      const due = Effect.gen(function* () {
        const now = yield* DateTime.now
        const tried = new Map((yield* attempts).map(({ bar, grants }) => [bar, grants]))
        const ended = new Map((yield* endings).map(({ bar, grants }) => [bar, grants]))
        return {
          refresh: {
            overdue: tried.get(-1) ?? 0,
            byHour: Array.from({ length: hours }, (_, bar) => ({
              from: DateTime.add(now, { hours: bar }),
              grants: tried.get(bar) ?? 0,
            })),
            later: tried.get(hours) ?? 0,
            resting: tried.get(null) ?? 0,
          },
          endings: {
            byDay: Array.from({ length: days }, (_, bar) => ({
              from: DateTime.add(now, { hours: 24 * bar }),
              grants: ended.get(bar) ?? 0,
            })),
          },
        } satisfies FleetDue
      })

      return DueStats.of({ due: orDie(yield* shared(database, Effect.withSpan(due, "DueStats.due"))) })
    }),
  )
}
