/** Tells operators of secrets and certificates that end, while there is time to replace them. */
import { DateTime, Effect } from "effect"
import type { Provider } from "../../domain/Account.ts"
import type { Event } from "../../domain/Event.ts"
import { type Database, orDie } from "../Database.ts"

/** Days before the end at which it is told; 0 = it has come. */
const daysTold = [0, 1, 7, 30]

interface Ending {
  readonly id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly certified: boolean
  readonly ends_at: Date
  readonly days: number
}

const names: Readonly<Record<Provider, string>> = { microsoft: "Microsoft", google: "Google" }

const toEvent = (
  { certified, client_id: clientId, days, ends_at, id, provider, tenant }: Ending,
): Omit<Event, "id" | "at"> => {
  const what = certified ? "certificate" : "secret"
  const end = DateTime.formatIsoDateUtc(DateTime.fromDateUnsafe(ends_at))
  const command = certified ? `mailfleet apps update ${id} --certificate FILE` : `mailfleet apps set-secret ${id}`
  // Provider facts A7: 7000222 = an expired client secret, which is a fault of the app and not of its grants.
  const then = provider === "microsoft" && !certified ? "refuses the app (AADSTS7000222)" : "refuses the app"
  return {
    kind: "app.secret_expiring",
    subject: `${provider}:${clientId}:${tenant}`,
    message: days === 0
      ? `the ${what} of the app ended on ${end}: ${
        names[provider]
      } ${then}; make a new one there, and give it here: ${command}`
      : `the ${what} of the app ends on ${end}, within ${days === 1 ? "a day" : `${days} days`}: make a new one at ${
        names[provider]
      }, and give it here: ${command}; after its end ${names[provider]} ${then}`,
  }
}

/** One transaction: a process that ends midway has told nothing, and of two at once each tells of other apps. */
export const tellExpiring = (
  { sql, tables: t }: Database["Service"],
): Effect.Effect<ReadonlyArray<Omit<Event, "id" | "at">>> =>
  Effect.gen(function* () {
    // Apps are few: all are looked at.
    const rows = yield* sql<Ending>`with ending as (
        select p.id, coalesce(p.certificate_expires_at, p.secret_expires_at) as ends_at,
          (select min(d) from unnest(${daysTold}::int4[]) d
            where coalesce(p.certificate_expires_at, p.secret_expires_at) <= now() + make_interval(days => d)) as days
        from ${t.apps} p where coalesce(p.certificate_expires_at, p.secret_expires_at) is not null
      ), due as (
        select p.id from ${t.apps} p join ending using (id)
        where ending.days < coalesce(p.expiry_told, 1000) order by p.id for no key update of p skip locked
      )
      update ${t.apps} p set expiry_told = ending.days from due join ending using (id) where p.id = due.id
      returning p.id, p.provider, p.client_id, p.tenant, p.certificate_expires_at is not null as certified,
        ending.ends_at, ending.days`
    const events = rows.map(toEvent)
    yield* Effect.forEach(events, ({ kind, message, subject }) =>
      sql`insert into ${t.events} (kind, subject, message) values (${kind}, ${subject}, ${message})`, { discard: true })
    return events
  }).pipe(sql.withTransaction, orDie, Effect.withSpan("Apps.tellExpiring"))

/** Apps whose secret or certificate has ended, or ends within so many days; one that ends within a day also ends within seven. */
export interface ExpiringApps {
  readonly ended: number
  readonly withinDay: number
  readonly withinWeek: number
  readonly withinMonth: number
}

export const countExpiring = ({ sql, tables: t }: Database["Service"]): Effect.Effect<ExpiringApps> => {
  const within = (days: number) =>
    sql`count(*) filter (where ends_at > now() and ends_at <= now() + make_interval(days => ${days}))::float8`
  return orDie(sql<ExpiringApps>`select count(*) filter (where ends_at <= now())::float8 as ended,
      ${within(1)} as "withinDay", ${within(7)} as "withinWeek", ${within(30)} as "withinMonth"
    from (select coalesce(certificate_expires_at, secret_expires_at) as ends_at from ${t.apps}) ends`).pipe(
    Effect.map((rows) => rows[0]!),
  )
}
