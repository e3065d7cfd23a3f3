/**
 * Staged imports: the rows of a file, encrypted in blocks, until they are accounts.
 *
 * While its body is uploaded a run is `uploading` and nobody sees it. One transaction turns a block into accounts, settles or
 * links their items, and erases the block: a crash can neither lose a row nor apply it twice.
 */
import { Context, Effect, Layer, Option, Redacted, Schema } from "effect"
import type { SqlError } from "effect/sql"
import { Channel, Provider } from "../../domain/Account.ts"
import { newId, type RunId } from "../../domain/Ids.ts"
import type { BadRow, ImportRow } from "../../domain/ImportFile.ts"
import type { ItemError, Run } from "../../domain/Run.ts"
import { Settings } from "../../domain/Settings.ts"
import { Vault } from "../../oauth/Vault.ts"
import { column, Database, internalError, isOfItem, orDie, relaxed } from "../Database.ts"
import { accountKey, type NewRow, type RowOptions, type RowResult, storeRows } from "./ImportRows.ts"
import { IdempotencyConflict, type NewRun, type OwnedRun, recordItems, Runs } from "./Runs.ts"
import { withTrace } from "./RunTrace.ts"

/** Rows in a block. One encryption and a constant number of statements serve all of them. */
export const blockRows = 500

/** Seconds that a silent upload keeps its run and its idempotency key. */
const uploadSeconds = 30

export interface Upload {
  readonly runId: RunId
  /** Position of the next row, from 1, and number of the next block. */
  position: number
  block: number
}

const BlockRow = Schema.Struct({
  position: Schema.Int,
  email: Schema.String,
  clientId: Schema.String,
  refreshToken: Schema.String,
  tenant: Schema.String,
  provider: Provider,
  channel: Channel,
  channelOpen: Schema.optionalKey(Schema.Literal(true)),
  tags: Schema.Array(Schema.String),
})
const Block = Schema.fromJsonString(Schema.Array(BlockRow))
const decodeBlock = Schema.decodeUnknownEffect(Block)

export const blockOwner = (runId: RunId, block: number): string => `import:${runId}:${block}`

/** What the file says of a row, before any account is looked at. */
interface Staged {
  readonly position: number
  readonly row: ImportRow | BadRow
}

export class ImportStaging extends Context.Service<ImportStaging, {
  /** Opens an upload. `Known`: the key came before, with a run; the caller compares the request. */
  readonly begin: (run: NewRun) => Effect.Effect<
    | { readonly _tag: "New"; readonly upload: Upload }
    | { readonly _tag: "Known"; readonly run: Run; readonly requestHash: string },
    IdempotencyConflict
  >
  /** Stages rows, at most `blockRows`. Duplicates inside the file are settled here. */
  readonly append: (upload: Upload, rows: ReadonlyArray<ImportRow | BadRow>) => Effect.Effect<void>
  /** Keeps the upload; an upload that falls silent is swept. */
  readonly renew: (upload: Upload) => Effect.Effect<void>
  /** Makes the upload a queued run. */
  readonly seal: (upload: Upload, requestHash: string) => Effect.Effect<Run>
  readonly abort: (upload: Upload) => Effect.Effect<void>
  /** Turns the next block of a run into accounts. False = none is left. */
  readonly applyNext: (run: OwnedRun, options: RowOptions) => Effect.Effect<boolean>
  /** Stores one row that came by itself. */
  readonly storeOne: (row: NewRow) => Effect.Effect<RowResult>
  /** Removes uploads whose process has gone. */
  readonly sweep: Effect.Effect<number>
}>()("mailfleet/storage/ImportStaging") {
  static readonly layer: Layer.Layer<ImportStaging, never, Database | Vault | Settings | Runs> = Layer.effect(
    ImportStaging,
    Effect.gen(function* () {
      const database = yield* Database
      const vault = yield* Vault
      const settings = yield* Settings
      const runs = yield* Runs
      const { sql, tables: t } = database
      const context = { database, vault, settings }

      const sweep = Effect.map(
        orDie(sql`delete from ${t.runs} where state = 'uploading' and owner_until < now() returning 1`),
        (rows) => rows.length,
      )

      const begin = Effect.fn("ImportStaging.begin")(function* (run: NewRun) {
        yield* sweep
        const id = newId()
        const params = yield* withTrace(run.params)
        const inserted = yield* orDie(
          sql`insert into ${t.runs} (id, kind, state, trigger, params, idempotency_key, owner_until)
          values (${id}, ${run.kind}, 'uploading', ${run.trigger}, ${params},
            ${run.idempotencyKey ?? null}, now() + make_interval(secs => ${uploadSeconds}))
          on conflict (idempotency_key) do nothing returning 1`,
        )
        if (inserted.length > 0) {
          return { _tag: "New" as const, upload: { runId: id, position: 1, block: 1 } satisfies Upload }
        }
        const rows = yield* orDie(sql<{ id: string; request_hash: string | null }>`
          select id, request_hash from ${t.runs} where idempotency_key = ${run.idempotencyKey ?? null}`)
        const known = rows[0] === undefined ? Option.none() : yield* runs.get(rows[0].id)
        if (Option.isNone(known)) return yield* new IdempotencyConflict({ kind: "uploading" })
        return { _tag: "Known" as const, run: known.value, requestHash: rows[0]!.request_hash ?? "" }
      })

      /** Inserts the items of good rows; answers the positions of those that no earlier row of the file has taken. */
      const insertGood = Effect.fnUntraced(
        function* (runId: RunId, good: ReadonlyArray<Staged & { readonly row: ImportRow }>) {
          const rows = yield* sql<{ position: number }>`
          insert into ${t.run_items} (run_id, position, line, email, dedup_key)
          select ${runId}::uuid, position, line, email, dedup_key
          from unnest(${column("int4", good.map(({ position }) => position))}, ${
            column("int4", good.map(({ row }) => row.line))
          },
            ${column("text", good.map(({ row }) => row.email))}, ${
            column("text", good.map(({ row }) => accountKey(row)))
          })
            as new (position, line, email, dedup_key)
          order by position
          on conflict (run_id, dedup_key) where dedup_key is not null do nothing returning position`
          return new Set(rows.map(({ position }) => position))
        },
      )

      const insertSettled = (
        runId: RunId,
        outcome: "skipped" | "failed",
        settled: ReadonlyArray<Staged & { readonly error: ItemError }>,
      ) =>
        settled.length === 0 ? Effect.void : sql`
          insert into ${t.run_items} (run_id, position, line, email, outcome, error_code, error_field, error_message,
            error_retryable)
          select ${runId}::uuid, position, line, email, ${outcome}::text, code, field, message, false
          from unnest(${column("int4", settled.map(({ position }) => position))}, ${
          column("int4", settled.map(({ row }) => row.line))
        },
            ${column("text", settled.map(({ row }) => row.email ?? null))}, ${
          column("text", settled.map(({ error }) => error.code))
        },
            ${column("text", settled.map(({ error }) => error.field ?? null))}, ${
          column("text", settled.map(({ error }) => error.message))
        }) as new (position, line, email, code, field, message)`

      const firstLines = Effect.fnUntraced(function* (runId: RunId, repeated: ReadonlyArray<ImportRow>) {
        const rows = yield* sql<{ dedup_key: string; line: number }>`select dedup_key, line from ${t.run_items}
          where run_id = ${runId} and dedup_key = any(${column("text", repeated.map(accountKey))})`
        return new Map(rows.map((row) => [row.dedup_key, row.line]))
      })

      const append = Effect.fn("ImportStaging.append")(
        function* (upload: Upload, rows: ReadonlyArray<ImportRow | BadRow>) {
          const staged = rows.map((row, index): Staged => ({ position: upload.position + index, row }))
          const good = staged.filter((one): one is Staged & { readonly row: ImportRow } => one.row._tag === "ImportRow")
          const bad = staged.flatMap(({ position, row }) =>
            row._tag === "BadRow" ? [{ position, row, error: errorOf(row) }] : []
          )
          yield* sql.withTransaction(Effect.gen(function* () {
            const taken = good.length === 0 ? new Set<number>() : yield* insertGood(upload.runId, good)
            const repeated = good.filter(({ position }) => !taken.has(position))
            const lines = repeated.length === 0
              ? new Map<string, number>()
              : yield* firstLines(upload.runId, repeated.map(({ row }) => row))
            yield* insertSettled(upload.runId, "failed", bad)
            yield* insertSettled(
              upload.runId,
              "skipped",
              repeated.map((one) => ({ ...one, error: repeatedInFile(lines.get(accountKey(one.row))) })),
            )
            if (taken.size > 0) {
              const block = good.filter(({ position }) => taken.has(position)).map(({ position, row }) => ({
                position,
                email: row.email,
                clientId: row.clientId,
                refreshToken: Redacted.value(row.refreshToken),
                tenant: row.tenant ?? defaultTenant(settings, row.provider),
                provider: row.provider,
                channel: row.channel,
                ...(row.channelOpen === undefined ? {} : { channelOpen: row.channelOpen }),
                tags: row.tags,
              } satisfies typeof BlockRow.Type))
              yield* sql`insert into ${t.import_blocks} (run_id, block, first_position, secret) values (${upload.runId},
              ${upload.block}, ${upload.position}, ${
                vault.seal(blockOwner(upload.runId, upload.block), JSON.stringify(block))
              })`
            }
            yield* sql`update ${t.runs} set total = total + ${rows.length}, failed = failed + ${bad.length},
            skipped = skipped + ${repeated.length}, owner_until = now() + make_interval(secs => ${uploadSeconds})
            from ${sql.literal(relaxed)} where id = ${upload.runId}`
          }))
          upload.position += rows.length
          upload.block += 1
        },
        orDie,
      )

      /** All rows together; or, where one of them brings out a fault, each by itself, and that one fails. */
      const storeEach = (
        rows: ReadonlyArray<NewRow>,
        options: RowOptions,
      ): Effect.Effect<ReadonlyArray<RowResult>, SqlError.SqlError> =>
        Effect.catchCause(
          sql.withTransaction(storeRows(context, rows, options)),
          (cause): Effect.Effect<ReadonlyArray<RowResult>, SqlError.SqlError> => {
            if (!isOfItem(cause)) return Effect.failCause(cause)
            return rows.length > 1
              ? Effect.map(Effect.forEach(rows, (row) => storeEach([row], options)), (results) => results.flat())
              : Effect.as(Effect.logError("an unexpected fault: a row cannot be stored", cause), [unstorable])
          },
        )

      const applyNext = Effect.fn("ImportStaging.applyNext")(function* (run: OwnedRun, options: RowOptions) {
        return yield* sql.withTransaction(Effect.gen(function* () {
          const blocks = yield* sql<{ block: number; secret: Uint8Array }>`delete from ${t.import_blocks}
            using ${sql.literal(relaxed)} where run_id = ${run.id}
              and block = (select block from ${t.import_blocks} where run_id = ${run.id}
                order by block limit 1 for update skip locked)
              and exists (select 1 from ${t.runs} where id = ${run.id} and owner_fence = ${run.fence} and state = 'running')
            returning block, secret`
          const block = blocks[0]
          if (block === undefined) return false
          const text = yield* vault.open(blockOwner(run.id, block.block), block.secret)
          const rows = yield* decodeBlock(Redacted.value(text))
          const results = yield* storeEach(
            rows.map((row) => ({ ...row, refreshToken: Redacted.make(row.refreshToken) })),
            options,
          )
          const outcome = options.verify && !options.dryRun ? "pending" : "succeeded"
          yield* recordItems(
            database,
            run.id,
            rows.map(({ position }, index) => {
              const result = results[index]!
              return result._tag === "Settled"
                ? { position, ...result }
                : { position, outcome, accountId: result.accountId }
            }),
          )
          return true
        }))
      }, Effect.orDie)

      return ImportStaging.of({
        begin,
        append,
        renew: (upload) =>
          orDie(
            sql`update ${t.runs} set owner_until = now() + make_interval(secs => ${uploadSeconds}) where id = ${upload.runId}`,
          )
            .pipe(Effect.asVoid),
        seal: Effect.fn("ImportStaging.seal")(function* (upload: Upload, requestHash: string) {
          yield* orDie(sql`update ${t.runs} set state = 'queued', owner_until = null, request_hash = ${requestHash}
            where id = ${upload.runId}`)
          return Option.getOrThrow(yield* runs.get(upload.runId))
        }),
        abort: (upload) => orDie(sql`delete from ${t.runs} where id = ${upload.runId}`).pipe(Effect.asVoid),
        applyNext,
        storeOne: (row) =>
          sql.withTransaction(storeRows(context, [row], { onDuplicate: "fail", dryRun: false, verify: true })).pipe(
            Effect.map((results) => results[0]!),
            orDie,
          ),
        sweep,
      })
    }),
  )
}

/** The tenant of an app that a row names without one. */
export const defaultTenant = (settings: { readonly microsoftTenant: string }, provider: Provider): string =>
  provider === "microsoft" ? settings.microsoftTenant : ""

const unstorable: RowResult = {
  _tag: "Settled",
  accountId: undefined,
  outcome: "failed",
  error: {
    code: internalError,
    message: "an unexpected fault of Mailfleet's own, or a rule of the database: its log has it",
    retryable: false,
  },
}

const errorOf = ({ code, field, message }: BadRow): ItemError => ({
  code,
  ...(field === undefined ? {} : { field }),
  message,
  retryable: false,
})

const repeatedInFile = (line: number | undefined): ItemError => ({
  code: "duplicate_in_file",
  message: line === undefined ? "an earlier row has this address" : `line ${line} has this address already`,
  retryable: false,
})
