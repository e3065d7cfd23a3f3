/** Who was given what, and who changed what. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { AuditEntry, AuditHead, AuditLink } from "./Models.ts"
import { page, pageOf, Text } from "./Parameters.ts"
import { InvalidCursor } from "./Problems.ts"

/** A page of the chain, with what the oldest entry of all follows. */
export const AuditChainPage = Schema.Struct({ ...pageOf(AuditLink).fields, anchor: AuditHead })

export class Audit extends HttpApiGroup.make("audit")
  .add(
    HttpApiEndpoint.get("list", "/v1/audit", {
      query: { ...page, accountId: Schema.optionalKey(Text) },
      success: pageOf(AuditEntry),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "List the audit log",
      description: [
        "Newest first: every access token that was asked for, every call that read mail, every call that was to change",
        "something; by whom, for what, and what came of it. Entries outlive their account, under a pseudonym once it is erased,",
        "and are kept for `MAILFLEET_AUDIT_RETENTION_DAYS`.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("chain", "/v1/audit/chain", {
      query: page,
      success: AuditChainPage,
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "Read the audit log as a chain",
      description: [
        "Oldest first, each entry as it was hashed, for whoever checks that none was changed, taken out or moved:",
        "`mailfleet audit verify` does. `hash` is SHA-256 over the 32 bytes of the hash before and the JSON array of position, at,",
        "actor, action, subject, grant, object, resource, detail and outcome. `anchor` is what the oldest entry follows.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(
    OpenApi.annotations({ title: "Audit", description: "Who was given what, and who changed what." }),
  ) {}
