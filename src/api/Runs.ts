/** Runs and their progress. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Outcome, RunKind, RunState } from "../domain/Run.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Run, RunItem } from "./Models.ts"
import { Id, idempotent, page, pageOf } from "./Parameters.ts"
import { InvalidCursor, NotFound, NothingToRetry, RunActive, RunEnded } from "./Problems.ts"
import { Started, startErrors } from "./Started.ts"

/** `progress` each time the run changed, `end` once when it has ended. */
export const RunEvent = Schema.Struct({
  id: Schema.optionalKey(Schema.String),
  event: Schema.Literals(["progress", "end"]),
  data: Schema.fromJsonString(Run),
})
export type RunEvent = typeof RunEvent.Type

const params = { id: Id }

export class Runs extends HttpApiGroup.make("runs")
  .add(
    HttpApiEndpoint.get("list", "/v1/runs", {
      query: { ...page, kind: Schema.optionalKey(RunKind), state: Schema.optionalKey(RunState) },
      success: pageOf(Run),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List runs", description: "Newest first." })),
    HttpApiEndpoint.get("get", "/v1/runs/:id", { params, success: Run, error: NotFound }).annotateMerge(
      OpenApi.annotations({
        summary: "Get a run",
        description: "`processed` is `succeeded + failed + skipped`. `completed` means that every item has an outcome.",
      }),
    ),
    HttpApiEndpoint.get("items", "/v1/runs/:id/items", {
      params,
      query: { ...page, outcome: Schema.optionalKey(Outcome) },
      success: pageOf(RunItem),
      error: [NotFound, InvalidCursor],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the items of a run",
      description: "In the order of the file or the selection. `line` is the physical line of the file, from 1.",
    })),
    HttpApiEndpoint.get("events", "/v1/runs/:id/events", {
      params,
      success: HttpApiSchema.StreamSse({ events: RunEvent }),
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Watch a run",
      description: [
        "Server-sent events: `progress` with the run each time it changed, then `end` with the run as it ended. Each event",
        "holds the whole run, so a reader that lost the connection simply connects again.",
      ].join(" "),
    })),
    HttpApiEndpoint.post("cancel", "/v1/runs/:id/cancel", {
      params,
      success: Run.pipe(HttpApiSchema.status(202)),
      error: [NotFound, RunEnded],
    }).annotateMerge(OpenApi.annotations({
      summary: "Cancel a run",
      description: "No new items are started; those under way finish. Outcomes so far are kept.",
    })),
    HttpApiEndpoint.post("retry", "/v1/runs/:id/retry", {
      params,
      headers: idempotent,
      success: Started,
      error: [NotFound, RunActive, NothingToRetry, ...startErrors],
    }).annotateMerge(OpenApi.annotations({
      summary: "Retry the failed items of a run",
      description: "Starts a new run over the failed items that have an account.",
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Runs",
    description: "One import, refresh or sync over many accounts, with counts and an outcome for each item.",
  })) {}
