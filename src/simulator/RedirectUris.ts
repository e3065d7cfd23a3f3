/** Where authorization codes may be sent. */
import type { App } from "./Population.ts"

const loopback = /^http:\/\/(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(?=[/?]|$)/

/** The port of a loopback address does not count (RFC 8252 §7.3); all else is compared to the letter. */
const compared = (uri: string): string => uri.replace(loopback, "http://$1")

export const isRedirectUri = ({ redirectUris }: Pick<App, "redirectUris">, uri: string): boolean =>
  redirectUris === undefined
    ? URL.canParse(uri)
    : redirectUris.some((known) => known === uri || (loopback.test(known) && compared(known) === compared(uri)))
