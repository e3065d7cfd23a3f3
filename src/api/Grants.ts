/** Grants: of people who signed in, of tenants whose administrator consented, of service accounts. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Channel } from "../domain/Account.ts"
import { GrantKind, mostMailboxes } from "../domain/Grant.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Grant, MailboxOutcome, TenantMailbox } from "./Models.ts"
import { Id, page, pageOf, Tags, Text } from "./Parameters.ts"
import {
  AccountUnusable,
  GrantInUse,
  GrantRefused,
  InvalidBody,
  InvalidCursor,
  NotFound,
  ProviderUnavailable,
} from "./Problems.ts"

/** Exactly one of `tenant` and `mailbox`. */
export const NewGrant = Schema.Struct({
  appId: Schema.String,
  /** The id of a Microsoft tenant, or a domain of it. */
  tenant: Schema.optionalKey(Schema.String),
  /** The address of a mailbox in a Google Workspace, which a service account reads. Its account is made with the grant. */
  mailbox: Schema.optionalKey(Schema.String),
  /** Of the account of `mailbox`. */
  tags: Schema.optionalKey(Tags),
}).annotate({ identifier: "NewGrant" })

/** Either `mailboxes` or `all`. */
export const NewMailboxes = Schema.Struct({
  mailboxes: Schema.optionalKey(
    Schema.Array(Schema.String).check(
      Schema.isMinLength(1),
      Schema.isMaxLength(mostMailboxes, { expected: `at most ${mostMailboxes} addresses` }),
    ),
  ),
  /** One page of the tenant's directory; `nextCursor` of the answer, as `cursor`, leads on to the next. */
  all: Schema.optionalKey(Schema.Literal(true)),
  cursor: Schema.optionalKey(Schema.String),
  tags: Schema.optionalKey(Tags),
  /** Unless given, graph. */
  channel: Schema.optionalKey(Channel),
}).annotate({ identifier: "NewMailboxes" })

const params = { id: Id }

export class Grants extends HttpApiGroup.make("grants")
  .add(
    HttpApiEndpoint.get("list", "/v1/grants", {
      query: { ...page, kind: Schema.optionalKey(GrantKind), appId: Schema.optionalKey(Text) },
      success: pageOf(Grant),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({ summary: "List grants", description: "Oldest first." })),
    HttpApiEndpoint.post("create", "/v1/grants", {
      payload: NewGrant,
      success: HttpApiSchema.WithHeaders(Grant.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: [GrantRefused, InvalidBody],
    }).annotateMerge(OpenApi.annotations({
      summary: "Add a grant without a refresh token",
      description: [
        "With `tenant`, the grant of an administrator who lets a Microsoft app read the mailboxes of a whole tenant: the app needs a",
        "secret or a certificate, and application permissions such as Mail.Read. With `mailbox`, that of a Google service account with",
        "domain-wide delegation. One that is there already is answered as it is.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/grants/:id", { params, success: Grant, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get a grant", description: "Its secret is never shown." }),
    ),
    HttpApiEndpoint.delete("remove", "/v1/grants/:id", {
      params,
      success: HttpApiSchema.NoContent,
      error: [NotFound, GrantInUse],
    }).annotateMerge(OpenApi.annotations({
      summary: "Delete a grant",
      description: "Once it has no accounts. That of a user goes by itself with its last account.",
    })),
    HttpApiEndpoint.get("mailboxes", "/v1/grants/:id/mailboxes", {
      params,
      query: page,
      success: pageOf(TenantMailbox),
      error: [NotFound, InvalidCursor, GrantRefused, AccountUnusable, ProviderUnavailable],
    }).annotateMerge(OpenApi.annotations({
      summary: "List the mailboxes of a tenant",
      description:
        "As its directory lists them, with the account of each that has one. A page may be empty and not be the last.",
    })),
    HttpApiEndpoint.post("addAccounts", "/v1/grants/:id/accounts", {
      params,
      payload: NewMailboxes,
      success: pageOf(MailboxOutcome),
      error: [NotFound, InvalidCursor, GrantRefused, InvalidBody, AccountUnusable, ProviderUnavailable],
    }).annotateMerge(OpenApi.annotations({
      summary: "Add mailboxes to a grant",
      description: [
        "Mailboxes of a tenant, or shared mailboxes that whoever signed in may open. Each has an outcome of its own; one that is an",
        "account already is left as it is, so the call can be repeated.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Grants",
    description: "What users and administrators allowed apps to do. One grant may serve many accounts.",
  })) {}
