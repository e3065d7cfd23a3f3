/** Where browsers reach this server: what links to its pages begin with. */
import { Context, Effect, Layer, Option } from "effect"
import { Settings } from "../domain/Settings.ts"

export class PublicUrl extends Context.Service<PublicUrl, {
  /** Without a slash at its end: `MAILFLEET_PUBLIC_URL`, else where this process listens. */
  readonly get: Effect.Effect<string>
  /** Says where this process listens, once it does: the port may have been any free one. */
  readonly listening: (url: string) => Effect.Effect<void>
}>()("mailfleet/programs/PublicUrl") {
  static readonly layer: Layer.Layer<PublicUrl, never, Settings> = Layer.effect(
    PublicUrl,
    Effect.map(Settings, ({ host, port, publicUrl }) => {
      let listens = `http://${host.includes(":") ? `[${host}]` : host}:${port}`
      return PublicUrl.of({
        get: Effect.sync(() => Option.getOrElse(publicUrl, () => listens)),
        listening: (url) => Effect.sync(() => void (listens = url)),
      })
    }),
  )
}
