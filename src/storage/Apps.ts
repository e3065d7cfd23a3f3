/** Apps: the OAuth clients that grants belong to, and their secrets. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { Provider } from "../domain/Account.ts"
import type { App, CheckedApp } from "../domain/App.ts"
import { type AppId, isId, newId } from "../domain/Ids.ts"
import { Vault } from "../oauth/Vault.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "./Cursor.ts"
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

export class Apps extends Context.Service<Apps, {
  readonly get: (id: AppId) => Effect.Effect<Option.Option<App>>
  /** Oldest first. */
  readonly list: (
    options: { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<App>; readonly nextCursor: string | null }, InvalidCursor>
  /** Stores an app. Where there is one of this name already, answers with that one, unchanged. */
  readonly create: (app: CheckedApp) => Effect.Effect<{ readonly app: App; readonly created: boolean }>
  /** The next redemption uses the new secret. Grants that wait because of the app are tried again within a minute. */
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
          const after = cursor === undefined
            ? Option.none()
            : Option.filter(decodeCursor(cursor, 1), ([id]) => typeof id === "string" && isId(id))
          if (cursor !== undefined && Option.isNone(after)) return yield* invalidCursor
          const rows = yield* orDie(
            sql<AppRow>`select ${columns} from ${t.apps} p
              where ${Option.isSome(after) ? sql`p.id > ${after.value[0]!}` : sql`true`} order by p.id limit ${
              limit + 1
            }`,
          )
          const items = rows.slice(0, limit)
          return {
            items: items.map(toApp),
            nextCursor: rows.length > limit ? encodeCursor([items[items.length - 1]!.id]) : null,
          }
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

      const patch = Effect.fn("Apps.patch")(function* (id: AppId, { secret }: AppPatch) {
        if (!isId(id)) return Option.none()
        return yield* sql.withTransaction(Effect.gen(function* () {
          const rows = yield* sql<AppRow>`update ${t.apps} p set secret = ${seal(id.toLowerCase(), secret)},
            updated_at = now() where p.id = ${id} returning ${columns}`
          if (rows[0] === undefined) return Option.none()
          // A scan of the grants: apps change too rarely for an index that every new grant would pay for. Those put off without
          // a failure of their own waited for the app's circuit, or for a pause that they meet again.
          yield* sql`update ${t.grants} set attempt_at = now() + make_interval(secs => random() * ${spreadSeconds}::float8)
            where app_id = ${id} and attempt_at is not null
              and (failure_class = 'app' or (failures = 0 and attempt_at > due_at))`
          return Option.some(toApp(rows[0]))
        }))
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
