/** One trace from a call of the API to the token request, at a collector; and the log as JSON. */
import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Console, Effect, Option, Redacted, Schema } from "effect"
import { layerProcess } from "../../src/commands/Process.ts"
import type { SettingsValues } from "../../src/domain/Settings.ts"
import { makeHandler } from "../../src/server/Http.ts"
import { make as makeSimulator } from "../../src/simulator/Simulator.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"
import { eventually } from "../support/processes.ts"
import { serve } from "../support/simulator.ts"

const adminKey = "CANARY-admin-key"

const Span = Schema.Struct({
  traceId: Schema.String,
  spanId: Schema.String,
  parentSpanId: Schema.optionalKey(Schema.String),
  name: Schema.String,
})
type Span = typeof Span.Type

const Export = Schema.fromJsonString(Schema.Struct({
  resourceSpans: Schema.Array(Schema.Struct({
    resource: Schema.Struct({
      attributes: Schema.Array(
        Schema.Struct({ key: Schema.String, value: Schema.Record(Schema.String, Schema.Unknown) }),
      ),
    }),
    scopeSpans: Schema.Array(Schema.Struct({ spans: Schema.Array(Span) })),
  })),
}))

/** Takes what is exported, as a collector does. */
const collector = Effect.gen(function* () {
  const bodies: Array<string> = []
  const origin = yield* serve(async (request) => {
    if (new URL(request.url).pathname === "/v1/traces") bodies.push(await request.text())
    return Response.json({})
  })
  return { bodies, origin }
})

const spansOf = (bodies: ReadonlyArray<string>): ReadonlyArray<Span> =>
  bodies.flatMap((body) =>
    Schema.decodeUnknownSync(Export)(body).resourceSpans.flatMap(({ scopeSpans }) =>
      scopeSpans.flatMap(({ spans }) => spans)
    )
  )

/** The names of a span and of those above it, from the bottom up. */
const lineage = (spans: ReadonlyArray<Span>, span: Span): ReadonlyArray<string> => {
  const parent = spans.find(({ spanId, traceId }) => spanId === span.parentSpanId && traceId === span.traceId)
  return [span.name, ...(parent === undefined ? [] : lineage(spans, parent))]
}

/** A provider with two accounts, and the file to import them from. */
const provider = Effect.gen(function* () {
  const simulator = yield* Effect.acquireRelease(
    makeSimulator({ accounts: 2, messages: 1 }),
    (simulator) => Effect.sync(() => simulator.close()),
  )
  const origin = yield* serve((request) => simulator.handler(request))
  return { origin, file: [...simulator.importLines()].join("") }
})

const overrides: Partial<SettingsValues> = {
  databaseUrl: Option.none(),
  adminKey: Option.some(Redacted.make(adminKey)),
  encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
}

/** A process with two accounts that were refreshed by a call of the API, and have gone. */
const refreshed = Effect.fnUntraced(function* (env: Record<string, string>, origin: string, file: string) {
  const dataDir = yield* Effect.acquireRelease(
    Effect.promise(() => Deno.makeTempDir()),
    (path) => Effect.promise(() => Deno.remove(path, { recursive: true })),
  )
  yield* Effect.gen(function* () {
    const handler = yield* makeHandler
    const post = (path: string, type: string, body: string) =>
      Effect.promise(() =>
        handler(
          new Request(`http://mailfleet.test${path}`, {
            method: "POST",
            headers: { authorization: `Bearer ${adminKey}`, "content-type": type },
            body,
          }),
        )
      )
    const ended = Effect.fnUntraced(function* (response: Response) {
      const { id } = Schema.decodeUnknownSync(Schema.Struct({ id: Schema.String }))(
        yield* Effect.promise(() => response.json()),
      )
      yield* eventually(
        "the run has ended",
        Effect.flatMap(Runs, (runs) => runs.get(id)),
        (run) => Option.getOrUndefined(run)?.state === "completed",
      )
    })
    yield* ended(yield* post("/v1/imports", "text/csv", file))
    yield* ended(yield* post("/v1/refreshes", "application/json", `{"all":true}`))
    const { items } = yield* Effect.flatMap(Accounts, (accounts) => accounts.list({ limit: 10 }))
    assert.deepStrictEqual(items.map(({ token }) => token.version), [3, 3])
  }).pipe(
    Effect.provide(layerProcess({ ...overrides, dataDir, microsoftAuthority: origin, graphUrl: `${origin}/v1.0` })),
    Effect.provide(ConfigProvider.layer(ConfigProvider.fromEnvRecord(env))),
    Effect.scoped,
  )
})

describe("Telemetry", () => {
  it.live(
    "sends one trace from a call of the API through its run and token to the provider, without a secret",
    () =>
      Effect.gen(function* () {
        const { file, origin } = yield* provider
        const { bodies, origin: endpoint } = yield* collector
        yield* refreshed({ OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: "fleet-eu" }, origin, file)

        const spans = spansOf(bodies)
        const redemptions = spans.filter(({ name }) => name === "Microsoft.redeem").map((span) => lineage(spans, span))
        assert.strictEqual(redemptions.length, 4)
        for (const kind of ["import", "refresh"]) {
          const own = redemptions.filter((names) => names.includes(`Run.${kind}`))
          assert.strictEqual(own.length, 2, JSON.stringify(redemptions))
          for (const names of own) {
            assert.include(names, "Tokens.refresh")
            assert.strictEqual(names.at(-1), "POST")
          }
        }
        assert.include(bodies[0], "fleet-eu")
        // The loops that look for work are no work.
        const roots = new Set(spans.filter(({ parentSpanId }) => parentSpanId === undefined).map(({ name }) => name))
        assert.deepStrictEqual([...roots], ["POST"])

        const sent = bodies.join("\n")
        for (const secret of [adminKey, ...file.trim().split("\n").slice(1).map((row) => row.split(",")[2] ?? "")]) {
          assert.isAbove(secret.length, 8)
          assert.notInclude(sent, secret)
        }
        assert.notInclude(sent, "@sim.example")
      }).pipe(Effect.scoped),
    60_000,
  )

  it.live(
    "makes no spans unless it is told where to send them, and writes its log as JSON where it is told to",
    () =>
      Effect.gen(function* () {
        const { file, origin } = yield* provider
        const { bodies } = yield* collector
        const lines: Array<string> = []
        const console: Console.Console = { ...globalThis.console, error: (line: string) => void lines.push(line) }
        yield* refreshed({ MAILFLEET_LOG_FORMAT: "json" }, origin, file).pipe(
          Effect.provideService(Console.Console, console),
        )
        assert.deepStrictEqual(bodies, [])
        const entries = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
        const run = entries.find(({ message }) => message === "refresh run completed")
        assert.match(JSON.stringify(run), /"runId":"[0-9a-f-]{36}"/)
      }).pipe(Effect.scoped),
    60_000,
  )
})
