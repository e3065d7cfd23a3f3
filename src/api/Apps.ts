/** OAuth clients and their secrets. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Provider } from "../domain/Account.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { App } from "./Models.ts"
import { Id, page, pageOf } from "./Parameters.ts"
import { DuplicateApp, InvalidBody, InvalidCursor, NotFound } from "./Problems.ts"

/** 1 to 1000 printable ASCII characters once surrounding white space is gone. */
const Secret = Schema.RedactedFromValue(Schema.String)

/** An app given by itself. Checked by the rules of import files. */
export const NewApp = Schema.Struct({
  provider: Provider,
  clientId: Schema.String,
  /** Unless given, that of accounts which name none. Google has no tenants. */
  tenant: Schema.optionalKey(Schema.String),
  /** Without one the app is a public client. */
  secret: Schema.optionalKey(Secret),
}).annotate({ identifier: "NewApp" })

export const AppPatch = Schema.Struct({
  /** `null` makes the app a public client. */
  secret: Schema.NullOr(Secret),
}).annotate({ identifier: "AppPatch" })

const params = { id: Id }

export class Apps extends HttpApiGroup.make("apps")
  .add(
    HttpApiEndpoint.get("list", "/v1/apps", { query: page, success: pageOf(App), error: InvalidCursor }).annotateMerge(
      OpenApi.annotations({ summary: "List apps", description: "Oldest first. Secrets are never shown." }),
    ),
    HttpApiEndpoint.post("create", "/v1/apps", {
      payload: NewApp,
      success: HttpApiSchema.WithHeaders(App.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: [DuplicateApp, InvalidBody],
    }).annotateMerge(OpenApi.annotations({
      summary: "Add an app",
      description: [
        "Rows of imports find the app by provider, client id and tenant, and use its secret. A public app needs no adding: an",
        "import makes one of any that it names.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/apps/:id", { params, success: App, error: NotFound }).annotateMerge(
      OpenApi.annotations({ summary: "Get an app", description: "Its secret is never shown." }),
    ),
    HttpApiEndpoint.patch("update", "/v1/apps/:id", {
      params,
      payload: AppPatch,
      success: App,
      error: [NotFound, InvalidBody],
    }).annotateMerge(OpenApi.annotations({
      summary: "Change the secret of an app",
      description: [
        "The next redemption uses it. Where the provider has refused the app, it is tried again at once, and its grants within",
        "a minute.",
      ].join(" "),
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Apps",
    description: "OAuth clients, by which users allowed access to their mail.",
  })) {}
