/** Turns what is wrong with a request, or with our own answer, into problems. */
import { ByteSize, Cause, Effect, Exit, Layer, Result, SchemaIssue } from "effect"
import { HttpIncomingMessage, HttpServerError, type HttpServerResponse } from "effect/http"
import { HttpApiError } from "effect/http-api"
import { Boundary } from "../api/Boundary.ts"
import {
  BodyTooLarge,
  InternalError,
  InvalidBody,
  InvalidRequest,
  type Issue,
  UnsupportedMediaType,
  UploadBroken,
} from "../api/Problems.ts"

/** For bodies that are read whole. Imports are streamed and have no limit. */
const maxBodyBytes = 1_048_576

// Says what was expected and never what was given: a misplaced value may be a secret.
const format = SchemaIssue.makeFormatterStandardSchemaV1()

const slots = {
  Params: "path",
  Headers: "headers",
  Query: "query",
  Payload: "body",
  Body: "body",
  ResponseHeaders: "headers",
} as const

/** Names of fields are repeated only where they look like names: a secret in the wrong place is not. */
const fieldName = (path: ReadonlyArray<PropertyKey>): string =>
  path.map((key) => typeof key === "number" || /^[\w-]{1,40}$/.test(String(key)) ? String(key) : "?").join(".")

const issuesOf = (error: HttpApiError.HttpApiSchemaError): ReadonlyArray<Issue> =>
  format(error.cause.issue).issues.slice(0, 20).map((issue) => ({
    in: slots[error.kind],
    field: fieldName((issue.path ?? []).map((segment) => typeof segment === "object" ? segment.key : segment)),
    message: issue.message,
  }))

const refuse = (error: HttpApiError.HttpApiSchemaError) => {
  const issues = issuesOf(error)
  const first = issues[0]
  const detail = first === undefined
    ? "the request cannot be taken"
    : first.field === ""
    ? first.message
    : `${first.field}: ${first.message}`
  if (error.kind !== "Payload") return Effect.fail(new InvalidRequest({ detail, issues }))
  return error.cause.issue._tag === "InvalidValue"
    // Not even JSON; all other faults of a body stand under a composite or a filter.
    ? Effect.fail(new InvalidRequest({ detail, issues }))
    : Effect.fail(new InvalidBody({ detail, issues }))
}

/** What reading the body came to, where that is the defect. */
const unreadable = (cause: Cause.Cause<unknown>) => {
  const defect = Result.getOrUndefined(Cause.findDefect(cause))
  if (!HttpServerError.isHttpServerError(defect) || defect.reason._tag !== "RequestParseError") return undefined
  return defect.reason.reason === "BodyTooLarge"
    ? new BodyTooLarge({ detail: `a body has at most ${maxBodyBytes} bytes`, maxBytes: maxBodyBytes })
    : new UploadBroken({ detail: "the body could not be read to its end" })
}

/** The framework's own plain-text answer to a media type that the endpoint does not declare. */
const isForeignRefusal = (response: HttpServerResponse.HttpServerResponse): boolean => response.status === 415

export const unsupported = (accepted: ReadonlyArray<string>) =>
  new UnsupportedMediaType({ detail: `the content type must be one of ${accepted.join(", ")}`, accepted })

const answerUnfit = Effect.fnUntraced(function* (error: HttpApiError.HttpApiSchemaError) {
  yield* Effect.logError("an answer does not fit its schema", error.cause.message)
  return yield* new InternalError({ detail: "the fault is ours, and is logged" })
})

export const layerBoundary: Layer.Layer<Boundary> = Layer.succeed(
  Boundary,
  Effect.fnUntraced(function* (httpEffect, { endpoint }) {
    const exit = yield* Effect.exit(
      Effect.provideService(httpEffect, HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maxBodyBytes)),
    )
    if (Exit.isSuccess(exit)) {
      if (isForeignRefusal(exit.value)) return yield* unsupported([...endpoint.payload.keys()])
      return exit.value
    }
    const error: unknown = Result.getOrUndefined(Cause.findError(exit.cause))
    if (HttpApiError.HttpApiSchemaError.is(error)) {
      return yield* error.kind === "Body" || error.kind === "ResponseHeaders" ? answerUnfit(error) : refuse(error)
    }
    const problem = unreadable(exit.cause)
    return yield* problem === undefined ? Effect.failCause(exit.cause) : Effect.fail(problem)
  }),
)
