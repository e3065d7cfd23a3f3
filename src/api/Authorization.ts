/** Who may call: the bearer of a key. */
import { Context } from "effect"
import { HttpApiMiddleware, HttpApiSecurity, OpenApi } from "effect/http-api"
import { Forbidden, ForeignOrigin, TooManyRequests, Unauthorized } from "./Problems.ts"

/** Whose key came with the request. Named in the audit log. */
export class Caller extends Context.Service<Caller, { readonly name: string }>()("mailfleet/api/Caller") {}

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
