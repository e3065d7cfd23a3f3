/** The death of a process, and what it cost. */
import { assert } from "@effect/vitest"
import { Effect } from "effect"
import type { Simulator } from "../../src/simulator/Simulator.ts"
import { eventually, type Installation, leasesEnd, type Service } from "../support/processes.ts"

export interface Stage {
  readonly installation: Installation
  readonly simulator: Simulator
  /** Accounts whose newest token was on the wire at a kill and never stored, once for each time. */
  readonly lost: Array<string>
}

/** Longest time from the end of an answer until its token is stored, in milliseconds, on a busy machine. */
const storing = 2_000

/**
 * Kills the process, and adds to `lost` what the provider has rotated and the database does not hold: at most `concurrency`
 * tokens, each of an answer that was under way. With `ages`, leases end; else they are left to. Answers with the processed
 * items of each run that are stored, oldest run first.
 */
export const kill = Effect.fnUntraced(function* (
  { installation, lost, simulator }: Stage,
  service: Service,
  options: { readonly ages: boolean; readonly concurrency: number },
) {
  const at = Date.now()
  yield* service.kill
  // What the dead process had sent is carried out all the same.
  yield* eventually(
    "the provider is idle",
    Effect.sync(() => simulator.counters()),
    ({ graph, token }) => graph.inFlight + token.inFlight === 0,
  )
  const { grants, runs } = yield* installation.query((sql, table) =>
    Effect.all({
      grants: sql<{ email: string; version: number }>`select a.email, g.version
        from ${table("accounts")} a join ${table("grants")} g on g.id = a.grant_id`,
      runs: sql<{ processed: number }>`select succeeded + failed + skipped as processed from ${
        table("runs")
      } order by id`,
      aged: options.ages ? leasesEnd(sql, table) : Effect.void,
    })
  )
  // A token that was lost at an earlier kill is missing from the count of versions for ever.
  const lostBefore = (email: string) => lost.filter((one) => one === email).length
  const now = grants.filter(({ email, version }) =>
    simulator.account(email).generation > version - 1 + lostBefore(email)
  ).map(({ email }) => email)
  const onTheWire = simulator.onTheWire(Date.now(), Date.now() - at + storing).map(({ email }) => email)
  assert.includeMembers(onTheWire, now)
  assert.isAtMost(now.length, options.concurrency)
  lost.push(...now)
  return runs.map(({ processed }) => processed)
})
