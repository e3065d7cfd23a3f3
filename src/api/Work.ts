/** Asking for work over many accounts at once. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { AccountStatus, Provider } from "../domain/Account.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { idempotent, Text } from "./Parameters.ts"
import { Started, startErrors } from "./Started.ts"

/** The accounts that match all of the fields that are given. */
export const SelectionFilter = Schema.Struct({
  status: Schema.optionalKey(AccountStatus),
  tag: Schema.optionalKey(Text),
  /** Case-insensitive substring of the address. */
  search: Schema.optionalKey(Text),
  provider: Schema.optionalKey(Provider),
  /** Never refreshed, or not since then. */
  refreshedBefore: Schema.optionalKey(Schema.DateTimeUtcFromString),
}).annotate({ identifier: "SelectionFilter" })

/** Which accounts to work on. Disabled accounts are left out, or skipped where named by id. */
export const Selection = Schema.Struct({
  accountIds: Schema.optionalKey(
    Schema.Array(Schema.String).check(
      Schema.isBetweenLength(1, 10_000, { expected: "1 to 10000 account ids" }),
    ),
  ),
  filter: Schema.optionalKey(SelectionFilter),
  all: Schema.optionalKey(Schema.Literal(true)),
}).annotate({
  description: "Exactly one of `accountIds`, `filter` and `all`.",
  examples: [{ all: true }, { filter: { tag: "support" } }],
}).check(Schema.makeFilter((selection) => Object.keys(selection).length === 1, {
  identifier: "Selection",
  expected: "exactly one of accountIds, filter and all",
}))
export type Selection = typeof Selection.Type

export class Work extends HttpApiGroup.make("work")
  .add(
    HttpApiEndpoint.post("refresh", "/v1/refreshes", {
      headers: idempotent,
      payload: Selection,
      success: Started,
      error: startErrors,
    }).annotateMerge(OpenApi.annotations({
      summary: "Refresh accounts",
      description:
        "Starts a run that redeems the refresh token of each selected account, even where its access token is fresh.",
    })),
    HttpApiEndpoint.post("sync", "/v1/syncs", {
      headers: idempotent,
      payload: Selection,
      success: Started,
      error: startErrors,
    }).annotateMerge(OpenApi.annotations({
      summary: "Sync mail",
      description:
        "Starts a run that brings the stored mail of each selected account into step with its mailbox, all folders.",
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Work",
    description: "Refreshing and syncing on demand, beside what the schedules do by themselves.",
  })) {}
