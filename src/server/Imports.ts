/** Streams a file of accounts into a run. */
import { Effect, Predicate, Stream } from "effect"
import type { HttpServerError, HttpServerRequest } from "effect/http"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { importMediaTypes } from "../api/Imports.ts"
import { UploadBroken } from "../api/Problems.ts"
import { formatOf } from "../domain/ImportFile.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import { conflictProblem, importProblem, started } from "./Answers.ts"
import { unsupported } from "./Boundary.ts"

/** The body as it comes in; a request without any has an empty file. */
const bodyOf = (
  request: HttpServerRequest.HttpServerRequest,
): Stream.Stream<Uint8Array, HttpServerError.HttpServerError> =>
  Predicate.hasProperty(request.source, "body") && request.source.body === null ? Stream.empty : request.stream

export const layerImports = HttpApiBuilder.group(
  Api,
  "imports",
  Effect.fnUntraced(function* (handlers) {
    const requests = yield* RunRequests

    // Raw: the stream keeps its error, so that an upload that breaks off is a failure here and no defect.
    return handlers.handleRaw(
      "create",
      Effect.fn("POST /v1/imports")(
        function* ({ request, query, headers }) {
          const format = formatOf(request.headers["content-type"] ?? "")
          if (format === undefined) return yield* unsupported(importMediaTypes)
          const { onDuplicate = "skip", dryRun = false, verify = true, provider, channel, tags = [] } = query
          const run = yield* requests.import(
            bodyOf(request),
            { format, onDuplicate, dryRun, verify, provider, channel, tags },
            { trigger: "api", idempotencyKey: headers["idempotency-key"] },
          )
          return started(run)
        },
        Effect.catchTags({
          HttpServerError: () => Effect.fail(new UploadBroken({ detail: "the upload broke off: nothing was stored" })),
          ImportRefused: (error) => Effect.fail(importProblem(error)),
          IdempotencyConflict: (error) => Effect.fail(conflictProblem(error)),
        }),
      ),
    )
  }),
)
