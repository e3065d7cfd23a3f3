/** Which process showed which refresh token to a strict provider, and whether it had to: a token that is shown twice ends its grant. */
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, type Scope } from "effect"
import { emailOf } from "./provider.ts"

interface Shown {
  readonly token: string
  /** The address of the process. */
  readonly host: string
  /** By `Date.now`. */
  readonly at: number
}

/** One that was shown for a second time. */
export interface ShownAgain {
  readonly email: string
  readonly first: Shown
  readonly second: Shown
}

/** Less than what is left of a lease when the last redemption under it may begin, in milliseconds: nobody else is at it sooner. */
const leaseLeft = 9_000

/** To be put before a simulator: writes down who shows which token, and how often two requests for a grant were under way at once. */
export const watchTokens = () => {
  const shown = new Map<string, Array<Shown>>()
  const underWay = new Map<string, number>()
  let overlaps = 0

  const wrap = async (request: Request, next: () => Promise<Response>, host: string): Promise<Response> => {
    if (!request.url.endsWith("/token")) return await next()
    const at = Date.now()
    const form = await request.clone().text()
    const email = emailOf(form)
    const token = new URLSearchParams(form).get("refresh_token")
    if (email === undefined || token === null) return await next()
    shown.set(email, [...shown.get(email) ?? [], { token, host, at }])
    const others = underWay.get(email) ?? 0
    if (others > 0) overlaps++
    underWay.set(email, others + 1)
    try {
      return await next()
    } finally {
      underWay.set(email, (underWay.get(email) ?? 1) - 1)
    }
  }

  /** The first of each account. */
  const shownAgain = (): ReadonlyArray<ShownAgain> =>
    [...shown].flatMap(([email, all]) => {
      const at = all.findIndex(({ token }, n) => all.findIndex((before) => before.token === token) < n)
      const second = all[at]
      return second === undefined ? [] : [{ email, first: all.find(({ token }) => token === second.token)!, second }]
    })

  return { wrap, overlaps: () => overlaps, shownAgain }
}

/**
 * Nobody can help it: the answer was on its way to a process which a fault kept from storing it, and another process went on once
 * the lease had ended.
 *
 * @param leased whose grants were leased when the fault came
 * @param isBefallen whether the fault befell the process of an address
 */
export const isOnTheWire = (
  { email, first, second }: ShownAgain,
  leased: ReadonlySet<string>,
  isBefallen: (host: string) => boolean,
): boolean => leased.has(email) && isBefallen(first.host) && second.at - first.at >= leaseLeft

/** Whose grants are leased. Empty where the database does not answer. */
export const leasedGrants = (
  url: string,
  schema: string,
): Effect.Effect<Effect.Effect<ReadonlyArray<string>>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const context = yield* Layer.build(
      PgClient.layer({ url: Redacted.make(url), maxConnections: 1, multiplex: false }).pipe(Layer.orDie),
    )
    const sql = yield* Effect.provide(PgClient.PgClient, context)
    return sql<{ email: string }>`select a.email from ${sql(`${schema}.grants`)} g
        join ${sql(`${schema}.accounts`)} a on a.grant_id = g.id where g.lease_until is not null`.pipe(
      Effect.map((rows) => rows.map(({ email }) => email)),
      Effect.timeout("2 seconds"),
      Effect.catchCause(() => Effect.succeed([])),
    )
  })
