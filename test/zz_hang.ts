import { Effect, Fiber, Layer, Redacted, Tracer } from "effect"
import { PgClient } from "@effect/sql-pg"
import { Database } from "../src/storage/Database.ts"
import { SyncAccount } from "../src/programs/SyncAccount.ts"
import { Provider, simulatedAccount, syncing } from "./support/simulator.ts"
const open = new Map<string, { name: string; parent?: string; at: number }>()
const base = Tracer.make({
  span: (options: any) => {
    const span = new (Tracer as any).NativeSpan(options)
    open.set(span.spanId, {
      name: span.name + " " + (span.attributes?.get?.("db.query.text") ?? ""),
      at: performance.now(),
    })
    const end = span.end.bind(span)
    span.end = (...a: any[]) => {
      open.delete(span.spanId)
      return end(...a)
    }
    ;(open.get(span.spanId) as any).span = span
    return span
  },
} as any)
const client = PgClient.layer({
  url: Redacted.make("postgres://postgres@127.0.0.1:5432/postgres"),
  applicationName: "hang",
  maxConnections: 10,
  multiplex: Deno.env.get("MUX") !== "0",
})
const db = Layer.effect(
  Database,
  Effect.gen(function* () {
    const schema = `test_${crypto.randomUUID().replaceAll("-", "")}`
    const sql = yield* PgClient.PgClient
    yield* Effect.addFinalizer(() => Effect.ignoreCause(sql`drop schema if exists ${sql(schema)} cascade`))
    return yield* Effect.orDie(Database.fromClient({ schema, engine: "postgres" }))
  }),
).pipe(Layer.provide(client))
const program = Effect.gen(function* () {
  const { simulator } = yield* Provider
  const program = yield* SyncAccount
  for (let n = 1; n <= 30; n++) {
    const account = yield* simulatedAccount(n)
    for (let r = 0; r < 8; r++) {
      const f = yield* Effect.forkChild(program.sync(account.id))
      yield* Effect.timeoutOption(Fiber.await(f), "3 seconds").pipe(
        Effect.flatMap((o) =>
          o._tag === "None"
            ? Effect.sync(() => {
              console.log("HANG at", n, r)
              for (const { name, span } of open.values() as any) {
                console.log(
                  " open:",
                  name.slice(0, 150),
                  "| parent",
                  span.parent?.value?.name ?? "",
                  [...span.attributes].filter(([k]: any) => k.startsWith("db.q") || k.startsWith("url.f")).map((
                    x: any,
                  ) => String(x[1]).slice(0, 300)).join(" "),
                )
              }
              Deno.exit(1)
            })
            : Effect.void
        ),
      )
      if (r % 2 === 0) continue
      simulator.deliver(account.email, { count: 2 })
      const held = simulator.mailbox(account.email)
      const [a, b] = held.messages
      simulator.moveMessage(account.email, a!.id, "archive")
      simulator.removeMessage(account.email, b!.id)
    }
  }
  console.log("fine")
})
await Effect.runPromise(
  program.pipe(
    Effect.provide(syncing({ accounts: 200, messages: 60, oddPages: 0.3 }).pipe(Layer.provideMerge(db))),
    Effect.provideService(Tracer.Tracer, base),
  ) as any,
)
Deno.exit(0)
