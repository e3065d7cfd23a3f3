/** Checks the key that a request bears. */
import { Effect, Layer, Option, Redacted } from "effect"
import { createHash, timingSafeEqual } from "node:crypto"
import { Authorization, Caller } from "../api/Authorization.ts"
import { Forbidden, Unauthorized } from "../api/Problems.ts"
import { scopeOf } from "../api/Scopes.ts"
import { allows } from "../domain/ApiKey.ts"
import { Settings, SettingsError } from "../domain/Settings.ts"
import { ApiKeys } from "../storage/ApiKeys.ts"
import { withHeaders } from "./Answers.ts"
import { makeRateLimits } from "./RateLimits.ts"

/** Of digests neither length nor prefix of a key shows, and comparing them takes the same time wherever they differ. */
const digest = (text: string): Uint8Array => createHash("sha256").update(text).digest()

const challenge = withHeaders({ "www-authenticate": 'Bearer realm="mailfleet"' })

export const layerAuthorization: Layer.Layer<Authorization, SettingsError, Settings | ApiKeys> = Layer.effect(
  Authorization,
  Effect.gen(function* () {
    const settings = yield* Settings
    const keys = yield* ApiKeys
    if (Option.isNone(settings.adminKey)) {
      return yield* new SettingsError({
        variable: "MAILFLEET_ADMIN_KEY",
        message: "MAILFLEET_ADMIN_KEY must be set: a long random text, which every call bears",
      })
    }
    const expected = digest(Redacted.value(settings.adminKey.value))
    const limits = yield* makeRateLimits
    const callerOf = Effect.fnUntraced(function* (credential: Redacted.Redacted) {
      if (timingSafeEqual(digest(Redacted.value(credential)), expected)) {
        return Option.some({ id: "admin", name: "admin", scopes: ["admin"] as const })
      }
      yield* limits.beforeLookup
      return yield* keys.find(credential)
    })
    return Authorization.of({
      apiKey: Effect.fnUntraced(function* (httpEffect, { credential, endpoint, group }) {
        const caller = yield* callerOf(credential)
        if (Option.isNone(caller)) {
          yield* limits.wrongKey
          yield* challenge
          // The same answer for a missing, a wrong and an expired key.
          return yield* new Unauthorized({ detail: "a valid key is needed: Authorization: Bearer <key>" })
        }
        // A scrape is never what overloads a process, and is wanted most when something else does.
        if (endpoint.identifier !== "metrics") yield* limits.count(caller.value.id)
        const scope = scopeOf(group.identifier, endpoint.identifier)
        if (!allows(caller.value.scopes, scope)) {
          return yield* new Forbidden({ detail: `the key has not the scope that this call needs: ${scope}`, scope })
        }
        return yield* Effect.provideService(httpEffect, Caller, { name: caller.value.name })
      }),
    })
  }),
)
