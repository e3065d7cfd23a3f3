/** Grants that an administrator gave an app for a whole tenant: one for each app and tenant, without a secret of its own. */
import { Context, Effect, Layer, Result } from "effect"
import { GrantRefused } from "../../domain/Grant.ts"
import { type AppId, type GrantId, isId, newId } from "../../domain/Ids.ts"
import { readTenant } from "../../domain/import/Row.ts"
import { Database, orDie } from "../Database.ts"

/** Names of many tenants: at none of them can an app be itself (Microsoft identity platform, client credentials flow). */
const multiTenant = new Set(["common", "organizations", "consumers"])

const refused = (code: GrantRefused["code"], message: string) => new GrantRefused({ code, message })

export class AppOnlyGrants extends Context.Service<AppOnlyGrants, {
  /** The grant of an app at a tenant; made if there is none yet. `tenant`: a tenant id or a domain of it. */
  readonly create: (
    appId: AppId,
    tenant: string,
  ) => Effect.Effect<{ readonly id: GrantId; readonly created: boolean }, GrantRefused>
  /** The same, after consent was given at the provider: accounts that had waited for it are tried at once. */
  readonly ensure: (appId: AppId, tenant: string) => Effect.Effect<GrantId, GrantRefused>
}>()("mailfleet/storage/AppOnlyGrants") {
  static readonly layer: Layer.Layer<AppOnlyGrants, never, Database> = Layer.effect(
    AppOnlyGrants,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database

      const checkApp = Effect.fnUntraced(function* (appId: AppId) {
        const rows = !isId(appId) ? [] : yield* orDie(
          sql<{ provider: string; confidential: boolean }>`select p.provider, p.secret is not null
            or p.certificate_thumbprint is not null as confidential from ${t.apps} p where p.id = ${appId}`,
        )
        const app = rows[0]
        if (app === undefined) return yield* refused("app_not_found", "there is no app with this id")
        if (app.provider !== "microsoft") {
          return yield* refused(
            "wrong_provider",
            "only Microsoft gives an app a whole tenant; Google has service accounts",
          )
        }
        if (!app.confidential) {
          return yield* refused(
            "app_is_public",
            "an app without secret and certificate cannot act for a tenant: set one of them first",
          )
        }
      })

      const create = Effect.fn("AppOnlyGrants.create")(function* (appId: AppId, given: string) {
        const tenant = Result.getOrUndefined(readTenant("microsoft", given))?.toLowerCase()
        if (tenant === undefined || tenant === "" || multiTenant.has(tenant)) {
          return yield* refused("invalid_tenant", "Expected the id of one tenant, or a domain of it")
        }
        yield* checkApp(appId)
        const id = newId()
        // Nothing is due: it does not die of disuse, and a token is fetched when one is needed.
        const made = yield* orDie(sql<{ id: string }>`insert into ${t.grants} (id, app_id, kind, tenant)
          values (${id}, ${appId}, 'client_credentials', ${tenant})
          on conflict (app_id, tenant) where kind = 'client_credentials' do nothing returning id`)
        const rows = made.length > 0 ? made : yield* orDie(sql<{ id: string }>`select g.id from ${t.grants} g
          where g.app_id = ${appId} and g.tenant = ${tenant} and g.kind = 'client_credentials'`)
        return { id: rows[0]!.id, created: made.length > 0 }
      })

      return AppOnlyGrants.of({
        create,
        ensure: Effect.fn("AppOnlyGrants.ensure")(function* (appId, tenant) {
          const { id } = yield* create(appId, tenant)
          yield* orDie(sql`update ${t.grants} g set due_at = now(), attempt_at = now(),
              -- The refusal of before is not repeated to whoever asks.
              failed_at = null
            where id = ${id} and exists (
            select 1 from ${t.accounts} a where a.grant_id = g.id and a.status in ('pending', 'needs_reauth', 'blocked'))`)
          return id
        }),
      })
    }),
  )
}
