/** Receipts of deleted accounts. */
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Erasure } from "./Models.ts"
import { Id, page, pageOf } from "./Parameters.ts"
import { InvalidCursor, NotFound } from "./Problems.ts"

export class Erasures extends HttpApiGroup.make("erasures")
  .add(
    HttpApiEndpoint.get("list", "/v1/erasures", {
      query: page,
      success: pageOf(Erasure),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List erasures", description: "Newest first." })),
    HttpApiEndpoint.get("get", "/v1/erasures/:id", {
      params: { id: Id },
      success: Erasure,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Get an erasure",
      description: [
        "The receipt of a deleted account, which the `Location` of the answer to its deletion leads to. `completed`: nothing of",
        "the account is stored any more, and the provider takes its refresh token no more where `revocation` is `revoked`.",
        "Microsoft lets nobody revoke a single grant: there it is `unsupported`.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Erasures", description: "What became of deleted accounts." })) {}
