/** Shows apps and changes them. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { DuplicateApp, InvalidBody } from "../api/Problems.ts"
import type { InvalidApp } from "../domain/App.ts"
import { AppRequests } from "../programs/AppRequests.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { cursorProblem, limited, orNotFound } from "./Answers.ts"

const invalid = ({ field, message }: InvalidApp) =>
  new InvalidBody({ detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })

export const layerApps = HttpApiBuilder.group(
  Api,
  "apps",
  Effect.fnUntraced(function* (handlers) {
    const apps = yield* Apps
    const requests = yield* AppRequests
    const orNoApp = orNotFound("app")

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(apps.list(limited(query)), cursorProblem),
      create: Effect.fn("apps.create")(
        function* ({ payload }) {
          const app = yield* requests.add(payload)
          return HttpApiSchema.withHeaders({ body: app, headers: { location: `/v1/apps/${app.id}` } })
        },
        Effect.catchTags({
          DuplicateApp: ({ appId }) =>
            Effect.fail(
              new DuplicateApp({ detail: "this app exists: change it by PATCH /v1/apps/{appId}", appId }),
            ),
          InvalidApp: (error) => Effect.fail(invalid(error)),
        }),
      ),
      get: ({ params }) => orNoApp(apps.get(params.id)),
      update: ({ params, payload }) => requests.patch(params.id, payload).pipe(Effect.mapError(invalid), orNoApp),
    })
  }),
)
