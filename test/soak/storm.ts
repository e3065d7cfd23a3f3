/**
 * A fleet under constant refresh, two processes, and one kill after another.
 *
 * Every second kill is aimed at the instant between the provider's answer and the commit, which a slow network to the
 * database makes longer. At the end the provider's memory is held against the fleet's: which grants died, whether each of
 * them had its only good token in the hands of the process that was killed, and whether everybody else is redeemed again.
 *
 * ```sh
 * deno task soak:crash
 * deno task soak:crash --mode strict --accounts 200 --kills 10 --seed 7
 * ```
 *
 * Exits with 1 where a promise was not kept.
 */
import { Clock, Console, Effect, Fiber, Schema } from "effect"
import { parseArgs } from "node:util"
import { Account } from "../../src/domain/Account.ts"
import { share } from "../../src/simulator/Random.ts"
import { type Clients, type Provider, startProvider, type WireEntry } from "../crash/provider.ts"
import { proxyTo, through } from "../crash/proxy.ts"
import { postgresUrl } from "../support/engines.ts"
import { all, ended, eventually, found, install, type Service, upload } from "../support/processes.ts"

interface StormOptions {
  readonly mode: "microsoft" | "strict"
  readonly accounts: number
  readonly kills: number
  readonly seed: number
}

interface Kill {
  /** Which of the two processes. */
  readonly client: number
  readonly aimed: boolean
  /** Epoch milliseconds: when the signal was sent, and when the process was gone. */
  readonly at: number
  readonly goneAt: number
  /** Accounts whose new token this process had asked for, and which had not left the provider when it was gone. */
  readonly unanswered: ReadonlyArray<string>
}

/** Milliseconds that an answer takes: long enough for two processes on two cores to keep all their lanes busy. */
const latency = 200
/** Milliseconds by which statements are late while a kill is aimed at a commit. */
const slowNetwork = 100
/** Longest time from the end of an answer until its token is stored, on a busy machine, in milliseconds. */
const storing = 1_000 + slowNetwork
/** Milliseconds that a request of a process that is gone may still take to arrive. */
const arriving = 250
/** Longer than a lease (20 s), a claim (2 minutes) and a period. */
const recovery = "4 minutes"

/** Kills one process, at random or right after an answer, and says what was on the wire. */
const killOne = Effect.fnUntraced(function* (
  provider: Provider,
  service: Service,
  options: { readonly client: number; readonly aimed: boolean; readonly wait: number },
) {
  yield* Effect.sleep(options.wait)
  if (options.aimed) {
    const now = Clock.currentTimeMillis
    yield* eventually(
      "an answer has just left",
      Effect.flatMap(now, (at) => Effect.map(provider.wire(at, slowNetwork / 4), (wire) => ({ at, wire }))),
      ({ at, wire }) => wire.some(({ answeredAt }) => answeredAt !== null && answeredAt <= at),
    ).pipe(Effect.ignore)
  }
  const at = yield* Clock.currentTimeMillis
  yield* service.kill
  const goneAt = yield* Clock.currentTimeMillis
  const wire = yield* provider.wire(at, 0)
  const { requests } = yield* provider.clients
  const unanswered = wire
    .filter((entry) => entry.answeredAt === null || entry.answeredAt > goneAt)
    .filter((entry) => holderOf(requests, entry) === options.client)
    .map(({ email }) => email)
  return { client: options.client, aimed: options.aimed, at, goneAt, unanswered } satisfies Kill
})

/** Who had asked for the token: later requests of the account came with an old one. */
const holderOf = (requests: Clients["requests"], { arrivedAt, email }: WireEntry): number | undefined =>
  requests[email]?.findLast(({ at }) => at <= arrivedAt)?.client

const holds = (kill: Kill, { answeredAt, arrivedAt }: WireEntry): boolean =>
  arrivedAt <= kill.goneAt + arriving && (answeredAt === null || answeredAt + storing >= kill.at)

const storm = Effect.fnUntraced(function* ({ accounts, kills, mode, seed }: StormOptions) {
  const provider = yield* startProvider({ accounts, mode, seed, messages: 0, latency: 20 }, 2)
  const { hostname, port } = new URL(postgresUrl)
  const target = { hostname, port: Number(port === "" ? 5432 : port) }
  const proxies = [yield* proxyTo(target), yield* proxyTo(target)]
  const installation = yield* install("postgres", found(provider.origins[0]), {
    // More than the lanes can do: work never ends.
    MAILFLEET_REFRESH_EVERY: "5 seconds",
    MAILFLEET_IMPORT_CONCURRENCY: "20",
    MAILFLEET_SYNC_EVERY: "1 day",
  })
  const start = (client: number) =>
    installation.start({
      MAILFLEET_MICROSOFT_AUTHORITY: found(provider.origins[client]),
      MAILFLEET_GRAPH_URL: `${found(provider.origins[client])}/v1.0`,
      DATABASE_URL: through(found(proxies[client]), postgresUrl),
    })

  const first = yield* start(0)
  const imported = yield* ended(first, (yield* upload(first, yield* provider.csv)).id, "5 minutes")
  yield* provider.setLatency(latency)
  const running = [yield* Effect.forkScoped(Effect.succeed(first)), yield* Effect.forkScoped(start(1))]

  const done: Array<Kill> = []
  for (let n = 0; n < kills; n++) {
    const client = share(seed, 0xc1, n) < 0.5 ? 0 : 1
    const service = yield* Fiber.join(found(running[client]))
    const proxy = found(proxies[client])
    const aimed = n % 2 === 1
    proxy.delay = aimed ? slowNetwork : 0
    done.push(yield* killOne(provider, service, { client, aimed, wait: 1_000 + share(seed, 0xc2, n) * 2_000 }))
    proxy.delay = 0
    running[client] = yield* Effect.forkScoped(start(client))
    if ((n + 1) % 10 === 0) yield* Console.error(`${mode}: ${n + 1} of ${kills} kills`)
  }

  const services = [yield* Fiber.join(found(running[0])), yield* Fiber.join(found(running[1]))]
  const service = found(services[0])
  const lastKill = Math.max(0, ...done.map(({ goneAt }) => goneAt))
  const fleetNow = Effect.gen(function* () {
    const revoked = new Map((yield* provider.revoked).map((entry) => [entry.email, entry]))
    const fleet = yield* all(service, Account, "/v1/accounts")
    const waiting = fleet.filter(({ email, token }) =>
      !revoked.has(email) && (token.refreshedAt === null || token.refreshedAt.epochMilliseconds <= lastKill)
    )
    return { fleet, revoked, waiting: waiting.map(({ email }) => email) }
  })
  const { fleet, revoked, waiting } = yield* eventually(
    "everybody is redeemed again",
    Effect.delay(fleetNow, "500 millis"),
    ({ waiting }) => waiting.length === 0,
    recovery,
  ).pipe(Effect.catchTag("NotYet", () => fleetNow))
  const redeemedAgainAfter = (yield* Clock.currentTimeMillis) - lastKill

  const { overlapping, requests } = yield* provider.clients
  const { redemptions, violations } = yield* provider.counters
  const exits = [yield* found(services[0]).stop, yield* found(services[1]).stop]

  const killOf = (entry: WireEntry) =>
    done.find((kill) => kill.client === holderOf(requests, entry) && holds(kill, entry))
  const losses = [...revoked.values()].map((entry) => ({ entry, kill: killOf(entry) }))
  const afterAnswer = losses.filter(({ entry, kill }) =>
    kill !== undefined && entry.answeredAt !== null && entry.answeredAt <= kill.at
  )
  const spared = mode === "strict"
    ? done.flatMap(({ unanswered }) => unanswered.filter((email) => !revoked.has(email)))
    : []
  const dead = fleet.filter(({ status, token }) =>
    status === "needs_reauth" || status === "blocked" || token.lastError?.class === "needs_user"
  ).map(({ email }) => email)
  const latest = Math.max(0, ...afterAnswer.map(({ entry, kill }) => found(kill).at - (entry.answeredAt ?? 0)))
  return {
    mode,
    accounts,
    imported: imported.succeeded,
    kills: done.length,
    aimed: done.filter(({ aimed }) => aimed).length,
    redemptions,
    /** Must be 0: two requests of one account at once. */
    overlapping,
    shownAgain: violations["reused-refresh-token"] ?? 0,
    /** In `strict` mode old tokens shown again end the grant. */
    lost: {
      all: losses.length,
      beforeTheAnswerLeft: losses.filter(({ kill }) => kill !== undefined).length - afterAnswer.length,
      betweenAnswerAndCommit: afterAnswer.length,
      /** Longest time from an answer to a kill that lost it, in milliseconds. */
      latestMillis: latest,
      mostInOneKill: Math.max(0, ...done.map((kill) => losses.filter((loss) => loss.kill === kill).length)),
    },
    /** Must be empty: lost without a kill that explains it. */
    unexplained: losses.filter(({ kill }) => kill === undefined).map(({ entry }) => entry.email),
    /** Must be empty: called dead while the provider holds the grant to be alive. */
    wronglyDead: dead.filter((email) => !revoked.has(email)),
    /** Must be empty: not stored by anybody, and yet alive. The measurement would be wrong. */
    spared,
    /** Must be empty: not redeemed again after the last kill. */
    waiting,
    redeemedAgainAfterMillis: redeemedAgainAfter,
    exits,
  }
}, Effect.scoped)

type Outcome = Effect.Success<ReturnType<typeof storm>>

const isKept = (outcome: Outcome): boolean =>
  outcome.overlapping === 0 && outcome.unexplained.length === 0 && outcome.wronglyDead.length === 0 &&
  outcome.spared.length === 0 && outcome.waiting.length === 0 && outcome.exits.every((code) => code === 0) &&
  (outcome.mode === "strict" || outcome.lost.all === 0)

const Modes = Schema.Literals(["strict", "microsoft"])

const { values } = parseArgs({
  args: Deno.args,
  options: {
    accounts: { type: "string", default: "1000" },
    kills: { type: "string", default: "50" },
    seed: { type: "string", default: "1" },
    mode: { type: "string" },
  },
})
const modes = values.mode === undefined ? Modes.literals : [Schema.decodeUnknownSync(Modes)(values.mode)]
const outcomes = await Effect.runPromise(
  Effect.forEach(
    modes,
    (mode) =>
      storm({ mode, accounts: Number(values.accounts), kills: Number(values.kills), seed: Number(values.seed) }).pipe(
        Effect.tap((outcome) => Console.log(JSON.stringify(outcome, null, 2))),
      ),
  ),
)
Deno.exit(outcomes.every(isKept) ? 0 : 1)
