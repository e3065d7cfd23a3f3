/** Keys of the API itself. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Scope } from "../domain/ApiKey.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { ApiKey } from "./Models.ts"
import { Id, page, pageOf } from "./Parameters.ts"
import { InvalidBody, InvalidCursor, NotFound } from "./Problems.ts"

export const NewApiKey = Schema.Struct({
  /** What the audit log calls whoever bears it. */
  name: Schema.String.check(
    Schema.isPattern(/^(?! )[^\p{Cc}\p{Cs}]{1,100}(?<! )$/u, {
      expected: "1 to 100 characters without control characters, and no blank at either end",
    }),
  ),
  scopes: Schema.Array(Scope).check(Schema.isMinLength(1)),
  expiresAt: Schema.optionalKey(Schema.DateTimeUtcFromString),
}).annotate({ identifier: "NewApiKey" })

/** The only answer that holds the key itself. */
export const CreatedApiKey = Schema.Struct({
  ...ApiKey.fields,
  key: Schema.RedactedFromValue(Schema.String),
}).annotate({ identifier: "CreatedApiKey" })

export class Keys extends HttpApiGroup.make("keys")
  .add(
    HttpApiEndpoint.get("list", "/v1/keys", { query: page, success: pageOf(ApiKey), error: InvalidCursor })
      .annotateMerge(OpenApi.annotations({
        summary: "List API keys",
        description: "Oldest first, expired ones included. The keys themselves are never shown again.",
      })),
    HttpApiEndpoint.post("create", "/v1/keys", {
      payload: NewApiKey,
      success: HttpApiSchema.WithHeaders(CreatedApiKey.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: InvalidBody,
    }).annotateMerge(OpenApi.annotations({
      summary: "Make an API key",
      description: "`key` is in this answer and nowhere else: only its hash is stored.",
    })),
    HttpApiEndpoint.delete("revoke", "/v1/keys/:id", { params: { id: Id }, error: NotFound }).annotateMerge(
      OpenApi.annotations({
        summary: "Revoke an API key",
        description: "It is refused at once by the process that answers, and within a second by every other.",
      }),
    ),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Keys",
    description: "Keys of this API beside the admin key: with scopes, and an end if they should have one.",
  })) {}
