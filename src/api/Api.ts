/** The HTTP API as a whole: what server, client and OpenAPI document are derived from. */
import { HttpApi, OpenApi } from "effect/http-api"
import { Accounts } from "./Accounts.ts"
import { Apps } from "./Apps.ts"
import { Audit } from "./Audit.ts"
import { ConnectSessions } from "./ConnectSessions.ts"
import { documented } from "./Documentation.ts"
import { Encryption } from "./Encryption.ts"
import { Erasures } from "./Erasures.ts"
import { Events } from "./Events.ts"
import { Grants } from "./Grants.ts"
import { Imports } from "./Imports.ts"
import { Keys } from "./Keys.ts"
import { Mail } from "./Mail.ts"
import { Notifications } from "./Notifications.ts"
import { Health, Operations } from "./Operations.ts"
import { Policies } from "./Policies.ts"
import { Runs } from "./Runs.ts"
import { Session } from "./Session.ts"
import { version } from "./Version.ts"
import { Webhooks } from "./Webhooks.ts"
import { Work } from "./Work.ts"

/** All calls, their parameters, answers and errors. */
export class Api extends HttpApi.make("mailfleet")
  .add(
    Imports,
    Work,
    Runs,
    Accounts,
    Apps,
    Keys,
    Encryption,
    Grants,
    ConnectSessions,
    Policies,
    Mail,
    Events,
    Erasures,
    Webhooks,
    Audit,
    Notifications,
    Session,
    Operations,
    Health,
  )
  // All issues at once. A misspelt field in a body is refused: a filter without it would select more than was meant.
  .annotate(HttpApi.QueryParseOptions, { errors: "all" })
  .annotate(HttpApi.HeadersParseOptions, { errors: "all" })
  .annotate(HttpApi.PayloadParseOptions, { errors: "all", onExcessProperty: "error" })
  .annotateMerge(OpenApi.annotations({
    title: "Mailfleet",
    version,
    description: [
      "Keeps a fleet of OAuth mailboxes signed in and in sync.",
      "\n\nTimes are ISO 8601 in UTC. Lists are pages of `items` with a `nextCursor`; `limit` is 50 unless given, at most 500.",
      "Calls that start a run answer `202` with the run and its `Location`, and take an `Idempotency-Key`.",
      "Errors are `application/problem+json` (RFC 9457) with a stable `code`.",
    ].join(" "),
    license: { name: "MIT", identifier: "MIT" },
    transform: (spec) => documented(spec as OpenApi.OpenAPISpec),
  })) {}
