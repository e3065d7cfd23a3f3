/**
 * Several processes on one Postgres keep the grants of `oidc-provider` alive, a strict OAuth server that others wrote, while
 * clients ask all of the processes at once for new tokens of the same accounts. The period is so short that each grant is
 * redeemed as often in a minute as it usually is in weeks. Nobody is killed, so not one grant may be lost.
 *
 * ```sh
 * deno task soak:oidc
 * deno task soak:oidc --grants 500 --minutes 5 --processes 3 --latency 20 --every "2 seconds"
 * ```
 *
 * Exits with 1 where a promise was not kept.
 */
import { Clock, Console, Effect } from "effect"
import { parseArgs } from "node:util"
import { Account } from "../../src/domain/Account.ts"
import { type OidcProvider, type Report, scope, startOidcProvider } from "../support/oidcProvider.ts"
import {
  all,
  ended,
  eventually,
  found,
  hasEnded,
  install,
  runOf,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"

export interface SoakOptions<E> {
  readonly grants: number
  readonly processes: number
  /** Milliseconds that the provider takes for each answer. */
  readonly latency: number
  /** How often each grant is redeemed by itself, as in `MAILFLEET_REFRESH_EVERY`. */
  readonly every: string
  /** The storm ends with it. */
  readonly lasting: (report: OidcProvider["report"]) => Effect.Effect<unknown, E>
}

/** Accounts whose token is asked for at the same time, of all processes at once. */
const asked = 4

/** Counts of what the clients of Mailfleet saw. */
interface Seen {
  /** Answers of `access-token` by HTTP status. */
  readonly tokens: Record<string, number>
  /** Items of ended runs by outcome. */
  readonly items: Record<string, number>
}

const add = (counts: Record<string, number>, key: string, by = 1) => void (counts[key] = (counts[key] ?? 0) + by)

const tally = (names: ReadonlyArray<string>): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names) add(counts, name)
  return counts
}

/** Asks every process for a token of the same account at once; no cached one is good for an hour. */
const askForTokens = (services: ReadonlyArray<Service>, accounts: ReadonlyArray<Account>, { tokens }: Seen) =>
  Effect.forever(Effect.suspend(() => {
    const { id } = found(accounts[Math.floor(Math.random() * accounts.length)])
    return Effect.forEach(services, (service) =>
      Effect.map(
        service.send(`/v1/accounts/${id}/access-token?minValidity=1%20hour`),
        ({ status }) => add(tokens, String(status)),
      ), { concurrency: "unbounded", discard: true })
  }))

/** Refreshes all accounts, again and again. */
const startRefreshes = (service: Service, { items }: Seen) =>
  Effect.forever(Effect.gen(function* () {
    const { id } = yield* startOverAll(service, "refresh")
    const state = Effect.delay(runOf(service, id), "250 millis")
    const run = yield* eventually("the run ends", state, hasEnded, "10 minutes")
    for (const outcome of ["succeeded", "failed", "skipped"] as const) add(items, outcome, run[outcome])
  }))

export const soak = Effect.fnUntraced(function* <E>(options: SoakOptions<E>) {
  const { grants, processes } = options
  const provider = yield* startOidcProvider({ grants, latency: options.latency, accessTokenLife: 300 })
  const installation = yield* install("postgres", provider.origin, {
    MAILFLEET_MICROSOFT_GRAPH_SCOPE: scope,
    MAILFLEET_REFRESH_EVERY: options.every,
    // There is no mail here.
    MAILFLEET_SYNC_EVERY: "1 day",
  })
  const services = yield* Effect.all(
    Array.from({ length: processes }, () => installation.start()),
    { concurrency: "unbounded" },
  )
  const first = found(services[0])
  const imported = yield* ended(first, (yield* upload(first, provider.csv)).id, "5 minutes")
  const accounts = yield* all(first, Account, "/v1/accounts")

  const seen: Seen = { tokens: {}, items: {} }
  const began = yield* Clock.currentTimeMillis
  const before = yield* provider.report
  const clients = [
    ...Array.from({ length: asked }, () => askForTokens(services, accounts, seen)),
    ...services.map((service) => startRefreshes(service, seen)),
  ]
  // Most of what the clients have asked for is under way when they hang up.
  yield* Effect.raceFirst(
    Effect.all(clients, { concurrency: "unbounded", discard: true }),
    options.lasting(provider.report),
  )
  const after = yield* provider.report
  const seconds = ((yield* Clock.currentTimeMillis) - began) / 1_000
  const exits = yield* Effect.forEach(services, ({ stop }) => stop, { concurrency: "unbounded" })

  const { rotations, ...report } = yield* provider.report
  const stored = yield* installation.query((sql, table) =>
    sql<{ email: string; status: string; version: number; failure_class: string | null }>`
      select a.email, a.status, g.version, g.failure_class
      from ${table("accounts")} a join ${table("grants")} g on g.id = a.grant_id`
  )
  return {
    grants,
    processes,
    seconds: Math.round(seconds),
    imported: imported.succeeded,
    rotations: {
      ...spanOf({ rotations }),
      perSecond: Math.round((spanOf(after).all - spanOf(before).all) / seconds),
    },
    provider: report,
    clients: seen,
    accounts: tally(stored.map(({ status }) => status)),
    /** Failures that the fleet remembers of its last redemptions. */
    failing: tally(stored.flatMap(({ failure_class }) => failure_class === null ? [] : [failure_class])),
    /** Accounts of which the database does not hold the newest refresh token: it is one version on with each. */
    behind: stored.filter(({ email, version }) => version !== 1 + (rotations[email] ?? 0)).map(({ email }) => email),
    exits,
  }
}, Effect.scoped)

export type Outcome = Effect.Success<ReturnType<typeof soak>>

const spanOf = ({ rotations }: Pick<Report, "rotations">) => {
  const times = Object.values(rotations)
  return { all: times.reduce((sum, one) => sum + one, 0), fewest: Math.min(...times), most: Math.max(...times) }
}

/** What went wrong; empty = every promise was kept. */
export const faultsOf = (
  { accounts, behind, clients, exits, failing, grants, imported, provider, rotations }: Outcome,
) => {
  const faults: ReadonlyArray<readonly [boolean, string]> = [
    [provider.revoked.length > 0, "the provider revoked grants"],
    [provider.peakOfGrant > 1, "two requests at once for one grant"],
    [provider.presentedAgain > 0, "a refresh token was presented twice"],
    [provider.unheard > 0, "nobody waited for an answer"],
    [Object.keys(provider.statuses).some((status) => status !== "200"), "the provider refused requests"],
    [imported !== grants, "not all were imported"],
    [Object.keys(accounts).some((status) => status !== "active"), "not all accounts are active"],
    [accounts["active"] !== grants, "accounts are missing or double"],
    [Object.keys(failing).length > 0, "grants are held to be failing"],
    [behind.length > 0, "a rotated token is not stored"],
    [rotations.fewest === 0, "a grant was never rotated"],
    [Object.keys(clients.tokens).some((status) => status !== "200"), "a client got no token"],
    [(clients.items["failed"] ?? 0) > 0, "items of runs failed"],
    [exits.some((code) => code !== 0), "a process did not end well"],
  ]
  return faults.filter(([isSo]) => isSo).map(([, fault]) => fault)
}

if (import.meta.main) {
  const { values } = parseArgs({
    args: Deno.args,
    options: {
      grants: { type: "string", default: "500" },
      minutes: { type: "string", default: "5" },
      processes: { type: "string", default: "3" },
      latency: { type: "string", default: "20" },
      every: { type: "string", default: "2 seconds" },
    },
  })
  const minutes = Number(values.minutes)
  const progress = (report: OidcProvider["report"]) =>
    Effect.delay(report, "30 seconds").pipe(
      Effect.flatMap((seen) => Console.error(`${spanOf(seen).all} rotations, ${seen.revoked.length} grants revoked`)),
      Effect.forever,
      Effect.timeoutOption(minutes * 60_000),
    )
  const outcome = await Effect.runPromise(soak({
    grants: Number(values.grants),
    processes: Number(values.processes),
    latency: Number(values.latency),
    every: values.every,
    lasting: progress,
  }))
  const faults = faultsOf(outcome)
  console.log(JSON.stringify({ ...outcome, faults }, null, 2))
  Deno.exit(faults.length === 0 ? 0 : 1)
}
