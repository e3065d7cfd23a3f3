/** People sign in on another machine, by a code, where there is no browser. */
import { Clock, Context, DateTime, Effect, Fiber, Layer, Option, Redacted, Schema, type Scope } from "effect"
import {
  type ConnectSession,
  ConnectSessionUsed,
  type DeviceCode,
  DeviceNotAvailable,
  type SignInRefused,
} from "../domain/ConnectSession.ts"
import { SignInDevice } from "../oauth/SignInDevice.ts"
import { ConnectSessions } from "../storage/grants/ConnectSessions.ts"
import { makeSteps } from "./ConnectSteps.ts"

/** What is kept of a code while nobody has signed in. Times in milliseconds since 1970, and milliseconds. */
const Waiting = Schema.fromJsonString(Schema.Struct({
  deviceCode: Schema.String,
  interval: Schema.Number,
  askedAt: Schema.Number,
}))
const encodeWaiting = (waiting: typeof Waiting.Type) => Redacted.make(Schema.encodeSync(Waiting)(waiting))
const decodeWaiting = Schema.decodeUnknownOption(Waiting)

/** RFC 8628 §3.5. */
const slowerBy = 5_000

/** Longer than the token endpoint and what is read of the person may take, by their timeouts. */
const longestQuestion = 20_000

const notAvailable = new DeviceNotAvailable({
  message: "only people sign in by a code, and at Microsoft: Google lets no device ask for mail",
})

export class ConnectDevice extends Context.Service<ConnectDevice, {
  /** Spends the link of a session for a code. None = there is no such session. */
  readonly start: (id: string) => Effect.Effect<
    Option.Option<DeviceCode>,
    ConnectSessionUsed | DeviceNotAvailable | SignInRefused
  >
  /**
   * Asks the provider whether somebody has signed in, unless that was asked within the interval. The session says what came of
   * it. It goes on to its end even if the caller hangs up. None = there is no such session.
   */
  readonly poll: (id: string) => Effect.Effect<Option.Option<ConnectSession>>
}>()("mailfleet/programs/ConnectDevice") {
  static readonly layer = Layer.effect(
    ConnectDevice,
    Effect.gen(function* () {
      const sessions = yield* ConnectSessions
      const device = yield* SignInDevice
      const scope: Scope.Scope = yield* Effect.scope
      const { credentialsOf, keep, refuse } = yield* makeSteps

      const start = Effect.fn("ConnectDevice.start")(function* (id: string) {
        const stored = Option.getOrUndefined(yield* sessions.get(id))
        if (stored === undefined) return Option.none()
        const { channel, provider, session } = stored
        if (session.state !== "open") return yield* new ConnectSessionUsed({ state: session.state })
        if (provider !== "microsoft" || session.kind !== "sign_in") return yield* notAvailable
        const asking = Effect.flatMap(credentialsOf(session.appId), (app) => device.ask({ app, channel }))
        // A fault that passes leaves the link as it is.
        const code = yield* Effect.tapError(
          asking,
          (refused) => refused.code === "provider_unavailable" ? Effect.void : refuse(session, refused),
        )
        const now = yield* Clock.currentTimeMillis
        const interval = code.intervalSeconds * 1_000
        const waiting = encodeWaiting({ deviceCode: Redacted.value(code.deviceCode), interval, askedAt: now })
        if (!(yield* sessions.startDevice(session.id, waiting, code.expiresInSeconds))) {
          return yield* new ConnectSessionUsed({ state: "started" })
        }
        return Option.some<DeviceCode>({
          userCode: code.userCode,
          verificationUri: code.verificationUri,
          interval: code.intervalSeconds,
          expiresAt: DateTime.makeUnsafe(now + code.expiresInSeconds * 1_000),
        })
      })

      /** One question at a time: who has written down that it asks is alone for as long as an answer can take. */
      const ask = Effect.fnUntraced(function* (id: string) {
        const found = Option.getOrUndefined(yield* sessions.deviceOf(id))
        const waiting = Option.getOrUndefined(decodeWaiting(found === undefined ? "" : Redacted.value(found.secret)))
        if (found === undefined || waiting === undefined) return
        const now = yield* Clock.currentTimeMillis
        // A poll that comes a little early is nobody's fault: the interval is kept by both clocks.
        const passed = now - waiting.askedAt
        // Longer than a question can take: the clock has been set back.
        if (passed >= -2 * longestQuestion && passed < waiting.interval - 500) return
        // As if it had been asked later: a process that dies meanwhile has held the others up no longer than that.
        const later = encodeWaiting({ ...waiting, askedAt: now + longestQuestion })
        const asking = Option.getOrUndefined(yield* sessions.noteDevice(found, later))
        if (asking === undefined) return
        const { channel, session } = asking
        const deviceCode = Redacted.make(waiting.deviceCode)
        yield* credentialsOf(session.appId).pipe(
          Effect.flatMap((app) =>
            Effect.flatMap(
              device.poll({ app, channel, deviceCode }),
              (answer) => {
                if (answer._tag === "SignedIn") return Effect.asVoid(keep(session, channel, app, answer.person))
                const interval = waiting.interval + (answer.slower ? slowerBy : 0)
                return Effect.asVoid(sessions.noteDevice(asking, encodeWaiting({ ...waiting, interval, askedAt: now })))
              },
            )
          ),
          Effect.catch((refused) => refuse(session, refused)),
        )
      })

      return ConnectDevice.of({
        start,
        poll: Effect.fn("ConnectDevice.poll")(function* (id: string) {
          yield* Effect.flatMap(Effect.forkIn(ask(id), scope), Fiber.join)
          return Option.map(yield* sessions.get(id), ({ session }) => session)
        }),
      })
    }),
  )
}
