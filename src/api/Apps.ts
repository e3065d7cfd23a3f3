/** OAuth clients, their secrets and keys. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Provider } from "../domain/Account.ts"
import { AppScopes, Registration } from "../domain/App.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { App } from "./Models.ts"
import { Id, page, pageOf } from "./Parameters.ts"
import { DuplicateApp, InvalidBody, InvalidCursor, NotFound } from "./Problems.ts"

/** Described where it is encoded, which is what the OpenAPI document shows. */
const describe = <S extends Schema.Top>(schema: S, description: string): S["Rebuild"] =>
  Schema.annotateEncoded<S>({ description })(schema)

const secret = (description: string) => describe(Schema.RedactedFromValue(Schema.String), description)

const fields = {
  authority: describe(
    Schema.String,
    "Where a Microsoft app signs in, without the tenant, such as https://login.microsoftonline.us. Unless given, " +
      "MAILFLEET_MICROSOFT_AUTHORITY.",
  ),
  redirectUri: describe(
    Schema.String,
    "As registered at the provider: https, or http on a loopback host. Unless given, /connect/callback of this server.",
  ),
  scopes: describe(AppScopes, "Scopes by channel, separated by blanks: graph and imap at Microsoft, gmail at Google."),
  registration: describe(
    Registration,
    "spa: Microsoft ends its refresh tokens after 24 hours. testing: Google ends them after 7 days. Otherwise standard.",
  ),
  secret: secret("1 to 1000 printable ASCII characters. An app without secret and certificate is public."),
  secretExpiresAt: describe(
    Schema.DateTimeUtcFromString,
    "When the provider ends the secret. Events tell of it 30, 7 and 1 days before, and then.",
  ),
  certificate: secret(
    "PEM: a certificate and its private key (RSA, 2048 bits or more) together, for a Microsoft app instead of a secret.",
  ),
  serviceAccountKey: secret("The text of the JSON key file of a Google service account."),
}

/** An app given by itself. Checked by the rules of import files. */
export const NewApp = Schema.Struct({
  provider: Provider,
  clientId: Schema.String,
  /** Unless given, that of accounts which name none. Google has no tenants. */
  tenant: Schema.optionalKey(Schema.String),
  authority: Schema.optionalKey(fields.authority),
  redirectUri: Schema.optionalKey(fields.redirectUri),
  scopes: Schema.optionalKey(fields.scopes),
  registration: Schema.optionalKey(fields.registration),
  secret: Schema.optionalKey(fields.secret),
  secretExpiresAt: Schema.optionalKey(fields.secretExpiresAt),
  certificate: Schema.optionalKey(fields.certificate),
  serviceAccountKey: Schema.optionalKey(fields.serviceAccountKey),
}).annotate({ identifier: "NewApp" })

const changed = <S extends Schema.Top>(schema: S) => Schema.optionalKey(Schema.NullOr(schema))

/** Only what is given is changed; null takes it away. */
export const AppPatch = Schema.Struct({
  authority: changed(fields.authority),
  redirectUri: changed(fields.redirectUri),
  scopes: changed(
    Schema.Struct({ graph: changed(Schema.String), imap: changed(Schema.String), gmail: changed(Schema.String) }),
  ),
  registration: changed(fields.registration),
  secret: changed(fields.secret),
  secretExpiresAt: changed(fields.secretExpiresAt),
  certificate: changed(fields.certificate),
  serviceAccountKey: changed(fields.serviceAccountKey),
}).check(Schema.isMinProperties(1)).annotate({ identifier: "AppPatch" })

const params = { id: Id }

export class Apps extends HttpApiGroup.make("apps")
  .add(
    HttpApiEndpoint.get("list", "/v1/apps", { query: page, success: pageOf(App), error: InvalidCursor }).annotateMerge(
      OpenApi.annotations({ summary: "List apps", description: "Oldest first. Secrets and keys are never shown." }),
    ),
    HttpApiEndpoint.post("create", "/v1/apps", {
      payload: NewApp,
      success: HttpApiSchema.WithHeaders(App.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: [DuplicateApp, InvalidBody],
    }).annotateMerge(OpenApi.annotations({
      summary: "Add an app",
      description: [
        "Rows of imports find the app by provider, client id and tenant, and use its secret or certificate. A public app needs",
        "no adding: an import makes one of any that it names.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/apps/:id", { params, success: App, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get an app", description: "Its secret and its keys are never shown." }),
    ),
    HttpApiEndpoint.patch("update", "/v1/apps/:id", {
      params,
      payload: AppPatch,
      success: App,
      error: [NotFound, InvalidBody],
    }).annotateMerge(OpenApi.annotations({
      summary: "Change an app",
      description: [
        "Only what is given is changed; null takes it away. The next redemption uses it. Where the provider has refused the",
        "app, a new secret, certificate, authority or scope has it tried again at once, and its grants within a minute. A new",
        "secret without secretExpiresAt has no known end.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Apps",
    description: "OAuth clients, by which users allowed access to their mail.",
  })) {}
