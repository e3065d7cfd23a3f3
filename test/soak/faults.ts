/**
 * A fleet under constant refresh by two processes, and everything that may befall it from outside, one after another: a
 * database that is stopped, crashes or cannot be reached, and a provider that misbehaves in every way we know. Prints a
 * table, and exits with 1 where anybody was called dead who lives, a grant was lost, or nobody came back.
 *
 * `deno task soak:faults [--accounts 300]`. Wants the binaries of a Postgres on this machine.
 */
import { Console, Data, Effect } from "effect"
import { parseArgs } from "node:util"
import { befall, cuts, type Fault, type FaultOutcome, misbehaviours, stageOn } from "../crash/faults.ts"
import { type OwnPostgres, ownPostgres, postgresBinaries } from "../support/postgres.ts"

class NoPostgres extends Data.TaggedError("NoPostgres")<{ readonly message: string }> {}

/** Longer than a claim (60 s) and than the first wait after a passing fault (66 s at most), and a period. */
const within = "150 seconds"

const outages = (postgres: OwnPostgres): ReadonlyArray<Fault> => {
  const start = Effect.orDie(postgres.start)
  const stop = (mode: "fast" | "immediate") => Effect.orDie(postgres.stop(mode))
  return [
    { name: "Postgres is stopped", mode: "strict", ready: false, seconds: 8, begin: stop("fast"), end: start },
    {
      name: "Postgres crashes, and is gone for longer than a lease",
      mode: "strict",
      ready: false,
      seconds: 25,
      begin: stop("immediate"),
      end: start,
    },
    {
      name: "Postgres crashes and is back at once, five times",
      mode: "strict",
      ready: "either",
      seconds: 1,
      begin: Effect.repeat(
        Effect.andThen(stop("immediate"), Effect.delay(start, "100 millis")).pipe(Effect.delay("2 seconds")),
        {
          times: 4,
        },
      ),
      end: Effect.void,
    },
  ]
}

const faults = Effect.fnUntraced(function* (accounts: number) {
  const binaries = postgresBinaries()
  if (binaries === undefined) return yield* new NoPostgres({ message: "no initdb under /usr/lib/postgresql" })
  const postgres = yield* ownPostgres(binaries)
  const stage = yield* stageOn(postgres.url, {
    simulator: { accounts, latency: "100 millis", watchDelivery: true, hangLimit: "20 seconds" },
    processes: 2,
    settings: { MAILFLEET_REFRESH_EVERY: "5 seconds", MAILFLEET_IMPORT_CONCURRENCY: "20" },
  })
  const outcomes: Array<FaultOutcome> = []
  for (const fault of [...outages(postgres), ...cuts(stage, 10), ...misbehaviours(stage, 10)]) {
    const outcome = yield* befall(stage, fault, within)
    yield* Console.error(JSON.stringify(outcome))
    outcomes.push(outcome)
  }
  return outcomes
}, Effect.scoped)

const isBorne = ({ byHand, ended, falseProbes, lost, wronglyDead }: FaultOutcome): boolean =>
  lost.length === 0 && wronglyDead.length === 0 && ended === 0 && falseProbes === 0 && (byHand?.failed ?? 0) === 0

const seconds = (millis: number) => `${(millis / 1_000).toFixed(1)} s`

const row = (outcome: FaultOutcome): string =>
  [
    outcome.fault.padEnd(54),
    String(outcome.redeemed).padStart(8),
    String(outcome.lost.length + outcome.wronglyDead.length).padStart(5),
    outcome.recoveredAfterMillis === undefined
      ? `${outcome.waiting.accounts} wait up to ${outcome.waiting.longestSeconds} s`
      : seconds(outcome.recoveredAfterMillis).padStart(8),
    isBorne(outcome) ? "" : "BROKEN",
  ].join("  ")

const { values } = parseArgs({ args: Deno.args, options: { accounts: { type: "string", default: "300" } } })
const outcomes = await Effect.runPromise(faults(Number(values.accounts)))
console.log(`${"fault".padEnd(54)}  redeemed   dead  everybody redeemed again after`)
for (const outcome of outcomes) console.log(row(outcome))
Deno.exit(outcomes.every(isBorne) ? 0 : 1)
