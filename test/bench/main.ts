/**
 * `deno task bench [--rows N] [--accounts N]`: what the program costs beside the least that could be done, in the same run on
 * the same machine. Needs a Postgres (`DATABASE_URL`, or user and database `postgres` on 127.0.0.1) and `psql`.
 *
 * `deno task bench refresh [a|b|c|d …] [--quick]`: a fleet in a box, with Mailfleet and a provider as processes of their own:
 * (a) fixed concurrency, (b) `auto`, (c) the ceiling of this machine, (d) a million accounts. `--quick` is smaller
 * and shorter throughout.
 *
 * `deno task bench sync [a|b|c|d|e …] [--quick]`: mail in step: (a) first sync over IMAP beside mbsync (wants Dovecot and isync),
 * (b) a quiet round, (c) first sync from Graph, (d) search, (e) readers of the change log.
 *
 * `deno task bench scaling [--quick]`: what two and three processes of a cluster do, as a ratio to one.
 *
 * `deno task bench api [--quick]`: the HTTP API under load, beside the barest handler over the same SQL.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Exit } from "effect"
import { benchApi } from "./api/api.ts"
import { benchImport } from "./imports.ts"
import { benchRefresh } from "./refreshes.ts"
import { benchFleet, isPart } from "./refresh/parts.ts"
import { benchScaling } from "./scaling/scaling.ts"
import { benchSync, isPart as isSyncPart, parts as syncParts } from "./sync/parts.ts"

const number = (name: string, fallback: number): number => {
  const at = Deno.args.indexOf(`--${name}`)
  return at === -1 ? fallback : Number(Deno.args[at + 1])
}

const benchAll = Effect.gen(function* () {
  yield* benchRefresh(number("accounts", 5_000), 0)
  yield* benchRefresh(1_000, 100)
  yield* benchImport(number("rows", 1_000_000))
})

const [what, ...rest] = Deno.args
const quick = rest.includes("--quick")
/** Those that are named, or else all. */
const chosen = <Part extends string>(all: ReadonlyArray<Part>, isPart: (name: string) => name is Part) => {
  const named = rest.filter(isPart)
  return named.length > 0 ? named : all
}
const bench = what === "refresh"
  ? benchFleet(chosen(["a", "b", "c", "d"], isPart), quick)
  : what === "sync"
  ? benchSync(chosen(Object.keys(syncParts).filter(isSyncPart), isSyncPart), quick)
  : what === "api"
  ? benchApi(quick)
  : what === "scaling"
  ? benchScaling(quick)
  : benchAll

// Connections that are kept alive must not keep the process.
NodeRuntime.runMain(bench, { teardown: (exit) => Deno.exit(Exit.isSuccess(exit) ? 0 : 1) })
