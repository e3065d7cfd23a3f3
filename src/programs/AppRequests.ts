/** What somebody asks of apps: checked, stored, and in force at once. */
import { Context, DateTime, Effect, Layer, Option, Result, Schema } from "effect"
import type { App, AppChange, AppPatch, InvalidApp, NewApp } from "../domain/App.ts"
import { concernsRedemption, readChange, readName } from "../domain/AppRules.ts"
import { AppId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { readCertificate, readServiceAccountKey } from "../oauth/AppKeys.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { defaultTenant } from "../storage/runs/ImportStaging.ts"

/** Checks the values, and reads the keys among them. */
const checked = Effect.fnUntraced(function* (patch: AppPatch): Effect.fn.Return<AppChange, InvalidApp> {
  const now = yield* DateTime.now
  const { certificate, serviceAccountKey } = patch
  return yield* Effect.fromResult(Result.gen(function* () {
    return {
      ...yield* readChange(patch),
      ...(certificate === undefined ? {} : {
        certificate: certificate === null ? null : yield* readCertificate(certificate, now),
      }),
      ...(serviceAccountKey === undefined ? {} : {
        serviceAccount: serviceAccountKey === null ? null : yield* readServiceAccountKey(serviceAccountKey),
      }),
    }
  }))
})

/** There is an app of this provider, client id and tenant already. */
export class DuplicateApp extends Schema.TaggedError<DuplicateApp>()("DuplicateApp", { appId: AppId }) {}

export class AppRequests extends Context.Service<AppRequests, {
  /** Stores an app. The rows of imports that name it find it, and its secret with it. */
  readonly add: (app: NewApp) => Effect.Effect<App, DuplicateApp | InvalidApp>
  /** Changes what is given of an app, and lets it try again at once where the provider has refused it. */
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
          const name = yield* Effect.fromResult(readName(given, defaultTenant(settings, given.provider)))
          const { app, created } = yield* apps.create({ ...name, ...yield* checked(given) })
          return created ? app : yield* new DuplicateApp({ appId: app.id })
        }),
        patch: Effect.fn("AppRequests.patch")(function* (id: AppId, patch: AppPatch) {
          const change = yield* checked(patch)
          const app = yield* apps.patch(id, change)
          if (Option.isSome(app) && concernsRedemption(change)) yield* breaker.reset(app.value)
          return app
        }),
      })
    }),
  )
}
