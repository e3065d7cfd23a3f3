import { Effect, Layer, Option, Schema, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest, HttpClientResponse } from "effect/http"
const body = JSON.stringify({
  token_type: "Bearer",
  scope: "https://graph.microsoft.com/Mail.Read",
  expires_in: 3599,
  ext_expires_in: 3599,
  access_token: "a".repeat(1800),
  refresh_token: "r".repeat(1200),
})
const fake: typeof fetch = () =>
  Promise.resolve(new Response(body, { headers: { "content-type": "application/json" } }))
const N = 5000
const measure = (name: string, e: Effect.Effect<unknown, unknown, HttpClient.HttpClient>) =>
  Effect.gen(function* () {
    for (let round = 0; round < 3; round++) {
      const t = performance.now()
      yield* Effect.forEach(Array.from({ length: N }), () => e, { concurrency: 10, discard: true })
      if (round === 2) console.log(name, ((performance.now() - t) / N * 1000).toFixed(0), "us")
    }
  })
const lenient = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(Schema.catchDecoding<S>(() => Effect.succeedNone)(schema))
const L = Schema.fromJsonString(Schema.Struct({
  access_token: lenient(Schema.String),
  refresh_token: lenient(Schema.String),
  expires_in: lenient(Schema.Union([Schema.Number, Schema.String])),
  scope: lenient(Schema.String),
  error: lenient(Schema.String),
  a: lenient(Schema.String),
  b: lenient(Schema.String),
}))
const P = Schema.fromJsonString(Schema.Struct({
  access_token: Schema.optionalKey(Schema.String),
  refresh_token: Schema.optionalKey(Schema.String),
  expires_in: Schema.optionalKey(Schema.Union([Schema.Number, Schema.String])),
  scope: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(Schema.String),
  a: Schema.optionalKey(Schema.String),
  b: Schema.optionalKey(Schema.String),
}))
const dl = Schema.decodeUnknownOption(L), dp = Schema.decodeUnknownOption(P)
const sync = (n: string, f: () => unknown) => {
  for (let r = 0; r < 3; r++) {
    const t = performance.now()
    for (let i = 0; i < N; i++) f()
    if (r === 2) console.log(n, ((performance.now() - t) / N * 1000).toFixed(1), "us")
  }
}
sync("lenient", () => dl(body))
sync("plain", () => dp(body))
sync("json", () => JSON.parse(body))
sync("form", () => new URLSearchParams({ a: "x".repeat(1200), b: "y".repeat(100) }).toString())
const exec = Effect.gen(function* () {
  const http = yield* HttpClient.HttpClient
  return yield* http.execute(HttpClientRequest.post("http://127.0.0.1:1/x/y").pipe(HttpClientRequest.bodyText("abc")))
})
await Effect.runPromise(
  Effect.gen(function* () {
    yield* measure(
      "execute+cancel",
      Effect.flatMap(exec, (r) => Effect.promise(() => Option.getOrThrow(HttpClientResponse.toWeb(r)).body!.cancel())),
    )
    yield* measure("text", Effect.flatMap(exec, (r) => r.text))
    yield* measure("stream", Effect.flatMap(exec, (r) => Stream.runForEach(r.stream, () => Effect.void)))
    yield* measure(
      "web reader",
      Effect.flatMap(exec, (r) =>
        Effect.promise(async () => {
          const w = Option.getOrThrow(HttpClientResponse.toWeb(r))
          let n = 0
          for await (const c of w.body!) n += c.length
          return n
        })),
    )
    yield* measure("text+timeout", Effect.timeoutOption(Effect.flatMap(exec, (r) => r.text), "8 seconds"))
    yield* measure(
      "untraced text",
      Effect.flatMap(exec, (r) => r.text).pipe(Effect.provideService(HttpClient.TracerDisabledWhen, () => true)),
    )
    yield* measure("span only", Effect.withSpan(Effect.void, "x", { captureStackTrace: false }))
  }).pipe(Effect.provide(FetchHttpClient.layer), Effect.provideService(FetchHttpClient.Fetch, fake)),
)
