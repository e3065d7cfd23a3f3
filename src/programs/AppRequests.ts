/** What somebody asks of apps: checked, stored, and in force at once. */
import { Context, Effect, Layer, Option, Schema } from "effect"
import { type App, InvalidApp, type NewApp, readApp, readSecret } from "../domain/App.ts"
import { AppId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { type AppPatch, Apps } from "../storage/Apps.ts"
import { defaultTenant } from "../storage/ImportStaging.ts"

/** There is an app of this provider, client id and tenant already. */
export class DuplicateApp extends Schema.TaggedError<DuplicateApp>()("DuplicateApp", { appId: AppId }) {}

export class AppRequests extends Context.Service<AppRequests, {
  /** Stores an app. The rows of imports that name it find it, and its secret with it. */
  readonly add: (app: NewApp) => Effect.Effect<App, DuplicateApp | InvalidApp>
  /** Gives the app another secret, or none, and lets it try again at once where the provider has refused it. */
  readonly patch: (id: AppId, patch: AppPatch) => Effect.Effect<Option.Option<App>, InvalidApp>
}>()("mailfleet/programs/AppRequests") {
  static readonly layer: Layer.Layer<AppRequests, never, AppBreaker | Apps | Settings> = Layer.effect(
    AppRequests,
    Effect.gen(function* () {
      const apps = yield* Apps
      const breaker = yield* AppBreaker
      const settings = yield* Settings

      return AppRequests.of({
        add: Effect.fn("AppRequests.add")(function* (given: NewApp) {
          const named = yield* Effect.fromResult(readApp(given, defaultTenant(settings, given.provider)))
          const { app, created } = yield* apps.create(named)
          return created ? app : yield* new DuplicateApp({ appId: app.id })
        }),
        patch: Effect.fn("AppRequests.patch")(function* (id: AppId, { secret }: AppPatch) {
          const app = yield* apps.patch(id, {
            secret: secret === null ? null : yield* Effect.fromResult(readSecret(secret)),
          })
          if (Option.isSome(app)) yield* breaker.reset(app.value)
          return app
        }),
      })
    }),
  )
}
