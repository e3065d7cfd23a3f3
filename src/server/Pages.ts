/** Pages for people: the dashboard and the API reference. */
import { Effect, Layer } from "effect"
import { HttpRouter } from "effect/http"
import { HttpApiScalar } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { layerDashboard } from "./Dashboard.ts"
import { security } from "./PageSecurity.ts"

// The reference brings its script within the page, and talks to this server only: nothing is fetched from elsewhere.
const layerReference = HttpApiScalar.layer(Api, {
  path: "/docs",
  scalar: { withDefaultFonts: false, authentication: { preferredSecurityScheme: "apiKey" } },
}).pipe(Layer.provide(
  HttpRouter.middleware((page) =>
    Effect.map(
      page,
      security(
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'",
      ),
    )
  ).layer,
))

export const layerPages = Layer.mergeAll(layerDashboard, layerReference)
