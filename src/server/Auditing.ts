/** Writes what a call did into the audit log, in one place for all calls, before its answer leaves. */
import { Cause, Effect, Exit, Predicate, Result } from "effect"
import type { HttpServerRequest, HttpServerResponse } from "effect/http"
import { isAudited } from "../api/Audited.ts"
import type { Caller } from "../api/Authorization.ts"
import { isId } from "../domain/Ids.ts"
import { Audit } from "../storage/Audit.ts"

interface Call {
  readonly group: string
  readonly endpoint: string
  readonly method: string
}

type About = Parameters<Caller["Service"]["note"]>[0]

/** Parameters that choose a page, and not what is on it. */
const ofPages = new Set(["limit", "cursor"])

/** What a list was chosen by: names only, for the values are what somebody looked for. */
const classOf = (url: URL): string =>
  [...new Set(url.searchParams.keys())].filter((name) => /^\w{1,40}$/.test(name) && !ofPages.has(name)).sort().join(",")

/** What a path is about: an account, or something else that has an id. */
const idsOf = (path: string): { readonly accountId?: string; readonly objectId?: string } => {
  const [, version, noun, ...rest] = path.split("/")
  const id = version === "v1" ? rest.find(isId) : undefined
  if (id === undefined) return {}
  return noun === "accounts" ? { accountId: id } : { objectId: id }
}

/** `ok`, or the code of the problem that the answer is. */
const outcomeOf = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>): string => {
  if (Exit.isSuccess(exit)) return exit.value.status < 400 ? "ok" : `status_${exit.value.status}`
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  const failure: unknown = Result.getOrUndefined(Cause.findError(exit.cause))
  // The framework hands failures of a handler to the middleware of security in a wrapping of its own.
  const error = Predicate.hasProperty(failure, "error") ? failure.error : failure
  return Predicate.hasProperty(error, "code") && typeof error.code === "string" ? error.code : "internal_error"
}

/** What a created thing is called is in the answer only. */
const madeBy = (exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>) =>
  Exit.isSuccess(exit) && exit.value.headers.location !== undefined ? idsOf(exit.value.headers.location) : {}

export const makeAuditing = Effect.map(Audit, (audit) => {
  const record = (
    { endpoint, group }: Call,
    actor: string,
    request: HttpServerRequest.HttpServerRequest,
    noted: About,
    exit: Exit.Exit<HttpServerResponse.HttpServerResponse, unknown>,
  ) => {
    const url = new URL(request.url, "http://localhost")
    const detail = noted.detail ?? classOf(url)
    return audit.record({
      actor,
      action: `${group}.${endpoint}`,
      ...idsOf(url.pathname),
      ...madeBy(exit),
      ...noted,
      ...(detail === "" ? {} : { detail }),
      outcome: outcomeOf(exit),
    })
  }

  /**
   * Runs a call and writes its entry, whatever becomes of the call: a caller that hangs up after a change does not get around
   * the log. Where the entry cannot be written, there is no answer.
   */
  return <E, R>(
    call: Call,
    actor: string,
    request: HttpServerRequest.HttpServerRequest,
    run: (note: Caller["Service"]["note"]) => Effect.Effect<HttpServerResponse.HttpServerResponse, E, R>,
  ): Effect.Effect<HttpServerResponse.HttpServerResponse, E, R> =>
    Effect.suspend(() => {
      if (!isAudited(call.method, call.group, call.endpoint)) return run(() => Effect.void)
      let noted: About = {}
      return run((about) =>
        Effect.sync(() => {
          noted = { ...noted, ...about }
        })
      ).pipe(Effect.onExit((exit) => record(call, actor, request, noted, exit)))
    })
})
