/** Who may call: the bearer of a key. */
import { Context, type Effect } from "effect"
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "effect/http-api"
import { Forbidden, ForeignOrigin, TooManyRequests, Unauthorized } from "./Problems.ts"

/** Whose key came with the request. */
export class Caller extends Context.Service<Caller, {
  /** As the audit log names them. */
  readonly name: string
  /** Adds to the entry that the audit log gets of this call, if it gets one, what only the handler knows. */
  readonly note: (about: { readonly accountId?: string; readonly detail?: string }) => Effect.Effect<void>
}>()("mailfleet/api/Caller") {}

export class Authorization extends HttpApiMiddleware.Service<Authorization, { provides: Caller }>()(
  "mailfleet/api/Authorization",
  {
    requiredForClient: true,
    security: {
      // In lower case, as the registry has it: tools that read the document do not all ignore case.
      apiKey: HttpApiSecurity.http({ scheme: "bearer" }).pipe(
        HttpApiSecurity.annotate(
          OpenApi.Description,
          "An API key with the scope that the call names, or the admin key (`MAILFLEET_ADMIN_KEY`), as a bearer token. A " +
            "browser that has signed in (`POST /v1/session`) bears a cookie instead.",
        ),
      ),
    },
    error: [Unauthorized, Forbidden, ForeignOrigin, TooManyRequests],
  },
) {}
