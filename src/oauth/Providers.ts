/** The token endpoint of each provider, picked by the app. */
import { type Duration, Effect, Layer } from "effect"
import type { Settings } from "../domain/Settings.ts"
import { makeGoogle } from "./Google.ts"
import { makeGoogleServiceAccount } from "./GoogleServiceAccount.ts"
import { makeMicrosoft } from "./Microsoft.ts"
import { makeMicrosoftAppOnly } from "./MicrosoftAppOnly.ts"
import { OAuthProvider } from "./OAuthProvider.ts"

/** `timeout`: for the whole exchange with a token endpoint; 8 seconds unless a test wants less. */
export const layerProvidersWith = (
  options: { readonly timeout?: Duration.Input },
): Layer.Layer<OAuthProvider, never, Settings> =>
  Layer.effect(
    OAuthProvider,
    Effect.gen(function* () {
      const microsoft = yield* makeMicrosoft(options)
      const google = yield* makeGoogle(options)
      const microsoftAppOnly = yield* makeMicrosoftAppOnly(options)
      const googleServiceAccount = yield* makeGoogleServiceAccount(options)
      return OAuthProvider.of({
        redeem: (request) => request.app.provider === "google" ? google(request) : microsoft(request),
        obtain: (request) =>
          request.app.provider === "google" ? googleServiceAccount(request) : microsoftAppOnly(request),
      })
    }),
  )

export const layerProviders: Layer.Layer<OAuthProvider, never, Settings> = layerProvidersWith(
  {},
)
