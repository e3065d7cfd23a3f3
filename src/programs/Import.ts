/**
 * Import: every row of a file becomes an account, and its refresh token is redeemed once.
 *
 * 1. Stage: the body is parsed as it arrives and stored in encrypted blocks; then the run exists.
 * 2. Store: block by block, rows become `pending` accounts.
 * 3. Verify: the tokens are redeemed, as in a refresh.
 */
import { Effect, Schema, Stream } from "effect"
import { createHash } from "node:crypto"
import { type ImportFileError, parse } from "../domain/ImportFile.ts"
import { OnDuplicate } from "../domain/Run.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { blockRows, ImportStaging, type Upload } from "../storage/runs/ImportStaging.ts"
import { IdempotencyConflict, type OwnedRun } from "../storage/runs/Runs.ts"
import { refreshOne } from "./Refresh.ts"
import type { Lane } from "./Concurrency.ts"
import { runOver, untilCancelled } from "./RunOver.ts"
import { type ImportOptions, ImportRefused, type Requested } from "./ImportRequest.ts"

/** What a run keeps of its options. */
const ImportParams = Schema.Struct({
  onDuplicate: OnDuplicate,
  dryRun: Schema.Boolean,
  verify: Schema.Boolean,
})
const decodeParams = Schema.decodeUnknownEffect(ImportParams)

/** While the database stores one block, the next is decrypted and its tokens are encrypted again, each for its grant. */
const blocksAtOnce = 3

const uploadBeat = "10 seconds"

/** Stages the body of an import. The run is there only once all of it is durable. */
export const stage = Effect.fn("Import.stage")(
  function* <E>(body: Stream.Stream<Uint8Array, E>, options: ImportOptions, request: Requested) {
    const staging = yield* ImportStaging
    const digest = createHash("sha256").update(JSON.stringify(options))
    const hashed = Stream.tap(body, (bytes) => Effect.sync(() => digest.update(bytes)))
    const begun = yield* staging.begin({
      kind: "import",
      trigger: request.trigger,
      idempotencyKey: request.idempotencyKey,
      params: {
        onDuplicate: options.onDuplicate,
        dryRun: options.dryRun,
        verify: options.verify,
      } satisfies typeof ImportParams.Type,
    })
    if (begun._tag === "Known") {
      yield* Stream.runDrain(hashed)
      if (digest.digest("hex") !== begun.requestHash) return yield* new IdempotencyConflict({ kind: "reused" })
      return begun.run
    }
    const { upload } = begun
    return yield* stageRows(hashed, options, upload).pipe(
      Effect.raceFirst(Effect.forever(Effect.andThen(Effect.sleep(uploadBeat), staging.renew(upload)))),
      Effect.andThen(Effect.suspend(() => staging.seal(upload, digest.digest("hex")))),
      // Whatever ends the upload, an interruption included: nothing of it stays, and its key is free.
      Effect.onError(() => staging.abort(upload)),
    )
  },
)

const stageRows = <E>(body: Stream.Stream<Uint8Array, E>, options: ImportOptions, upload: Upload) =>
  Effect.gen(function* () {
    const staging = yield* ImportStaging
    yield* body.pipe(
      parse(options.format, { provider: options.provider, channel: options.channel, tags: options.tags }),
      Stream.catchIf(
        isFileError,
        (error) => Stream.fail(new ImportRefused({ code: error.code, message: error.message, line: error.line })),
      ),
      Stream.grouped(blockRows),
      // The next block is parsed while one is being stored.
      Stream.buffer({ capacity: 1 }),
      Stream.runForEach((rows) => staging.append(upload, rows)),
    )
    if (upload.position === 1) {
      return yield* new ImportRefused({ code: "empty_file", message: "the file holds no rows" })
    }
  })

const isFileError = (error: unknown): error is ImportFileError =>
  typeof error === "object" && error !== null && "_tag" in error && error._tag === "ImportFileError"

/** Works on a staged import. Blocks that are stored and tokens that are redeemed are so once for all: a crash resumes here. */
export const importAccounts = (run: OwnedRun, lane: Lane) =>
  Effect.gen(function* () {
    const staging = yield* ImportStaging
    const tokens = yield* Tokens
    const params = yield* Effect.orDie(decodeParams(run.params))
    const storeBlocks = Effect.gen(function* () {
      while (yield* Effect.uninterruptible(staging.applyNext(run, params))) yield* Effect.yieldNow
    })
    const store = Effect.forEach(Array.from({ length: blocksAtOnce }), () => storeBlocks, {
      concurrency: "unbounded",
      discard: true,
    }).pipe(Effect.as("stored" as const))
    const stored = yield* Effect.raceFirst(store, untilCancelled(run))
    if (stored === "cancelled") return stored
    return yield* runOver(run, lane.concurrency, (item, attempt) =>
      refreshOne(run, lane, item, attempt).pipe(Effect.provideService(Tokens, tokens)))
  })
