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
        "Newest first: by whom, what, about whom, and what came of it. `access_token`, `sign_in` and `admin_consent` are tokens",
        "that were asked for and people who signed in; `session.create` and `session.remove` log-ins to the dashboard; all else is",
        "a call of this API by its name here (`mail.message`, `accounts.update`): each that shows mail, and each that was to change",
        "something. Folders, the change log, runs and accounts show no mail: reading them leaves no entry, and neither does a call",
        "with a wrong key. Entries outlive their account, under a pseudonym once it is erased, and are kept for",
        "`MAILFLEET_AUDIT_RETENTION_DAYS`. No secret, no address and nothing of a message is in them.",
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
