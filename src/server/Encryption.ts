/** Begins rotations of the encryption key, and shows how they stand. */
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { KeyProviderUnavailable } from "../api/Problems.ts"
import { RotateEncryption } from "../programs/RotateEncryption.ts"

export const layerEncryption = HttpApiBuilder.group(
  Api,
  "encryption",
  Effect.fnUntraced(function* (handlers) {
    const { begin, progress } = yield* RotateEncryption

    return handlers.handleAll({
      rotation: () => progress,
      rotate: () => Effect.mapError(begin, ({ message }) => new KeyProviderUnavailable({ detail: message })),
    })
  }),
)
