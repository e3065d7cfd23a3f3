/**
 * `deno task bench [--rows N] [--accounts N]`: what the program costs beside the least that could be done, in the same run on
 * the same machine. Needs a Postgres (`DATABASE_URL`, or user and database `postgres` on 127.0.0.1) and `psql`.
 */
import { Effect } from "effect"
import { benchImport } from "./imports.ts"
import { benchRefresh } from "./refreshes.ts"

const number = (name: string, fallback: number): number => {
  const at = Deno.args.indexOf(`--${name}`)
  return at === -1 ? fallback : Number(Deno.args[at + 1])
}

await Effect.runPromise(Effect.gen(function* () {
  yield* benchRefresh(number("accounts", 5_000), 0)
  yield* benchRefresh(1_000, 100)
  yield* benchImport(number("rows", 1_000_000))
}))
Deno.exit(0)
