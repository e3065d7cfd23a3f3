/** Links by which people sign in and administrators consent. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Channel } from "../domain/Account.ts"
import { ConnectKind } from "../domain/ConnectSession.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { ConnectSession, DeviceCode } from "./Models.ts"
import { Id, Tags } from "./Parameters.ts"
import { ConnectSessionUsed, DeviceNotAvailable, InvalidBody, NotFound, SignInRefused } from "./Problems.ts"

const describe = <S extends Schema.Top>(schema: S, description: string): S["Rebuild"] =>
  schema.annotate({ description })

/** A link to be made. */
export const NewConnectSession = Schema.Struct({
  appId: describe(Schema.String, "The app that is signed in with."),
  kind: Schema.optionalKey(
    describe(
      ConnectKind,
      "sign_in (unless given): a person allows the own mailbox to be read. admin_consent: an administrator allows a Microsoft " +
        "app to read the mailboxes of the tenant.",
    ),
  ),
  accountId: Schema.optionalKey(
    describe(Schema.String, "The account to be revived. Whoever signs in must be the person that it belongs to."),
  ),
  expectedEmail: Schema.optionalKey(describe(Schema.String, "Who is to sign in; anybody else is refused.")),
  returnUrl: Schema.optionalKey(
    describe(
      Schema.String,
      "Where the browser goes in the end, with connectSession and state (connected or refused) added to the query. Unless " +
        "given, a page says how it ended. MAILFLEET_RETURN_ORIGINS limits where it may lead.",
    ),
  ),
  redirectUri: Schema.optionalKey(
    describe(
      Schema.String,
      "Where the provider sends the browser instead of to this server: http, a loopback host and a port, for programs that run " +
        "beside the browser and hand on to /connect/callback what comes, as mailfleet connect does.",
    ),
  ),
  tags: Schema.optionalKey(Tags),
  channel: Schema.optionalKey(
    describe(Channel, "How a new account is read: graph or imap at Microsoft, gmail or imap at Google."),
  ),
}).annotate({ identifier: "NewConnectSession" })

export class ConnectSessions extends HttpApiGroup.make("connectSessions")
  .add(
    HttpApiEndpoint.post("create", "/v1/connect-sessions", {
      payload: NewConnectSession,
      success: HttpApiSchema.WithHeaders(ConnectSession.pipe(HttpApiSchema.status(201)), { location: Schema.String }),
      error: InvalidBody,
    }).annotateMerge(OpenApi.annotations({
      summary: "Make a link to sign in",
      description: [
        "Send the person to `url`, which is in this answer only. It can be opened once, within 15 minutes unless",
        "MAILFLEET_CONNECT_TTL says otherwise; looking at it spends nothing. Success makes an account, or revives the one that",
        "there is with its id and its mail.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/connect-sessions/:id", {
      params: { id: Id },
      success: ConnectSession,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Get a sign-in",
      description:
        "How it stands and, once it has ended, the account or grant that it came to, or why it was refused. Kept for 30 days.",
    })),
    HttpApiEndpoint.post("startDevice", "/v1/connect-sessions/:id/device-code", {
      params: { id: Id },
      success: DeviceCode,
      error: [NotFound, ConnectSessionUsed, DeviceNotAvailable, SignInRefused],
    }).annotateMerge(OpenApi.annotations({
      summary: "Sign in by a code",
      description:
        "For machines without a browser (Microsoft): the person opens verificationUri anywhere and enters userCode. It spends the link.",
    })),
    HttpApiEndpoint.post("pollDevice", "/v1/connect-sessions/:id/device-poll", {
      params: { id: Id },
      success: ConnectSession,
      error: NotFound,
    }).annotateMerge(OpenApi.annotations({
      summary: "Ask whether somebody has signed in",
      description:
        "To be called every interval seconds while the state is started. One that comes sooner changes nothing.",
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Sign-in",
    description: "Links by which people sign in and administrators consent.",
  })) {}
