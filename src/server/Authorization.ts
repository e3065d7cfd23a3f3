/** Checks the key, or the cookie of the dashboard, that a request bears. */
import { Effect, Layer, Option } from "effect"
import { HttpServerRequest } from "effect/http"
import { Authorization, Caller } from "../api/Authorization.ts"
import { Forbidden, Unauthorized } from "../api/Problems.ts"
import { scopeOf } from "../api/Scopes.ts"
import { allows } from "../domain/ApiKey.ts"
import type { Settings } from "../domain/Settings.ts"
import type { Audit } from "../storage/Audit.ts"
import { withHeaders } from "./Answers.ts"
import { makeAuditing } from "./Auditing.ts"
import { Callers, refuseForeign } from "./Callers.ts"
import { makeRateLimits } from "./RateLimits.ts"

const challenge = withHeaders({ "www-authenticate": 'Bearer realm="mailfleet"' })

export const layerAuthorization: Layer.Layer<Authorization, never, Audit | Callers | Settings> = Layer.effect(
  Authorization,
  Effect.gen(function* () {
    const callers = yield* Callers
    const limits = yield* makeRateLimits
    const audited = yield* makeAuditing
    return Authorization.of({
      apiKey: Effect.fnUntraced(function* (httpEffect, { credential, endpoint, group }) {
        const request = yield* HttpServerRequest.HttpServerRequest
        // A key goes before a cookie: who bears both is a program.
        const bySession = request.headers.authorization === undefined
        const caller = yield* bySession ? callers.ofSession(request) : callers.ofKey(credential, limits.beforeLookup)
        if (Option.isNone(caller)) {
          yield* limits.wrongKey
          yield* challenge
          // The same answer for a missing, a wrong and an expired key.
          return yield* new Unauthorized({ detail: "a valid key is needed: Authorization: Bearer <key>" })
        }
        // A scrape is never what overloads a process, and is wanted most when something else does.
        if (endpoint.identifier !== "metrics") yield* limits.count(caller.value.id)
        if (bySession) yield* refuseForeign(request)
        const scope = scopeOf(group.identifier, endpoint.identifier)
        const name = bySession ? `dashboard:${caller.value.name}` : caller.value.name
        const call = { group: group.identifier, endpoint: endpoint.identifier, method: endpoint.method }
        return yield* audited(
          call,
          name,
          request,
          Effect.fnUntraced(function* (note) {
            if (!allows(caller.value.scopes, scope)) {
              return yield* new Forbidden({ detail: `the key has not the scope that this call needs: ${scope}`, scope })
            }
            return yield* Effect.provideService(httpEffect, Caller, { name, note })
          }),
        )
      }),
    })
  }),
)
