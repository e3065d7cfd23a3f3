/** The whole HTTP application as one web handler: `fetch` semantics, no port, no runtime of its own. */
import { Context, Effect, Layer, type Scope } from "effect"
import { HttpEffect, HttpMiddleware, HttpRouter, HttpServer, type HttpServerRequest, UrlParams } from "effect/http"
import { HttpApi, HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { layerAccounts } from "./Accounts.ts"
import { layerApps } from "./Apps.ts"
import { layerAudit } from "./Audit.ts"
import { layerAuthorization } from "./Authorization.ts"
import { layerBoundary } from "./Boundary.ts"
import { Callers } from "./Callers.ts"
import { connectRoutes, layerConnectPages } from "./connect/Routes.ts"
import { layerConnectSessions } from "./ConnectSessions.ts"
import { layerGrants } from "./Grants.ts"
import { dashboardRoutes } from "./Dashboard.ts"
import { edge, isForSignIn, type KnownRoute } from "./Edge.ts"
import { layerEncryption } from "./Encryption.ts"
import { layerErasures } from "./Erasures.ts"
import { layerEvents } from "./Events.ts"
import { layerImports } from "./Imports.ts"
import { layerKeys } from "./Keys.ts"
import { layerMail } from "./Mail.ts"
import { layerNotifications } from "./Notifications.ts"
import { layerHealth, layerOperations } from "./Operations.ts"
import { layerPages } from "./Pages.ts"
import { layerPolicies } from "./Policies.ts"
import { layerRuns } from "./Runs.ts"
import { layerSession } from "./Session.ts"
import { layerWebhooks } from "./Webhooks.ts"
import { layerWork } from "./Work.ts"

const layerApi = HttpApiBuilder.layer(Api, { openapiPath: "/openapi.json" }).pipe(
  Layer.provide([
    layerImports,
    layerWork,
    layerRuns,
    layerAccounts,
    layerApps,
    layerKeys,
    layerConnectSessions,
    layerGrants,
    layerPolicies,
    layerMail,
  ]),
  Layer.provide([
    layerSession,
    layerEncryption,
    layerEvents,
    layerErasures,
    layerWebhooks,
    layerAudit,
    layerNotifications,
    layerOperations,
    layerHealth,
  ]),
  Layer.provide([layerAuthorization, layerBoundary]),
)

const layerRoutes = Layer.mergeAll(layerApi, layerPages, layerConnectPages).pipe(
  Layer.provide(Callers.layer),
  Layer.provide(HttpServer.layerServices),
)

/** Ids of any length find their route, so that the answer to one that names nothing is always the same. */
const routerConfig = { maxParamLength: 16_384 }

const pages: ReadonlyArray<KnownRoute> = [
  ...dashboardRoutes,
  { method: "GET", path: "/docs" },
  { method: "GET", path: "/openapi.json" },
  ...connectRoutes,
]

const knownRoutes = (): ReadonlyArray<KnownRoute> => {
  const routes = [...pages]
  HttpApi.reflect(Api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => {
      routes.push({ method: endpoint.method, path: endpoint.path as `/${string}` })
    },
  })
  return routes
}

/** Spans show the values of these parameters only: any other may hold an address, a search, or a secret in the wrong place. */
const redacted = /^(?!(?:channel|dryRun|kind|limit|onDuplicate|outcome|provider|resource|state|status|verify)$)/

/**
 * Builds the application in the caller's scope and answers with its handler. Requests run with the caller's services, so
 * loggers, tracers and metrics are those that are in place here.
 */
export const makeHandler = Effect.gen(function* () {
  const context = Context.add(yield* Effect.context<never>(), UrlParams.CurrentRedactedNames, [redacted]).pipe(
    Context.add(HttpMiddleware.TracerDisabledWhen, isForSignIn),
  )
  const app = yield* HttpRouter.toHttpEffect(layerRoutes).pipe(
    Effect.provideService(HttpRouter.RouterConfig, routerConfig),
  )
  return HttpEffect.toWebHandlerWith<never, Scope.Scope | HttpServerRequest.HttpServerRequest>(context)(
    edge(knownRoutes())(app),
  )
})
