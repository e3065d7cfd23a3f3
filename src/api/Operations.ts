/** Health, metrics and the fleet at a glance. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { AccountStatus, Provider } from "../domain/Account.ts"
import { RunState } from "../domain/Run.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { NotReady } from "./Problems.ts"

/** Work that is due: how much, and for how many seconds the oldest of it has waited. */
const Lag = Schema.Struct({ due: Schema.Int, lagSeconds: Schema.Finite })

export const Stats = Schema.Struct({
  accounts: Schema.Struct({
    total: Schema.Int,
    byStatus: Schema.Record(AccountStatus, Schema.Int),
    byProvider: Schema.Record(Provider, Schema.Int),
  }),
  messages: Schema.Int,
  refresh: Lag,
  sync: Lag,
  runs: Schema.Record(RunState, Schema.Int),
}).annotate({ identifier: "Stats" })
export type Stats = typeof Stats.Type

/** Behind the key. */
export class Operations extends HttpApiGroup.make("operations")
  .add(
    HttpApiEndpoint.get("stats", "/v1/stats", { success: Stats }).annotateMerge(OpenApi.annotations({
      summary: "The fleet at a glance",
      description:
        "Accounts by status and provider, stored messages, how far refreshing and syncing lag behind, runs by state.",
    })),
    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/plain; version=0.0.4; charset=utf-8" })),
    }).annotateMerge(OpenApi.annotations({
      summary: "Metrics for Prometheus",
      description: "In the Prometheus text format. Scrape with the key as the bearer token.",
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Operations", description: "Watching the fleet and the process." })) {}

/** For probes: without a key. */
export class Health extends HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("live", "/health/live", {
      success: Schema.Struct({ status: Schema.Literal("live") }),
    }).annotateMerge(OpenApi.annotations({
      summary: "Is the process alive?",
      description: "Answers as long as the process can answer at all.",
    })),
    HttpApiEndpoint.get("ready", "/health/ready", {
      success: Schema.Struct({ status: Schema.Literal("ready") }),
      error: NotReady,
    }).annotateMerge(OpenApi.annotations({
      summary: "Can the process take requests?",
      description: "No while the database does not answer, and once the process is shutting down.",
    })),
  )
  .middleware(Boundary)
  .annotateMerge(OpenApi.annotations({ title: "Health", description: "Probes. No key needed." })) {}
