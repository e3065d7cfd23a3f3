/** Who was given what. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { AuditEntry } from "./Models.ts"
import { page, pageOf, Text } from "./Parameters.ts"
import { InvalidCursor } from "./Problems.ts"

export class Audit extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("list", "/v1/audit", {
      query: { ...page, accountId: Schema.optionalKey(Text) },
      success: pageOf(AuditEntry),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "List the audit log",
      description: [
        "Every access token that was asked for, newest first: by whom, for what, and whether it was `issued` or why not.",
        "Entries outlive their account and are kept for 400 days.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Audit", description: "Who was given what." })) {}
