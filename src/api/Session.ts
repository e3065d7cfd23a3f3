/** How a browser signs in to the dashboard: an API key is given once, for a cookie that no script can read. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { Scope } from "../domain/ApiKey.ts"
import { Boundary } from "./Boundary.ts"
import { ForeignOrigin, TooManyRequests, Unauthorized } from "./Problems.ts"

/** The cookie that stands for a key. */
export const sessionCookie = "mailfleet_session"

export const SignedIn = Schema.Struct({
  /** The name of the key; `admin` for the admin key. */
  name: Schema.String,
  /** What the session may do: the scopes of its key. */
  scopes: Schema.Array(Scope),
  /** When the browser has to sign in again. */
  expiresAt: Schema.DateTimeUtcFromString,
}).annotate({ identifier: "Session" })

export class Session extends HttpApiGroup.make("session")
  .add(
    HttpApiEndpoint.post("create", "/v1/session", {
      payload: Schema.Struct({
        key: Schema.RedactedFromValue(
          Schema.String.check(Schema.isBetweenLength(1, 1_000, { expected: "an API key, or the admin key" })),
        ),
      }).annotate({ identifier: "NewSession" }),
      success: SignedIn.pipe(HttpApiSchema.status(201)),
      error: [Unauthorized, ForeignOrigin, TooManyRequests],
    }).annotateMerge(OpenApi.annotations({
      summary: "Sign a browser in",
      description: [
        `Sets the cookie \`${sessionCookie}\`, which no script can read and which goes to this site only. With it, and from pages of`,
        "this server only, every call is taken as with the key itself. It ends after 12 hours, when it is signed out, or with its",
        "key. Programs use the key.",
      ].join(" "),
    })),
    HttpApiEndpoint.get("get", "/v1/session", { success: Schema.NullOr(SignedIn) }).annotateMerge(
      OpenApi.annotations({
        summary: "Who is signed in",
        description: "By the cookie that the request bears; null = nobody.",
      }),
    ),
    HttpApiEndpoint.delete("remove", "/v1/session", { error: ForeignOrigin }).annotateMerge(
      OpenApi.annotations({
        summary: "Sign a browser out",
        description: "The session ends at once, for every process. Without one nothing happens.",
      }),
    ),
  )
  .middleware(Boundary)
  .annotateMerge(OpenApi.annotations({ title: "Session", description: "Signing in to the dashboard." })) {}
