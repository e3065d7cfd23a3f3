/** Makes links to sign in, and shows what came of them. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { ConnectSessionUsed, DeviceNotAvailable, InvalidBody, SignInRefused } from "../api/Problems.ts"
import type { InvalidConnectSession } from "../domain/ConnectSession.ts"
import { ConnectDevice } from "../programs/ConnectDevice.ts"
import { Connect } from "../programs/Connect.ts"
import { orNotFound } from "./Answers.ts"

const invalid = ({ field, message }: InvalidConnectSession) =>
  new InvalidBody({ detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })

export const layerConnectSessions = HttpApiBuilder.group(
  Api,
  "connectSessions",
  Effect.fnUntraced(function* (handlers) {
    const connect = yield* Connect
    const device = yield* ConnectDevice
    const orNoSession = orNotFound("connect session")
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
      get: ({ params }) => orNoSession(connect.get(params.id)),
      startDevice: ({ params }) =>
        device.start(params.id).pipe(
          Effect.catchTags({
            ConnectSessionUsed: ({ state }) =>
              Effect.fail(
                new ConnectSessionUsed({ detail: `the link cannot be used: the sign-in is ${state}`, state }),
              ),
            DeviceNotAvailable: ({ message }) => Effect.fail(new DeviceNotAvailable({ detail: message })),
            SignInRefused: ({ code, message }) => Effect.fail(new SignInRefused({ code, detail: message })),
          }),
          orNoSession,
        ),
      pollDevice: ({ params }) => orNoSession(device.poll(params.id)),
    })
  }),
)
