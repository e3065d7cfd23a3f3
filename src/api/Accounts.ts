/** Accounts, and the access tokens they give. */
import { Duration, Effect, Option, Schema, SchemaGetter, SchemaIssue } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { AccountStatus, Channel, Provider, RefreshPolicy, Resource } from "../domain/Account.ts"
import { MailChoice } from "../domain/MailChoice.ts"
import { parseDuration } from "../domain/Settings.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Account } from "./Models.ts"
import { Id, page, pageOf, Tags, Text, Time } from "./Parameters.ts"
import {
  AccountUnusable,
  DuplicateAccount,
  ImportRefused,
  InvalidCursor,
  NotFound,
  ProviderUnavailable,
} from "./Problems.ts"

/** One account given by itself. Checked as a row of an import file is. */
export const NewAccount = Schema.Struct({
  email: Schema.String,
  clientId: Schema.String,
  refreshToken: Schema.RedactedFromValue(Schema.String),
  tenant: Schema.optionalKey(Schema.String),
  provider: Schema.optionalKey(Provider),
  channel: Schema.optionalKey(Channel),
  tags: Schema.optionalKey(Tags),
}).annotate({ identifier: "NewAccount" })

/** What an operator may change of an account. */
export const AccountPatch = Schema.Struct({
  /** `disabled`: nothing contacts the provider any more. `active`: enabled again, and due at once. */
  status: Schema.optionalKey(Schema.Literals(["active", "disabled"])),
  /** Replaces all tags. */
  tags: Schema.optionalKey(Tags),
  channel: Schema.optionalKey(Channel),
  /** `null`: that of its tags, else `keep-alive`. */
  refreshPolicy: Schema.optionalKey(Schema.NullOr(RefreshPolicy)),
  /** Changes what is named only. `null`: all as the settings say. */
  mail: Schema.optionalKey(Schema.NullOr(Schema.Struct({
    windowDays: Schema.optionalKey(MailChoice.fields.windowDays),
    bodyDays: Schema.optionalKey(MailChoice.fields.bodyDays),
    folders: Schema.optionalKey(MailChoice.fields.folders),
    retentionDays: Schema.optionalKey(MailChoice.fields.retentionDays),
  }))),
}).annotate({ examples: [{ status: "disabled" }, { tags: ["support", "eu"] }] })
  .check(Schema.makeFilter((patch) => Object.keys(patch).length > 0, {
    identifier: "AccountPatch",
    expected: "at least one of status, tags, channel, refreshPolicy and mail",
  }))

export const IssuedToken = Schema.Struct({
  accessToken: Schema.RedactedFromValue(Schema.String),
  resource: Resource,
  expiresAt: Schema.DateTimeUtcFromString,
}).annotate({ identifier: "IssuedToken" })

const longestValidity = Duration.hours(1)

/** A duration such as `5 minutes`, at most an hour: no token lives much longer, and each call would redeem anew. */
const MinValidity = Schema.String.pipe(
  Schema.decodeTo(Schema.Duration, {
    decode: SchemaGetter.transformEffect((text) =>
      Option.match(Option.filter(parseDuration(text), Duration.isLessThanOrEqualTo(longestValidity)), {
        onNone: () =>
          Effect.fail(
            new SchemaIssue.InvalidValue({
              expected: `a duration of at most 1 hour, written like "90 seconds" or "5 minutes"`,
            }),
          ),
        onSome: Effect.succeed,
      })
    ),
    encode: SchemaGetter.transform((duration) => `${Duration.toMillis(duration)} millis`),
  }),
)

const params = { id: Id }

export class Accounts extends HttpApiGroup.make("accounts")
  .add(
    HttpApiEndpoint.get("list", "/v1/accounts", {
      query: {
        ...page,
        status: Schema.optionalKey(AccountStatus),
        tag: Schema.optionalKey(Text),
        search: Schema.optionalKey(Text),
        provider: Schema.optionalKey(Provider),
        endsBefore: Schema.optionalKey(Time),
      },
      success: pageOf(Account),
      error: InvalidCursor,
    }).annotateMerge(OpenApi.annotations({
      summary: "List accounts",
      description: [
        "Oldest first. `search` is a case-insensitive substring of the address. `endsBefore` finds those whose refresh token",
        "ends before a time unless it is used, or somebody signs in again, before (`token.endsAt`).",
      ].join(" "),
    })),
    HttpApiEndpoint.post("create", "/v1/accounts", {
      payload: NewAccount,
      success: HttpApiSchema.WithHeaders(Account.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: [DuplicateAccount, ImportRefused],
    }).annotateMerge(OpenApi.annotations({
      summary: "Add one account",
      description: "Stores the account and redeems its refresh token once; its status says what came of it.",
    })),
    HttpApiEndpoint.get("get", "/v1/accounts/:id", { params, success: Account, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get an account", description: "With the state of its token and of its mail." }),
    ),
    HttpApiEndpoint.patch("update", "/v1/accounts/:id", {
      params,
      payload: AccountPatch,
      success: Account,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Change an account",
      description: [
        "Switches it off or on, replaces its tags, or changes its refresh policy, the channel that its mail is read by, or what",
        "is kept of its mail. With another channel the stored mail stays, and is compared with what that channel shows. A larger",
        "choice of mail is fetched by the next rounds; what a smaller one leaves out is erased from the store within minutes.",
      ].join(" "),
    })),
    HttpApiEndpoint.delete("remove", "/v1/accounts/:id", { params, error: NotFound }).annotateMerge(
      OpenApi.annotations({
        summary: "Delete an account",
        description: [
          "With its grant where no other account uses it; it is gone at once. Its mail, and all else that is stored of it, is",
          "purged within minutes: `Location` leads to the erasure, which tells when nothing is left. The mailbox is not touched.",
        ].join(" "),
      }),
    ),
    HttpApiEndpoint.get("accessToken", "/v1/accounts/:id/access-token", {
      params,
      query: {
        resource: Schema.optionalKey(Resource),
        minValidity: Schema.optionalKey(MinValidity),
      },
      success: IssuedToken,
      error: [NotFound, AccountUnusable, ProviderUnavailable],
    }).annotateMerge(OpenApi.annotations({
      summary: "Get a valid access token",
      description: [
        "From the cache, or by a refresh where the cached one ends within `minValidity` (2 minutes). `resource` is that of",
        "the account's channel unless named. Every call is audited.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Accounts",
    description: "One mailbox at one provider, read by way of a grant.",
  })) {}
