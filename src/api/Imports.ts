/** Taking in a file of accounts. */
import { Schema } from "effect"
import { HttpApi, HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Channel, Provider } from "../domain/Account.ts"
import { OnDuplicate } from "../domain/Run.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Flag, idempotent, TagList } from "./Parameters.ts"
import { ImportRefused } from "./Problems.ts"
import { Started, startErrors } from "./Started.ts"

/** The media types of import files. */
export const importMediaTypes = [
  "text/csv",
  "text/plain",
  "application/x-ndjson",
  "application/ndjson",
  "application/jsonl",
  "application/json",
] as const

export class Imports extends HttpApiGroup.make("imports")
  .add(
    HttpApiEndpoint.post("create", "/v1/imports", {
      query: {
        onDuplicate: Schema.optionalKey(OnDuplicate),
        dryRun: Schema.optionalKey(Flag),
        verify: Schema.optionalKey(Flag),
        provider: Schema.optionalKey(Provider),
        channel: Schema.optionalKey(Channel),
        tags: Schema.optionalKey(TagList),
      },
      headers: idempotent,
      payload: HttpApiSchema.StreamUint8Array({ contentType: importMediaTypes }),
      success: Started,
      error: [ImportRefused, ...startErrors],
    }).annotateMerge(OpenApi.annotations({
      summary: "Import accounts",
      description: [
        "Takes a file of accounts of any size and answers once all of it is stored. The run then checks each row, redeems",
        "its refresh token once (`verify=false` leaves that to the first scheduled refresh) and shows what came of it.",
        "\n\n`text/csv` needs a header that names `email,client_id,refresh_token[,tenant,provider,channel,tags]`; NDJSON and",
        "JSON use the same names; `text/plain` takes lines of `email----client_id----refresh_token`.",
        "\n\n`onDuplicate` says what happens to a row whose account exists: `skip` it, `update` its token, or `fail` it.",
        "`dryRun` checks the file without storing accounts or contacting a provider. `provider`, `channel` and `tags`",
        "(separated by commas) apply to rows that do not name their own.",
        "\n\nA bad row fails alone, with its line and the reason. A file that cannot be read at all is refused.",
      ].join(" "),
    }))
      // A misspelt `dryRun` must not become a real import.
      .annotate(HttpApi.QueryParseOptions, { errors: "all", onExcessProperty: "error" }),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Imports", description: "Accounts come in as files." })) {}
