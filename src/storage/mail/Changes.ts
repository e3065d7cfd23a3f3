/** Reading the change log: each change once, in one order, without gaps from any position. */
import { Context, DateTime, Effect, Layer, Option, Stream } from "effect"
import type { Change, ChangeKind, ChangeOrigin } from "../../domain/Mail.ts"
import { cachedFor } from "../../domain/Monotonic.ts"
import type { InvalidCursor } from "../Cursor.ts"
import { Database, orDie } from "../Database.ts"
import { type PositionExpired, positionsOf } from "./Positions.ts"

export interface ChangeRow {
  readonly id: bigint
  readonly at: Date
  readonly account_id: string
  readonly kind: ChangeKind
  readonly origin: ChangeOrigin
  readonly message_id: string | null
  readonly folder_id: string | null
  readonly fields: ReadonlyArray<string> | null
}

/** A row of the log as readers see it. */
export const changeOf = (position: (id: bigint) => string, row: ChangeRow): Change => ({
  position: position(row.id),
  at: DateTime.fromDateUnsafe(row.at),
  accountId: row.account_id,
  kind: row.kind,
  origin: row.origin,
  ...(row.message_id === null ? {} : { messageId: row.message_id }),
  ...(row.folder_id === null ? {} : { folderId: row.folder_id }),
  ...(row.fields === null ? {} : { fields: row.fields }),
})

/** How often the log is looked at for those who follow it: one short query in that time, however many they are. */
const glance = "250 millis"

/** Entries that a follower holds at most. */
const pageSize = 100

export class Changes extends Context.Service<Changes, {
  /**
   * At most `limit` entries after the position `after`, oldest first; without it from the oldest that is kept, and after
   * `latest` none. `nextCursor` is the position to go on from: that of the last entry, or `after` itself where nothing is newer.
   */
  readonly list: (options: { readonly after?: string | undefined; readonly limit: number }) => Effect.Effect<
    { readonly items: ReadonlyArray<Change>; readonly nextCursor: string },
    InvalidCursor | PositionExpired
  >
  /** The position of the newest entry: what a reader who wants only the future starts after. */
  readonly latest: Effect.Effect<string>
  /**
   * Every entry after the position `after`, oldest first, and then each new one as it comes, for ever; without it from the
   * oldest that is kept, and after `latest` only what comes. Entries are read as they are taken, a page at a time: it fails
   * where they are deleted before that.
   */
  readonly follow: (options?: { readonly after?: string | undefined }) => Effect.Effect<
    Stream.Stream<Change, PositionExpired>,
    InvalidCursor | PositionExpired
  >
}>()("mailfleet/storage/Changes") {
  static readonly layer: Layer.Layer<Changes, never, Database> = Layer.effect(
    Changes,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const { beginning, latest: newest, parse, position, unswept } = yield* orDie(positionsOf(database))
      const toChange = (row: ChangeRow) => changeOf(position, row)

      // Entries are inserted under a lock that is held until commit, so what a reader sees of the log is always a prefix
      // of it. Served by the primary key. Whether something is missing is looked at last: it may be deleted meanwhile.
      const rowsAfter = (id: bigint, limit: number) =>
        Effect.tap(
          orDie(sql<ChangeRow>`select id, at, account_id, kind, origin, message_id, folder_id, fields
            from ${t.changes} where id > ${id} order by id limit ${limit}`),
          () => unswept(id),
        )

      const startOf = (after: string | undefined) => after === undefined ? orDie(beginning) : parse(after)

      const list = Effect.fn("Changes.list")(
        function* (options: { readonly after?: string | undefined; readonly limit: number }) {
          const after = yield* startOf(options.after)
          const found = yield* rowsAfter(after, options.limit)
          return { items: found.map(toChange), nextCursor: position(found[found.length - 1]?.id ?? after) }
        },
      )

      const latest = Effect.withSpan(orDie(newest), "Changes.latest")

      // Asked for all followers at once: never within the transaction of one of them.
      const seen = yield* cachedFor(
        Effect.updateContext(
          latest,
          (context: Context.Context<never>) => Context.omit(sql.transactionService)(context),
        ),
        glance,
      )

      /** The entries after `id`, once there are some. */
      const next = (id: bigint): Effect.Effect<ReadonlyArray<ChangeRow>, PositionExpired> =>
        Effect.gen(function* () {
          while ((yield* seen) <= position(id)) yield* Effect.sleep(glance)
          return yield* rowsAfter(id, pageSize)
        })

      const follow = Effect.fnUntraced(function* (options: { readonly after?: string | undefined } = {}) {
        const after = yield* startOf(options.after)
        yield* unswept(after)
        return Stream.paginate(
          after,
          (id) =>
            Effect.map(next(id), (found) => [found.map(toChange), Option.some(found[found.length - 1]?.id ?? id)]),
        )
      })

      return Changes.of({ list, latest, follow })
    }),
  )
}
