/** What operators are told of the fleet as a whole. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { EventKind } from "../domain/Event.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Event } from "./Models.ts"
import { page, pageOf } from "./Parameters.ts"
import { InvalidCursor } from "./Problems.ts"

export class Events extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("list", "/v1/events", {
      query: { ...page, kind: Schema.optionalKey(EventKind) },
      success: pageOf(Event),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "List operator events",
      description: [
        "What concerns more than one account, newest first: an app that the provider refuses (`app.faulted`,",
        "`app.recovered`), and more users than usual who would have to sign in again (`reauth.spike`, `reauth.spike_ended`).",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Events", description: "What operators are told." })) {}
