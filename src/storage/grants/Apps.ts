/** Apps: the OAuth clients that grants belong to, and their secrets. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import type { Provider } from "../../domain/Account.ts"
import type {
  App,
  AppChange,
  AppCredentials,
  AppScopes,
  CheckedApp,
  InvalidApp,
  Registration,
} from "../../domain/App.ts"
import { concernsRedemption, faultOfChange, mergeScopes } from "../../domain/AppRules.ts"
import type { Event } from "../../domain/Event.ts"
import { type AppId, isId, newId } from "../../domain/Ids.ts"
import { Vault, type VaultError } from "../../oauth/Vault.ts"
import { appKeyOwner, appOwner, credentialColumns, type CredentialRow, readCredentials } from "./AppCredentials.ts"
import { tellExpiring } from "./AppExpiry.ts"
import { inChunks } from "../Chunks.ts"
import { afterCursor, type InvalidCursor, pageOf } from "../Cursor.ts"
import { Database, orDie } from "../Database.ts"
import { followRegistration } from "./Endings.ts"

interface AppRow {
  readonly id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly authority: string | null
  readonly redirect_uri: string | null
  readonly scopes: AppScopes
  readonly registration: Registration
  readonly has_secret: boolean
  readonly secret_expires_at: Date | null
  readonly certificate_thumbprint: string | null
  readonly certificate_expires_at: Date | null
  readonly service_account: string | null
  readonly created_at: Date
  readonly updated_at: Date
}

const columnsOfApp = `p.id, p.provider, p.client_id, p.tenant, p.authority, p.redirect_uri, p.scopes, p.registration,
  p.secret is not null as has_secret, p.secret_expires_at, p.certificate_thumbprint, p.certificate_expires_at,
  p.service_account, p.created_at, p.updated_at`

const toApp = (row: AppRow): App => ({
  id: row.id,
  provider: row.provider,
  clientId: row.client_id,
  tenant: row.tenant,
  ...(row.authority === null ? {} : { authority: row.authority }),
  ...(row.redirect_uri === null ? {} : { redirectUri: row.redirect_uri }),
  scopes: row.scopes,
  registration: row.registration,
  hasSecret: row.has_secret,
  ...(row.secret_expires_at === null ? {} : { secretExpiresAt: DateTime.fromDateUnsafe(row.secret_expires_at) }),
  ...(row.certificate_thumbprint === null || row.certificate_expires_at === null ? {} : {
    certificate: {
      thumbprint: row.certificate_thumbprint,
      expiresAt: DateTime.fromDateUnsafe(row.certificate_expires_at),
    },
  }),
  ...(row.service_account === null ? {} : { serviceAccount: row.service_account }),
  createdAt: DateTime.fromDateUnsafe(row.created_at),
  updatedAt: DateTime.fromDateUnsafe(row.updated_at),
})

/** What a sign-in under an app needs of it. */
export interface SignInApp extends AppCredentials {
  readonly id: AppId
  readonly redirectUri?: string
  readonly registration: Registration
}

/** Seconds over which grants are spread that a changed app may have cured. */
const spreadSeconds = 60

/** Grants moved at once: many, for those that wait are found anew each time, and nobody redeems them meanwhile. */
const chunkRows = 10_000

export class Apps extends Context.Service<Apps, {
  readonly get: (id: AppId) => Effect.Effect<Option.Option<App>>
  /** With its secret or keys. Fails where they cannot be read. */
  readonly credentials: (id: AppId) => Effect.Effect<Option.Option<SignInApp>, VaultError>
  /** Oldest first. */
  readonly list: (
    options: { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<App>; readonly nextCursor: string | null }, InvalidCursor>
  /** Stores an app. Where there is one of this name already, answers with that one, unchanged. */
  readonly create: (
    app: CheckedApp,
  ) => Effect.Effect<{ readonly app: App; readonly created: boolean }, InvalidApp>
  /**
   * Changes what is given, and fails where that does not go together with what stays. The next redemption uses it: it is
   * committed first. Then grants that wait because of the app are made to be tried within a minute, some at a time; where
   * that is broken off, the others are tried when their wait ends.
   */
  readonly patch: (id: AppId, change: AppChange) => Effect.Effect<Option.Option<App>, InvalidApp>
  /**
   * Records an event for each app whose secret or certificate ends within 30, 7 or 1 days, or has ended, and answers with
   * them: each of the four is told once.
   */
  readonly tellExpiring: Effect.Effect<ReadonlyArray<Omit<Event, "id" | "at">>>
}>()("mailfleet/storage/Apps") {
  static readonly layer: Layer.Layer<Apps, never, Database | Vault> = Layer.effect(
    Apps,
    Effect.gen(function* () {
      const database = yield* Database
      const { sql, tables: t } = database
      const vault = yield* Vault

      const columns = sql.literal(columnsOfApp)

      const seal = (owner: string, secret: Redacted.Redacted | null | undefined) =>
        secret === null || secret === undefined ? null : vault.seal(owner, Redacted.value(secret))

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

      const create = Effect.fn("Apps.create")(function* (app: CheckedApp) {
        const { certificate, clientId, provider, secretExpiresAt, serviceAccount, tenant } = app
        const fault = faultOfChange({ provider, hasSecret: false, hasCertificate: false }, app)
        if (fault !== undefined) return yield* fault
        const id = newId()
        const made = yield* orDie(sql<AppRow>`insert into ${t.apps} as p (id, provider, client_id, tenant, authority,
            redirect_uri, scopes, registration, secret, secret_expires_at, private_key, certificate,
            certificate_thumbprint, certificate_expires_at, service_account)
          values (${id}, ${provider}, ${clientId}, ${tenant}, ${app.authority ?? null}, ${app.redirectUri ?? null},
            ${JSON.stringify(mergeScopes({}, app.scopes))}::text::jsonb, ${app.registration ?? "standard"},
            ${seal(appOwner(id), app.secret)}, ${timeOf(secretExpiresAt)},
            ${seal(appKeyOwner(id), certificate?.privateKey ?? serviceAccount?.privateKey)},
            ${certificate?.certificate ?? null}, ${certificate?.thumbprint ?? null}, ${timeOf(certificate?.expiresAt)},
            ${serviceAccount?.email ?? null})
          on conflict (provider, client_id, tenant) do nothing returning ${columns}`)
        const rows = made.length > 0 ? made : yield* orDie(
          sql<AppRow>`select ${columns} from ${t.apps} p
          where p.provider = ${provider} and p.client_id = ${clientId} and p.tenant = ${tenant}`,
        )
        return { app: toApp(rows[0]!), created: made.length > 0 }
      })

      // Few, as a rule, by grants_failing and grants_late. Those put off without a failure of their own waited for the app's
      // circuit, or for a pause that they meet again. Who is tried sooner anyway is left as it is.
      const reattempt = (id: AppId, otherScopes: boolean, after: string) =>
        Effect.map(
          sql<{ id: string }>`with waiting as (
              select id from ${t.grants} where app_id = ${id} and id > ${after}
                and attempt_at > now() + make_interval(secs => ${spreadSeconds}::float8)
                and (failure_class = 'app' or failure_code = 'app_secret_unreadable' or (failures = 0 and attempt_at > due_at)
                  or (${otherScopes}::bool and failure_class = 'scope'))
              order by id limit ${chunkRows} for update
            ), moved as (
              update ${t.grants} g set attempt_at = now() + make_interval(secs => random() * ${spreadSeconds}::float8)
              from waiting where g.id = waiting.id
            )
            select id from waiting order by id`,
          (rows) => rows.map(({ id }) => id),
        )

      const assignments = (row: AppRow, change: AppChange) => {
        const { authority, certificate, redirectUri, registration, scopes, secret, secretExpiresAt, serviceAccount } =
          change
        const key = row.provider === "google" ? serviceAccount : certificate
        return [
          sql`updated_at = now()`,
          ...(authority === undefined ? [] : [sql`authority = ${authority}`]),
          ...(redirectUri === undefined ? [] : [sql`redirect_uri = ${redirectUri}`]),
          ...(scopes === undefined ? [] : [
            sql`scopes = ${JSON.stringify(mergeScopes(row.scopes, scopes))}::text::jsonb`,
          ]),
          ...(registration === undefined ? [] : [sql`registration = ${registration}`]),
          ...(secret === undefined ? [] : [sql`secret = ${seal(appOwner(row.id), secret)}`]),
          ...(secret === undefined && secretExpiresAt === undefined ? [] : [
            sql`secret_expires_at = ${timeOf(secretExpiresAt)}`,
          ]),
          ...(certificate === undefined ? [] : [
            sql`certificate = ${certificate?.certificate ?? null}`,
            sql`certificate_thumbprint = ${certificate?.thumbprint ?? null}`,
            sql`certificate_expires_at = ${timeOf(certificate?.expiresAt)}`,
          ]),
          ...(serviceAccount === undefined ? [] : [sql`service_account = ${serviceAccount?.email ?? null}`]),
          // One column for both: certificates are Microsoft's, service accounts Google's.
          ...(key === undefined ? [] : [sql`private_key = ${seal(appKeyOwner(row.id), key?.privateKey)}`]),
          ...(secret === undefined && secretExpiresAt === undefined && certificate === undefined ? [] : [
            sql`expiry_told = null`,
          ]),
        ]
      }

      const store = Effect.fnUntraced(function* (id: AppId, change: AppChange) {
        // Nobody makes a certificate of what has become an app with a secret meanwhile.
        const [row] = yield* orDie(
          sql<AppRow>`select ${columns} from ${t.apps} p where p.id = ${id} for no key update of p`,
        )
        if (row === undefined) return Option.none<App>()
        const app = toApp(row)
        const fault = faultOfChange({ ...app, hasCertificate: app.certificate !== undefined }, change)
        if (fault !== undefined) return yield* fault
        const [changed] = yield* orDie(sql<AppRow>`update ${t.apps} p set ${sql.csv(assignments(row, change))}
          where p.id = ${id} returning ${columns}`)
        if (changed !== undefined && changed.registration !== row.registration) {
          yield* orDie(followRegistration(database, id))
        }
        return Option.map(Option.fromUndefinedOr(changed), toApp)
      })

      const patch = Effect.fn("Apps.patch")(function* (id: AppId, change: AppChange) {
        if (!isId(id)) return Option.none()
        const app = yield* Effect.catchTag(sql.withTransaction(store(id, change)), "SqlError", Effect.die)
        if (Option.isSome(app) && concernsRedemption(change)) {
          yield* orDie(inChunks(chunkRows, (after) => reattempt(id, change.scopes !== undefined, after)))
        }
        return app
      })

      const credentials = Effect.fn("Apps.credentials")(function* (id: AppId) {
        if (!isId(id)) return Option.none()
        type Row = CredentialRow & Pick<AppRow, "redirect_uri" | "registration">
        const [row] = yield* orDie(
          sql<Row>`select p.id as app_id, p.redirect_uri, p.registration, ${sql.literal(credentialColumns)}
            from ${t.apps} p where p.id = ${id}`,
        )
        if (row === undefined) return Option.none()
        const app: SignInApp = {
          ...yield* readCredentials(vault, row, (_what, error) => error),
          id: row.app_id,
          ...(row.redirect_uri === null ? {} : { redirectUri: row.redirect_uri }),
          registration: row.registration,
        }
        return Option.some(app)
      })

      return Apps.of({
        get: Effect.fn("Apps.get")(function* (id: AppId) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<AppRow>`select ${columns} from ${t.apps} p where p.id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), toApp)
        }, orDie),
        credentials,
        list,
        create,
        patch,
        tellExpiring: tellExpiring(database),
      })
    }),
  )
}

const timeOf = (time: DateTime.Utc | null | undefined): Date | null =>
  time === null || time === undefined ? null : DateTime.toDateUtc(time)
