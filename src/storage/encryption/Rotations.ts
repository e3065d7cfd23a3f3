/** Rotations of the encryption key: how far they have come, and the values that they seal anew. */
import { Context, DateTime, Effect, Layer } from "effect"
import type { EncryptionRotation } from "../../domain/EncryptionRotation.ts"
import { newId } from "../../domain/Ids.ts"
import { byCommand } from "../../oauth/KeyProvider.ts"
import { column, Database, orDie } from "../Database.ts"
import {
  countSealed,
  pageOfSealed,
  type Place,
  replaceSealed,
  sealedColumns,
  type SealedValue,
} from "./SealedValues.ts"

/** Seconds that a silent process keeps the work. */
const leaseSeconds = 20

const firstPlace: Place = { column: 0, after: null }

/** The work of a rotation, held by this process. */
export interface ClaimedRotation {
  readonly id: string
  readonly fence: bigint
  readonly place: Place
  readonly pass: number
  /** Values that this pass found sealed by other keys. */
  readonly stale: number
  /** From the start of the rotation to that of the pass. */
  readonly passBeganAfterSeconds: number
}

export interface Resealed extends Pick<SealedValue, "key" | "rest"> {
  readonly before: Uint8Array
  readonly after: Uint8Array
}

interface RotationRow {
  readonly started_at: Date
  readonly finished_at: Date | null
  readonly total: number
  readonly processed: number
  readonly resealed: number
  readonly unreadable: number
}

export class Rotations extends Context.Service<Rotations, {
  /** The last one, and the keys in use. */
  readonly latest: Effect.Effect<Omit<EncryptionRotation, "removable">>
  /** Begins one. False = one is under way. */
  readonly begin: (dataKey: string, wrappedBy: string) => Effect.Effect<boolean>
  readonly isRunning: Effect.Effect<boolean>
  /** Takes the work, where nobody has it: the keys are to be wrapped by `wrappedBy` at its end. */
  readonly claim: (wrappedBy: string) => Effect.Effect<ClaimedRotation | undefined>
  readonly release: (claimed: ClaimedRotation) => Effect.Effect<void>
  /** The next values; empty = the pass is over. Values that begin with `prefix` are as they should be. */
  readonly page: (
    claimed: ClaimedRotation,
    prefix: Uint8Array,
  ) => Effect.Effect<
    { readonly values: ReadonlyArray<SealedValue>; readonly column: number; readonly next: Place | undefined }
  >
  /** Stores values that were sealed anew, and how far the pass has come by them. Undefined = somebody else has the work. */
  readonly advance: (
    claimed: ClaimedRotation,
    done: {
      readonly column: number
      readonly next: Place
      readonly looked: number
      readonly values: ReadonlyArray<Resealed>
      readonly unreadable: number
    },
  ) => Effect.Effect<ClaimedRotation | undefined>
  readonly nextPass: (claimed: ClaimedRotation) => Effect.Effect<ClaimedRotation | undefined>
  /** Stores the data keys as they are wrapped now. From then on no value needs a configured key itself. */
  readonly finish: (
    claimed: ClaimedRotation,
    keys: ReadonlyArray<
      { readonly use: string; readonly id: string; readonly wrapped: Uint8Array; readonly wrappedBy: string }
    >,
  ) => Effect.Effect<void>
}>()("mailfleet/storage/Rotations") {
  static readonly layer: Layer.Layer<Rotations, never, Database> = Layer.effect(
    Rotations,
    Effect.map(Database, (database) => {
      const { sql, tables: t } = database

      const claimedColumns = sql.literal(`id, fence, place, pass, stale::float8 as stale,
        extract(epoch from pass_began_at - started_at)::float8 as "passBeganAfterSeconds"`)
      const lease = sql`lease_until = now() + make_interval(secs => ${leaseSeconds})`
      const held = ({ fence, id }: ClaimedRotation) => sql`id = ${id} and fence = ${fence} and finished_at is null`

      const latest = Effect.gen(function* () {
        const keys = yield* sql<{ id: string }>`select distinct case use when 'direct' then id else wrapped_by end as id
          from ${t.data_keys} order by id`
        const rows = yield* sql<RotationRow>`select started_at, finished_at, total::float8 as total,
            processed::float8 as processed, resealed::float8 as resealed, unreadable::float8 as unreadable
          from ${t.encryption_rotations} order by id desc limit 1`
        const row = rows[0]
        return {
          state: row === undefined
            ? "none" as const
            : row.finished_at === null
            ? "running" as const
            : "completed" as const,
          startedAt: row === undefined ? null : DateTime.fromDateUnsafe(row.started_at),
          finishedAt: row === undefined || row.finished_at === null ? null : DateTime.fromDateUnsafe(row.finished_at),
          total: row?.total ?? 0,
          processed: row?.processed ?? 0,
          resealed: row?.resealed ?? 0,
          unreadable: row?.unreadable ?? 0,
          keysInUse: keys.map(({ id }) => id === byCommand ? "command" : id),
        }
      }).pipe(orDie)

      return Rotations.of({
        latest,
        begin: Effect.fn("Rotations.begin")(function* (dataKey, wrappedBy) {
          const total = yield* countSealed(database)
          const rows = yield* sql`insert into ${t.encryption_rotations} (id, data_key, wrapped_by, total, place)
            values (${newId()}, ${dataKey}, ${wrappedBy}, ${total}, ${JSON.stringify(firstPlace)}::text::jsonb)
            on conflict do nothing returning id`
          return rows.length > 0
        }, orDie),
        // Index: encryption_rotations_open.
        isRunning: Effect.map(
          sql`select 1 from ${t.encryption_rotations} where finished_at is null`,
          (rows) => rows.length > 0,
        ).pipe(orDie),
        claim: (wrappedBy) =>
          Effect.map(
            sql<ClaimedRotation>`update ${t.encryption_rotations} set fence = fence + 1, ${lease}
              where finished_at is null and wrapped_by = ${wrappedBy} and (lease_until is null or lease_until < now())
              returning ${claimedColumns}`,
            (rows) => rows[0],
          ).pipe(orDie),
        release: (claimed) =>
          Effect.asVoid(orDie(sql`update ${t.encryption_rotations} set lease_until = null where ${held(claimed)}`)),
        page: Effect.fn("Rotations.page")(function* ({ place }, prefix) {
          for (let at = place; at.column < sealedColumns.length; at = { column: at.column + 1, after: null }) {
            const values = yield* pageOfSealed(database, at, prefix, pageSize)
            const last = values.at(-1)
            if (last !== undefined) {
              return { values, column: at.column, next: { column: at.column, after: [last.key, last.rest] as const } }
            }
          }
          return { values: [], column: 0, next: undefined }
        }, orDie),
        advance: Effect.fn("Rotations.advance")(
          function* (claimed, { column: at, looked, next, unreadable, values }) {
            const replaced = values.length === 0 ? 0 : yield* replaceSealed(database, at, values)
            const rows = yield* sql<ClaimedRotation>`update ${t.encryption_rotations}
              set place = ${JSON.stringify(next)}::text::jsonb, stale = stale + ${values.length},
                processed = processed + case pass when 1 then ${looked}::int8 else 0 end,
                resealed = resealed + ${replaced}, unreadable = unreadable + ${unreadable}, ${lease}
              where ${held(claimed)} returning ${claimedColumns}`
            return rows[0]
          },
          sql.withTransaction,
          orDie,
        ),
        nextPass: (claimed) =>
          Effect.map(
            sql<ClaimedRotation>`update ${t.encryption_rotations} set pass = pass + 1, pass_began_at = now(), stale = 0,
                unreadable = 0, place = ${JSON.stringify(firstPlace)}::text::jsonb, ${lease}
              where ${held(claimed)} returning ${claimedColumns}`,
            (rows) => rows[0],
          ).pipe(orDie),
        finish: Effect.fn("Rotations.finish")(
          function* (claimed, keys) {
            const finished = yield* sql`update ${t.encryption_rotations} set finished_at = now(), lease_until = null
              where ${held(claimed)} returning id`
            if (finished.length === 0) return
            yield* sql`update ${t.data_keys} k set wrapped = new.wrapped, wrapped_by = new.by
              from unnest(${column("text", keys.map(({ use }) => use))}, ${column("text", keys.map(({ id }) => id))},
                ${column("bytea", keys.map(({ wrapped }) => wrapped))},
                ${column("text", keys.map(({ wrappedBy }) => wrappedBy))}) as new (use, id, wrapped, by)
              where k.use = new.use and k.id = new.id`
            yield* sql`delete from ${t.data_keys} where use = 'direct'`
          },
          sql.withTransaction,
          orDie,
        ),
      })
    }),
  )
}

/** Values that are sealed anew in one transaction: some hundredths of a second. */
const pageSize = 500
