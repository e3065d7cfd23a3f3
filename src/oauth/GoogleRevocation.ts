/** Handing a refresh token back to Google (RFC 7009; Google Identity, revoking a token). Microsoft has nothing like it for one grant. */
import { type Duration, Effect, Option, Redacted } from "effect"
import { Settings } from "../domain/Settings.ts"
import { isSuccess, makeTokenEndpoint, tokenTimeout } from "./TokenEndpoint.ts"

/**
 * True once Google takes the token no more, whoever revoked it. False = it is to be asked again. With the token goes all that the
 * user allowed the app, and not this token alone.
 */
export const makeGoogleRevocation = (
  options: { readonly timeout?: Duration.Input } = {},
): Effect.Effect<(refreshToken: Redacted.Redacted) => Effect.Effect<boolean>, never, Settings> =>
  Effect.gen(function* () {
    const { googleRevokeUrl, googleTokenUrl } = yield* Settings
    const url = Option.getOrElse(googleRevokeUrl, () => new URL("revoke", googleTokenUrl).href)
    const post = yield* makeTokenEndpoint(options.timeout ?? tokenTimeout)
    return (refreshToken) =>
      Effect.map(
        post(url, { token: Redacted.value(refreshToken) }),
        ({ body, status }) => isSuccess(status) || (status === 400 && body?.error === "invalid_token"),
      )
  })
