/** The typed client against the server. */
import { assert } from "@effect/vitest"
import { Effect, Redacted, Stream } from "effect"
import { FetchHttpClient } from "effect/http"
import { MailfleetClient, Problems } from "../../src/client.ts"
import { newId } from "../../src/domain/Ids.ts"
import { onDatabases } from "../support/databases.ts"
import { adminKey, clientId, csv, refreshToken, Server, server } from "../server/stack.ts"

/** The client whose `fetch` is the server's handler. */
const clientWith = Effect.fnUntraced(function* (apiKey: string) {
  const { handler } = yield* Server
  const fetch = (input: RequestInfo | URL, init?: RequestInit) => handler(new Request(input, init))
  return yield* MailfleetClient.make({ baseUrl: "http://mailfleet.test", apiKey }).pipe(
    Effect.provide(FetchHttpClient.layer),
    Effect.map((client) => ({ client, fetch })),
  )
})

await onDatabases("Client", server, (it) => {
  const withClient = <A, E, R>(
    use: (client: MailfleetClient["Service"]) => Effect.Effect<A, E, R>,
    apiKey = adminKey,
  ) =>
    Effect.flatMap(
      clientWith(apiKey),
      ({ client, fetch }) => Effect.provideService(use(client), FetchHttpClient.Fetch, fetch),
    )

  it.effect("a file is uploaded and its run watched to the end", () =>
    withClient(Effect.fnUntraced(function* (client) {
      const names = Array.from({ length: 30 }, () => `${newId()}@client.example`)
      const file = csv(names.map((name) => [name, "ok"] as const))
      const chunks = Stream.fromIterable(file.match(/[^]{1,500}/g) ?? []).pipe(Stream.encodeText)
      const idempotencyKey = newId()
      const upload = client.importFile(chunks, {
        contentType: "text/csv",
        query: { tags: ["new", "x"] },
        idempotencyKey,
      })
      const run = yield* upload
      assert.deepInclude(run, { kind: "import", total: 30 })
      assert.strictEqual((yield* upload).id, run.id)

      const watched = yield* Stream.runCollect(client.watchRun(run.id))
      assert.deepInclude(watched[watched.length - 1], { state: "completed", succeeded: 30 })
      const polled = yield* Stream.runCollect(client.pollRun(run.id))
      assert.strictEqual(polled.length, 1)

      const { items } = yield* client.api.accounts.list({ query: { tag: "new", limit: 500 } })
      assert.strictEqual(items.length, 30)
      const token = yield* client.api.accounts.accessToken({ params: { id: items[0]!.id }, query: {} })
      assert.isTrue(Redacted.isRedacted(token.accessToken))
    })))

  it.effect("problems arrive as their classes", () =>
    withClient(Effect.fnUntraced(function* ({ api, importFile, watchRun }) {
      assert.instanceOf(yield* Effect.flip(api.runs.get({ params: { id: "nothing" } })), Problems.NotFound)
      assert.instanceOf(yield* Effect.flip(Stream.runDrain(watchRun("nothing"))), Problems.NotFound)
      const refused = yield* Effect.flip(importFile(Stream.empty, { contentType: "text/csv" }))
      assert.instanceOf(refused, Problems.ImportRefused)
      const payload = { email: "one@client.example", clientId, refreshToken: Redacted.make(refreshToken("ok")) }
      const { body } = yield* api.accounts.create({ payload })
      const duplicate = yield* Effect.flip(api.accounts.create({ payload }))
      assert.instanceOf(duplicate, Problems.DuplicateAccount)
      if (duplicate instanceof Problems.DuplicateAccount) assert.strictEqual(duplicate.accountId, body.id)
      const cursor = yield* Effect.flip(api.accounts.list({ query: { cursor: "x" } }))
      assert.instanceOf(cursor, Problems.InvalidCursor)
      assert.strictEqual(cursor.message, "this cursor was not handed out by this list")
    })))

  it.effect("a wrong key is said to be one", () =>
    withClient(
      Effect.fnUntraced(function* ({ api, importFile }) {
        assert.instanceOf(yield* Effect.flip(api.operations.stats()), Problems.Unauthorized)
        const upload = importFile(Stream.encodeText(Stream.make("x")), { contentType: "text/plain" })
        assert.instanceOf(yield* Effect.flip(upload), Problems.Unauthorized)
      }),
      "CANARY-wrong",
    ))
})
