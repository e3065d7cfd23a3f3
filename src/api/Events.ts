/** What operators are told of the fleet as a whole. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { EventKind } from "../domain/Event.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Event } from "./Models.ts"
import { page, pageOf, Text } from "./Parameters.ts"
import { InvalidCursor } from "./Problems.ts"

export class Events extends HttpApiGroup.make("events")
  .add(
    HttpApiEndpoint.get("list", "/v1/events", {
      query: { ...page, kind: Schema.optionalKey(EventKind), subject: Schema.optionalKey(Text) },
      success: pageOf(Event),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "List operator events",
      description: [
        "Newest first. Of apps: one that the provider refuses (`app.faulted`, `app.recovered`), and secrets that end",
        "(`app.secret_expiring`). Of the fleet: more users than usual who would have to sign in again (`reauth.spike`,",
        "`reauth.spike_ended`). Of accounts: `account.needs_reauth` with the link where the user signs in again,",
        "`account.blocked` and `account.recovered`, once for each change of their status; `subject` is the account's id.",
        "`grant.ending`: a refresh token that ends soon; `subject` is the grant's id, `code` how long before it is told.",
        "`run.finished`: a run has ended; `subject` is its id, `code` its state. `webhook.disabled`: nothing is sent to a",
        "webhook any more; `subject` is its id. `backup.restored`: the database is of a backup, and positions of the change",
        "log of before are expired. Webhooks are sent all of these.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Events", description: "What operators are told." })) {}
