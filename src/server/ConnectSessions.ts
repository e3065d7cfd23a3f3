/** Makes links to sign in, and shows what came of them. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { InvalidBody } from "../api/Problems.ts"
import type { InvalidConnectSession } from "../domain/ConnectSession.ts"
import { Connect } from "../programs/Connect.ts"
import { orNotFound } from "./Answers.ts"

const invalid = ({ field, message }: InvalidConnectSession) =>
  new InvalidBody({ detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })

export const layerConnectSessions = HttpApiBuilder.group(
  Api,
  "connectSessions",
  Effect.fnUntraced(function* (handlers) {
    const connect = yield* Connect
    return handlers.handleAll({
      create: Effect.fn("connectSessions.create")(
        function* ({ payload }) {
          const session = yield* connect.create(payload)
          return HttpApiSchema.withHeaders({
            body: session,
            headers: { location: `/v1/connect-sessions/${session.id}` },
          })
        },
        Effect.mapError(invalid),
      ),
      get: ({ params }) => orNotFound("connect session")(connect.get(params.id)),
    })
  }),
)
