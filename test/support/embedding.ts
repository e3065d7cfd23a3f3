/** What a program that embeds the library finds: a provider, a database of its own, a file of accounts. */
import { PgClient } from "@effect/sql-pg"
import { Context, Effect, Layer, Redacted, type Scope } from "effect"
import { make as makeSimulator, type Simulator } from "../../src/simulator/Simulator.ts"
import { postgresUrl } from "./databases.ts"
import { serve } from "./simulator.ts"

const page = await Deno.readTextFile(new URL("../../docs/embedding.md", import.meta.url))

/** The programs of docs/embedding.md: one of promises, one of Effect. */
export const examples = Array.from(page.matchAll(/^```ts\n(.*?)^```$/gms), ([, code]) => code ?? "")

/** The program in the documentation of what a file exports. */
export const exampleOf = (path: string): string =>
  /^ \* ```ts\n(.*?)^ \* ```$/ms.exec(Deno.readTextFileSync(new URL(`../../${path}`, import.meta.url)))?.[1]
    ?.replaceAll(/^ \* ?/gm, "") ?? ""

export const encryptionKeys = `k1:${btoa("k".repeat(32))}`
export const accounts = 6

export class World extends Context.Service<World, {
  readonly simulator: Simulator
  readonly origin: string
  /** A fresh database, as a URL. */
  readonly url: string
  readonly directory: string
}>()("test/World") {}

const freshDatabase: Effect.Effect<string, never, Scope.Scope> = Effect.gen(function* () {
  const name = `test_${crypto.randomUUID().replaceAll("-", "")}`
  const client = yield* Layer.build(
    Layer.orDie(PgClient.layer({ url: Redacted.make(postgresUrl), maxConnections: 1 })),
  )
  const sql = Context.get(client, PgClient.PgClient)
  yield* Effect.acquireRelease(
    Effect.orDie(sql`create database ${sql(name)}`),
    () => Effect.ignoreCause(sql`drop database ${sql(name)} with (force)`),
  )
  const url = new URL(postgresUrl)
  url.pathname = `/${name}`
  return url.href
})

export const world = Layer.effect(
  World,
  Effect.gen(function* () {
    const simulator = yield* makeSimulator({ accounts, messages: 20 })
    const origin = yield* serve((request) => simulator.handler(request))
    yield* Effect.addFinalizer(() => Effect.sync(() => simulator.close()))
    const directory = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempDir()),
      (path) => Effect.promise(() => Deno.remove(path, { recursive: true })),
    )
    return { simulator, origin, directory, url: yield* freshDatabase }
  }),
)

/** Sends what is meant for Microsoft to the simulator, and has its links lead to Microsoft: the programs run as they are printed. */
export const redirect = (origin: string): string => `
const real = globalThis.fetch
const microsoft = /^https:\\/\\/(login\\.microsoftonline\\.com|graph\\.microsoft\\.com)/
globalThis.fetch = async (input, init) => {
  const [host] = microsoft.exec(String(input)) ?? []
  if (host === undefined) return real(input, init)
  const answer = await real(String(input).replace(host, "${origin}"), init)
  return answer.body === null ? answer : new Response((await answer.text()).replaceAll("${origin}", host), answer)
}
`
