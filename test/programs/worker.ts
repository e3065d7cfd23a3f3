/** One process that takes up runs, on a real database. Doubled are the token endpoint and the syncing of mail. */
import { Context, Duration, Effect, Fiber, Layer, Option, Semaphore, Stream } from "effect"
import { TestClock } from "effect/testing"
import type { Run, RunItem } from "../../src/domain/Run.ts"
import { Settings, type SettingsValues } from "../../src/domain/Settings.ts"
import { GrantStore } from "../../src/oauth/GrantStore.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { AdaptiveConcurrency } from "../../src/pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { ReauthSpike } from "../../src/pacing/ReauthSpike.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { TokenRate } from "../../src/pacing/TokenRate.ts"
import { Concurrency, type Lane } from "../../src/programs/Concurrency.ts"
import { type ImportOptions, RunRequests } from "../../src/programs/RunRequests.ts"
import { RunWorker } from "../../src/programs/RunWorker.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { ImportStaging } from "../../src/storage/runs/ImportStaging.ts"
import { type OwnedRun, Runs } from "../../src/storage/runs/Runs.ts"
import { eventually } from "../support/processes.ts"
import type { Script } from "../oauth/fleet.ts"

type Storage = Accounts | GrantStore | ImportStaging | Runs | Settings

/** Starts a process; it ends with the scope, as at a shutdown. */
export const startProcess = Effect.fnUntraced(function* (
  script: Script,
  overrides: Partial<SettingsValues> = {},
  turn: SyncAccount["Service"]["turn"] = () => Effect.succeed({ changes: 0, complete: true }),
) {
  const storage = yield* Effect.context<Storage>()
  const layer = RunRequests.layer.pipe(
    Layer.provideMerge(RunWorker.layer),
    Layer.provideMerge(Concurrency.layer),
    Layer.provideMerge(Layer.succeed(SyncAccount, { turn, sync: turn })),
    Layer.provideMerge(Tokens.layer),
    Layer.provide([
      AdaptiveConcurrency.layer,
      AppBreaker.layer,
      ReauthSpike.layer,
      Throttle.layer,
      TokenRate.layer,
      script.layer,
    ]),
    Layer.provide(
      Layer.succeedContext(Context.add(storage, Settings, { ...Context.get(storage, Settings), ...overrides })),
    ),
  )
  return Context.get(yield* Layer.build(Layer.fresh(layer)), RunRequests)
})

/** Takes a queued run for the test itself. */
export const own = Effect.fnUntraced(function* (run: Run) {
  const claimed = yield* (yield* Runs).claim(run.kind, 1_000)
  return Option.getOrThrow(Option.fromUndefinedOr(claimed.find(({ id }) => id === run.id)))
})

/** The owner of a run falls silent for so long that the run is free. */
export const silence = (run: OwnedRun) =>
  Effect.flatMap(
    Database,
    ({ sql, tables: t }) =>
      orDie(sql`update ${t.runs} set owner_until = now() - interval '1 second' where id = ${run.id}`),
  )

/** Takes a run from an owner that has fallen silent; one that was about to say a last word may need to be told twice. */
export const takeOver = (run: OwnedRun) =>
  Effect.map(
    eventually(
      "the run is free",
      Effect.andThen(silence(run), Effect.flatMap(Runs, (runs) => runs.claim(run.kind, 1_000))),
      (claimed) => claimed.some(({ id }) => id === run.id),
    ),
    (claimed) => claimed.find(({ id }) => id === run.id)!,
  )

export const runOf = (id: string) => Effect.flatMap(Runs, (runs) => Effect.map(runs.get(id), Option.getOrThrow))

export const ended = ({ id }: { readonly id: string }) =>
  eventually("the run ends", runOf(id), ({ finishedAt }) => finishedAt !== null)

export const itemsOf = Effect.fnUntraced(function* ({ id }: { readonly id: string }) {
  const runs = yield* Runs
  const items: Array<RunItem> = []
  for (let cursor: string | null | undefined = undefined; cursor !== null;) {
    const page: { readonly items: ReadonlyArray<RunItem>; readonly nextCursor: string | null } = yield* Effect.orDie(
      runs.items(id, { limit: 500, cursor }),
    )
    items.push(...page.items)
    cursor = page.nextCursor
  }
  return items
})

/** `outcome` or `outcome code` of each item, in order. */
export const outcomes = (run: { readonly id: string }) =>
  Effect.map(
    itemsOf(run),
    (items) => items.map(({ error, outcome }) => error === undefined ? outcome : `${outcome} ${error.code}`),
  )

export const counts = ({ failed, processed, skipped, state, succeeded, total }: Run) => ({
  state,
  total,
  processed,
  succeeded,
  failed,
  skipped,
})

export const fixedLane = (concurrency: number): Effect.Effect<Lane> =>
  Effect.map(Semaphore.make(concurrency), (permits) => ({
    concurrency,
    limits: Effect.succeed([]),
    admit: () => permits.withPermit,
  }))

/** Lets test time pass, and the database do its work in between, until the fiber ends. */
export const passTime = <A, E>(fiber: Fiber.Fiber<A, E>, step: Duration.Input = "250 millis") =>
  Effect.andThen(TestClock.adjust(step), TestClock.withLive(Effect.sleep("3 millis"))).pipe(
    Effect.repeat({ until: () => fiber.pollUnsafe() !== undefined }),
    Effect.andThen(Fiber.join(fiber)),
  )

export const importOptions: ImportOptions = {
  format: "csv",
  onDuplicate: "skip",
  dryRun: false,
  verify: true,
  tags: [],
}

/** The bytes of a text, in pieces as a network brings them. */
export const body = (text: string, pieceLength = 1_000): Stream.Stream<Uint8Array> => {
  const bytes = new TextEncoder().encode(text)
  const pieces = Array.from(
    { length: Math.ceil(bytes.length / pieceLength) },
    (_, n) => bytes.subarray(n * pieceLength, (n + 1) * pieceLength),
  )
  return Stream.fromIterable(pieces)
}
