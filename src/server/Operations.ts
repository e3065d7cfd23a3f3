/** Health, metrics, and the fleet at a glance, of late and to come. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { NotReady } from "../api/Problems.ts"
import { DueStats } from "../storage/grants/DueStats.ts"
import { Settings } from "../domain/Settings.ts"
import { Cluster } from "../schedules/Cluster.ts"
import { databaseSilent, Stats } from "../storage/Stats.ts"
import { makeScrape } from "./Metrics.ts"
import { makeHistory } from "./History.ts"
import { Shutdown } from "./Shutdown.ts"

export const layerOperations = HttpApiBuilder.group(
  Api,
  "operations",
  Effect.fnUntraced(function* (handlers) {
    const { fleet } = yield* Stats
    const due = yield* DueStats
    const history = yield* makeHistory
    const scrape = yield* makeScrape
    return handlers.handleAll({
      stats: () => fleet,
      history: ({ query }) => history(query.since),
      due: () => due.due,
      metrics: () => scrape,
    })
  }),
)

/** Shorter than the timeout of any prober. */
const patience = "3 seconds"

export const layerHealth = HttpApiBuilder.group(
  Api,
  "health",
  Effect.fnUntraced(function* (handlers) {
    const stats = yield* Stats
    const cluster = yield* Cluster
    const { schedules } = yield* Settings
    const shutdown = yield* Shutdown

    return handlers.handleAll({
      live: () => Effect.succeed({ status: "live" as const }),
      ready: Effect.fnUntraced(function* () {
        if (yield* shutdown.begun) return yield* new NotReady({ detail: "the process is shutting down" })
        const fault = yield* stats.fault.pipe(Effect.timeoutOrElse({
          duration: patience,
          orElse: () => Effect.succeed(databaseSilent),
        }))
        if (fault !== undefined) return yield* new NotReady({ detail: fault })
        const members = yield* cluster.members
        return {
          status: "ready" as const,
          schedules: schedules ? "on" as const : "off" as const,
          ...(members === undefined ? {} : { members: members.filter(({ healthy }) => healthy).length }),
        }
      }),
    })
  }),
)
