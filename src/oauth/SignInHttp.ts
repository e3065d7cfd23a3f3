/** JSON that a sign-in reads beside the token endpoint: who it is, and what a provider publishes about itself. */
import { Context, Effect, Option, Redacted, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { tokenTimeout } from "./TokenEndpoint.ts"

const longestBody = 1024 * 1024

/** As at the token endpoint: no trace headers, and a redirect is not followed, for it could carry the token elsewhere. */
const manners = Context.make(HttpClient.TracerDisabledWhen, () => true).pipe(
  Context.add(HttpClient.TracerPropagationEnabled, false),
  Context.add(FetchHttpClient.RequestInit, { redirect: "manual" }),
)

/** Status and text of an answer. None = none came, or none that is read. */
export type Send = (
  request: HttpClientRequest.HttpClientRequest,
) => Effect.Effect<Option.Option<{ readonly status: number; readonly text: string }>>

export const makeSend: Effect.Effect<Send, never, HttpClient.HttpClient> = Effect.map(
  HttpClient.HttpClient,
  (client): Send => (request) =>
    Effect.gen(function* () {
      const response = yield* client.execute(HttpClientRequest.acceptJson(request))
      const decoder = new TextDecoder()
      let length = 0
      let text = ""
      yield* Stream.runForEach(response.stream, (bytes) => {
        length += bytes.length
        if (length > longestBody) return Effect.fail("too long" as const)
        text += decoder.decode(bytes, { stream: true })
        return Effect.void
      })
      return Option.some({ status: response.status, text: text + decoder.decode() })
    }).pipe(
      Effect.timeout(tokenTimeout),
      // The client's errors hold the whole request, the token included, and end here.
      Effect.catchCause(() => Effect.succeedNone),
      Effect.provideContext(manners),
    ),
)

/** The text of a 2xx answer. None = there was no such answer, for whatever reason. */
export type GetText = (url: string, accessToken?: Redacted.Redacted) => Effect.Effect<Option.Option<string>>

export const makeGetText: Effect.Effect<GetText, never, HttpClient.HttpClient> = Effect.map(
  makeSend,
  (send): GetText => (url, accessToken) => {
    const request = HttpClientRequest.get(url)
    return Effect.map(
      send(accessToken === undefined ? request : HttpClientRequest.bearerToken(request, accessToken)),
      Option.flatMap(({ status, text }) => status >= 200 && status < 300 ? Option.some(text) : Option.none()),
    )
  },
)
