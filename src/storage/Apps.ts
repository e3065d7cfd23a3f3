/** Apps: the OAuth clients that grants belong to, and their secrets. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { Provider } from "../domain/Account.ts"
import type { App, CheckedApp } from "../domain/App.ts"
import { type AppId, isId, newId } from "../domain/Ids.ts"
import { Vault } from "../oauth/Vault.ts"
import { inChunks } from "./Chunks.ts"
import { afterCursor, type InvalidCursor, pageOf } from "./Cursor.ts"
import { Database, orDie } from "./Database.ts"
import { appOwner } from "./Grants.ts"

export interface AppPatch {
  /** Null makes it a public client. */
  readonly secret: Redacted.Redacted | null
}

interface AppRow {
  readonly id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly has_secret: boolean
  readonly created_at: Date
  readonly updated_at: Date
}

const toApp = (row: AppRow): App => ({
  id: row.id,
  provider: row.provider,
  clientId: row.client_id,
  tenant: row.tenant,
  hasSecret: row.has_secret,
  createdAt: DateTime.fromDateUnsafe(row.created_at),
  updatedAt: DateTime.fromDateUnsafe(row.updated_at),
})

/** Seconds over which grants are spread that a changed app may have cured. */
const spreadSeconds = 60

/** Grants moved at once: many, for those that wait are found anew each time, and nobody redeems them meanwhile. */
const chunkRows = 10_000

export class Apps extends Context.Service<Apps, {
  readonly get: (id: AppId) => Effect.Effect<Option.Option<App>>
  /** Oldest first. */
  readonly list: (
    options: { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<App>; readonly nextCursor: string | null }, InvalidCursor>
  /** Stores an app. Where there is one of this name already, answers with that one, unchanged. */
  readonly create: (app: CheckedApp) => Effect.Effect<{ readonly app: App; readonly created: boolean }>
  /**
   * The next redemption uses the new secret, which is committed first. Then grants that wait because of the app are made to
   * be tried within a minute, some at a time; where that is broken off, the others are tried when their wait ends.
   */
  readonly patch: (id: AppId, patch: AppPatch) => Effect.Effect<Option.Option<App>>
}>()("mailfleet/storage/Apps") {
  static readonly layer: Layer.Layer<Apps, never, Database | Vault> = Layer.effect(
    Apps,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const vault = yield* Vault

      const columns = sql.literal(
        "p.id, p.provider, p.client_id, p.tenant, p.secret is not null as has_secret, p.created_at, p.updated_at",
      )

      const seal = (id: AppId, secret: Redacted.Redacted | null | undefined) =>
        secret === null || secret === undefined ? null : vault.seal(appOwner(id), Redacted.value(secret))

      // Served by the primary key.
      const list = Effect.fn("Apps.list")(
        function* ({ cursor, limit }: { readonly limit: number; readonly cursor?: string | undefined }) {
          const after = yield* afterCursor(cursor, isId)
          const rows = yield* orDie(
            sql<AppRow>`select ${columns} from ${t.apps} p
              where ${after === undefined ? sql`true` : sql`p.id > ${after}`} order by p.id limit ${limit + 1}`,
          )
          return pageOf(rows, limit, toApp, ({ id }) => id)
        },
      )

      const create = Effect.fn("Apps.create")(function* ({ clientId, provider, secret, tenant }: CheckedApp) {
        const id = newId()
        const made = yield* sql<AppRow>`insert into ${t.apps} as p (id, provider, client_id, tenant, secret)
          values (${id}, ${provider}, ${clientId}, ${tenant}, ${seal(id, secret)})
          on conflict (provider, client_id, tenant) do nothing returning ${columns}`
        const rows = made.length > 0 ? made : yield* sql<AppRow>`select ${columns} from ${t.apps} p
          where p.provider = ${provider} and p.client_id = ${clientId} and p.tenant = ${tenant}`
        return { app: toApp(rows[0]!), created: made.length > 0 }
      }, orDie)

      // Few, as a rule, by grants_failing and grants_late. Those put off without a failure of their own waited for the app's
      // circuit, or for a pause that they meet again. Who is tried sooner anyway is left as it is.
      const reattempt = (id: AppId, after: string) =>
        Effect.map(
          sql<{ id: string }>`with waiting as (
              select id from ${t.grants} where app_id = ${id} and id > ${after}
                and attempt_at > now() + make_interval(secs => ${spreadSeconds}::float8)
                and (failure_class = 'app' or failure_code = 'app_secret_unreadable' or (failures = 0 and attempt_at > due_at))
              order by id limit ${chunkRows} for update
            ), moved as (
              update ${t.grants} g set attempt_at = now() + make_interval(secs => random() * ${spreadSeconds}::float8)
              from waiting where g.id = waiting.id
            )
            select id from waiting order by id`,
          (rows) => rows.map(({ id }) => id),
        )

      const patch = Effect.fn("Apps.patch")(function* (id: AppId, { secret }: AppPatch) {
        if (!isId(id)) return Option.none()
        const rows = yield* sql<AppRow>`update ${t.apps} p set secret = ${seal(id.toLowerCase(), secret)},
          updated_at = now() where p.id = ${id} returning ${columns}`
        if (rows[0] === undefined) return Option.none()
        yield* inChunks(chunkRows, (after) => reattempt(id, after))
        return Option.some(toApp(rows[0]))
      }, orDie)

      return Apps.of({
        get: Effect.fn("Apps.get")(function* (id: AppId) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<AppRow>`select ${columns} from ${t.apps} p where p.id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), toApp)
        }, orDie),
        list,
        create,
        patch,
      })
    }),
  )
}
