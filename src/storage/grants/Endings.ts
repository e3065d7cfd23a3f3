/** When refresh tokens end: shown on accounts, counted, and told of while there is time to do something about it. */
import { Array as Arr, Context, DateTime, Effect, Layer } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { Provider } from "../../domain/Account.ts"
import type { Registration } from "../../domain/App.ts"
import type { AppId, GrantId } from "../../domain/Ids.ts"
import { inChunks } from "../Chunks.ts"
import { column, Database, orDie } from "../Database.ts"

/** The use that keeps the refresh token of `grants g` alive; as it is written in the index grants_unused. */
const lastUse = "greatest(g.refreshed_at, g.signed_in_at, g.created_at)"

/** What a refresh token of `apps p` lives unused: 90 days at Microsoft (provider-facts A5), six months at Google (B). */
const unusedLife = "case p.provider when 'google' then interval '6 months' else interval '90 days' end"

/** When the refresh token of `grants g` of `apps p` ends; null = there is none. */
export const endsAt = `(case when g.kind = 'refresh_token' then least(g.lives_until, ${lastUse} + ${unusedLife}) end)`

/**
 * What a refresh token of `apps p` lives from the sign-in on, however it is used: 24 hours where the redirect URI is of a
 * single-page app (provider-facts A5), 7 days where Google's consent screen is in testing (B); null = there is no such limit.
 */
export const registeredLife =
  "(case p.registration when 'spa' then interval '24 hours' when 'testing' then interval '7 days' end)"

/** Grants changed at once. */
const followRows = 10_000

/**
 * Has the grants of an app follow its registration, which has changed. Where it is not known when somebody signed in, the
 * life of the token counts from now on: so long it lives at the most.
 */
export const followRegistration = ({ sql, tables: t }: Database["Service"], appId: AppId) =>
  inChunks(followRows, (after) =>
    Effect.map(
      sql<{ id: string }>`with next as (
          select id from ${t.grants} where id > ${after} and app_id = ${appId} and kind = 'refresh_token'
          order by id limit ${followRows} for update
        ), moved as (
          update ${t.grants} g set lives_until = coalesce(g.signed_in_at, now()) + ${sql.literal(registeredLife)}
          from next, ${t.apps} p where g.id = next.id and p.id = ${appId}
        )
        select id from next order by id`,
      (rows) => rows.map(({ id }) => id),
    ))

/** The ids of grants that end from one time to another. Indexes: grants_ending, grants_unused. */
const endingBetween = (
  { sql, tables: t }: Database["Service"],
  from: Statement.Fragment,
  until: Statement.Fragment,
): Statement.Fragment =>
  sql`select g.id from ${t.grants} g where g.kind = 'refresh_token' and g.lives_until >= ${from} and g.lives_until < ${until}
    union
    select g.id from ${t.grants} g join ${t.apps} p on p.id = g.app_id
    where g.kind = 'refresh_token' and ${sql.literal(lastUse)} >= ${from} - interval '7 months'
      and ${sql.literal(lastUse)} < ${until} - interval '90 days'
      and ${sql.literal(`${lastUse} + ${unusedLife}`)} >= ${from} and ${
    sql.literal(`${lastUse} + ${unusedLife}`)
  } < ${until}`

/** Most grants of a fleet in use end later than so many days from now: it is not worth while to look for them by index. */
const mostEndLater = 60

/** The condition on `accounts a join grants g join apps p` that a refresh token ends, or should have ended, before a time. */
export const endsBefore = (
  database: Database["Service"],
  time: DateTime.Utc,
  now: DateTime.Utc,
): Statement.Fragment => {
  const { sql } = database
  const until = sql`${DateTime.toDate(time)}::timestamptz`
  const isEnding = DateTime.isLessThan(time, DateTime.add(now, { days: mostEndLater }))
    ? sql`a.grant_id in (${endingBetween(database, sql`'-infinity'::timestamptz`, until)})`
    : sql`${sql.literal(endsAt)} < ${until}`
  return sql`a.status <> 'needs_reauth' and ${isEnding}`
}

/** Grants that end, while an account that reads by them still works, or may be switched on again. */
export const alive = ({ sql, tables: t }: Database["Service"]) =>
  sql`exists (select from ${t.accounts} a where a.grant_id = g.id and a.status <> 'needs_reauth'
    -- A token that was brought in and not tried yet: when it was used last is not known.
    and (a.status <> 'pending' or g.refreshed_at is null))`

/** Grants that end within a day and within seven days. */
export interface EndingGrants {
  /** Grants that end within a day. */
  readonly withinDay: number
  /** Grants that end within seven days, those included. */
  readonly withinWeek: number
}

/** Reads what ends, and no other grant. */
export const countEnding = (database: Database["Service"]) => {
  const { sql, tables: t } = database
  return sql<EndingGrants>`select count(*)::float8 as "withinWeek",
      count(*) filter (where ${sql.literal(endsAt)} < now() + interval '1 day')::float8 as "withinDay"
    from ${t.grants} g join ${t.apps} p on p.id = g.app_id
    where g.id in (${endingBetween(database, sql`now()`, sql`now() + interval '7 days'`)})
      and ${sql.literal(endsAt)} >= now() and ${alive(database)}`
}

export const endingGrants = (database: Database["Service"]): Effect.Effect<EndingGrants, SqlError.SqlError> =>
  Effect.map(countEnding(database), (rows) => rows[0]!)

interface EndingRow {
  readonly id: GrantId
  readonly ends_at: Date
  readonly ahead: string
  readonly provider: Provider
  readonly registration: Registration
  /** Whether it ends however it is used. */
  readonly limited: boolean
  readonly last_use: Date
  readonly failure: string | null
  readonly resting: boolean
  readonly email: string
  readonly others: number
}

const iso = (time: Date): string => DateTime.formatIso(DateTime.fromDateUnsafe(time))

const limits: Readonly<Record<Registration, string>> = {
  spa:
    "24 hours after the sign-in, for the app's redirect URI is of a single-page app: register it as web, or as mobile and desktop, and then have the user sign in again",
  testing:
    "7 days after the sign-in, for the app's consent screen is in testing: publish it, and then have the user sign in again",
  standard: "for the access was given for a limited time: have the user sign in again before",
}

const messageOf = (row: EndingRow): string => {
  const who = `the grant of ${row.email}${row.others === 0 ? "" : ` and ${row.others} more`} ends on ${
    iso(row.ends_at)
  }, `
  if (row.limited) return who + limits[row.registration]
  const life = row.provider === "google" ? "six months" : "90 days"
  const unused = `${who}${life} after its last use, which was on ${iso(row.last_use)}: `
  if (row.failure !== null) {
    return `${unused}it has failed since (${row.failure}); cure that, or have the user sign in again`
  }
  return unused +
    (row.resting
      ? "all its accounts are disabled; enable one, and it is used at once"
      : "nothing redeems it; check MAILFLEET_SCHEDULES and MAILFLEET_REFRESH_EVERY, or refresh it by hand")
}

/** Grants told of in one transaction. */
const chunkRows = 1_000

/** Grants told of at a time, those that end first. The others are told of the next time. */
const mostAtOnce = 100_000

export class Endings extends Context.Service<Endings, {
  /**
   * Records an event for each grant that ends within seven days, and again within a day; one that lives no more than seven
   * days is told of a day before, one that lives a day two hours before. Each is told once. Answers how many.
   */
  readonly tell: Effect.Effect<number>
}>()("mailfleet/storage/Endings") {
  static readonly layer: Layer.Layer<Endings, never, Database> = Layer.effect(
    Endings,
    Effect.map(Database, (database) => {
      const { schema, sql, tables: t } = database
      const ends = sql.literal(endsAt)

      /** Grants that are to be told of, and when they are. */
      const due = (among: Statement.Fragment) =>
        sql`${t.grants} g join ${t.apps} p on p.id = g.app_id
          cross join lateral (select ${ends} as ends_at) e
          -- The nearest of the times before its end at which such a grant is told of.
          cross join lateral (
            select name, span from (values ('7 days', interval '7 days', 'standard'), ('1 day', interval '1 day', 'standard'),
              ('1 day', interval '1 day', 'testing'), ('2 hours', interval '2 hours', 'spa')) as v (name, span, registration)
            where v.registration = p.registration and e.ends_at < now() + span order by span limit 1
          ) ahead
          where g.id in (${among}) and e.ends_at >= now() and ${alive(database)}
            -- What was told before then was of an earlier end. Index: events_subject.
            and not exists (select from ${t.events} told where told.subject = g.id::text and told.kind = 'grant.ending'
              and told.code = ahead.name and told.at >= e.ends_at - ahead.span)`

      const tellChunk = (ids: ReadonlyArray<GrantId>) =>
        sql.withTransaction(Effect.gen(function* () {
          // In a statement of its own, so that the next one sees what its last holder has told.
          yield* sql`select pg_advisory_xact_lock(hashtextextended(${`mailfleet:endings:${schema}`}, 0))`
          const rows = yield* sql<EndingRow>`select g.id, e.ends_at, ahead.name as ahead, p.provider, p.registration,
              coalesce(g.lives_until <= e.ends_at, false) as limited, ${sql.literal(lastUse)} as last_use,
              g.failure_code || ': ' || g.failure_message as failure, g.attempt_at is null as resting,
              (select min(a.email) from ${t.accounts} a where a.grant_id = g.id) as email,
              (select count(*)::int - 1 from ${t.accounts} a where a.grant_id = g.id) as others
            from ${due(sql`select unnest(${column("uuid", ids)})`)}`
          if (rows.length === 0) return 0
          yield* sql`insert into ${t.events} (kind, subject, code, message)
            select 'grant.ending', * from unnest(${column("text", rows.map(({ id }) => id))},
              ${column("text", rows.map(({ ahead }) => ahead))}, ${column("text", rows.map(messageOf))})`
          return rows.length
        }))

      const tell = Effect.gen(function* () {
        const soon = endingBetween(database, sql`now()`, sql`now() + interval '7 days'`)
        const rows = yield* sql<{ id: GrantId }>`select g.id from ${due(soon)} order by e.ends_at limit ${mostAtOnce}`
        const told = yield* Effect.forEach(Arr.chunksOf(rows.map(({ id }) => id), chunkRows), tellChunk)
        return told.reduce((sum, count) => sum + count, 0)
      })

      return Endings.of({
        tell: Effect.withSpan(orDie(tell), "Endings.tell"),
      })
    }),
  )
}
