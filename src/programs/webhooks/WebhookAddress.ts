/**
 * Where a webhook may be sent: whoever may make one could else have us call what only we can reach (server-side request
 * forgery). The name is resolved by us, every answer is checked, and the connection is made to an address that was checked: a
 * name that answers otherwise a moment later gains nothing by it.
 */
import { Cache, Context, Duration, Effect, Layer, Schema } from "effect"
import ipaddr from "ipaddr.js"
import { lookup } from "node:dns/promises"
import { isIP } from "node:net"
import { bySteadyClock } from "../../domain/Monotonic.ts"
import { InvalidWebhook } from "../../domain/Webhook.ts"
import { Settings } from "../../domain/Settings.ts"

/** The target cannot be used. `message` is one line, and holds no more of the URL than its host. */
export class WebhookRefused extends Schema.TaggedError<WebhookRefused>()("WebhookRefused", {
  /** `private`: it is not of the public internet. `unresolved`: the name has no address now. */
  reason: Schema.Literals(["private", "unresolved"]),
  message: Schema.String,
}) {}

/** Names that are asked for all the time are asked for this often: addresses of receivers seldom change. */
const kept = Duration.seconds(10)
const namesKept = 1_000

const longestUrl = 2_000

/** Global unicast, RFC 4291 §2.4: what lies outside is not of the public internet, whatever it is used for. */
const global6 = ipaddr.IPv6.parse("2000::")

/** True for an address of the public internet. IPv4 in the form of IPv6 counts as the IPv4 that it is. */
export const isPublic = (address: string): boolean => {
  if (!ipaddr.isValid(address)) return false
  const parsed = ipaddr.process(address)
  return parsed.range() === "unicast" && (parsed instanceof ipaddr.IPv4 || parsed.match(global6, 3))
}

/** The host as a connection takes it: without the brackets of an IPv6 address. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, "$1")

/** A URL as it is stored. Numbers in whatever notation are addresses by then. */
export const parseTarget = (text: string): Effect.Effect<URL, InvalidWebhook> => {
  const refused = (message: string) => Effect.fail(new InvalidWebhook({ field: "url", message }))
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || text.length > longestUrl) {
    return refused(`an http or https URL of at most ${longestUrl} characters is expected`)
  }
  if (url.username !== "" || url.password !== "") {
    return refused("a URL without user and password is expected: the signature says who sends")
  }
  url.hash = ""
  return Effect.succeed(url)
}

/** How names are resolved. */
export class NameLookup extends Context.Service<NameLookup, {
  /** All addresses of a name, in the order in which they are to be tried. */
  readonly addresses: (name: string) => Effect.Effect<ReadonlyArray<string>, WebhookRefused>
}>()("mailfleet/programs/NameLookup") {
  /** As the operating system resolves them. */
  static readonly layer: Layer.Layer<NameLookup> = Layer.succeed(NameLookup, {
    addresses: (name) =>
      Effect.tryPromise({
        try: () => lookup(name, { all: true, verbatim: true }),
        catch: () => new WebhookRefused({ reason: "unresolved", message: `the name ${name} has no address` }),
      }).pipe(Effect.map((found) => found.map(({ address }) => address))),
  })
}

export class WebhookAddress extends Context.Service<WebhookAddress, {
  /** Addresses that a request for the URL may be sent to. Fails where one of the host's is not to be reached. */
  readonly resolve: (url: URL) => Effect.Effect<ReadonlyArray<string>, WebhookRefused>
}>()("mailfleet/programs/WebhookAddress") {
  static readonly layer: Layer.Layer<WebhookAddress, never, NameLookup | Settings> = Layer.effect(
    WebhookAddress,
    Effect.gen(function* () {
      const { webhookAllowPrivate } = yield* Settings
      const { addresses } = yield* NameLookup
      const names = yield* Cache.make({ lookup: addresses, capacity: namesKept, timeToLive: kept })
      return WebhookAddress.of({
        resolve: Effect.fnUntraced(function* (url: URL) {
          const host = hostOf(url)
          const found = isIP(host) === 0 ? yield* bySteadyClock(Cache.get(names, host)) : [host]
          if (!webhookAllowPrivate && !found.every(isPublic)) {
            return yield* new WebhookRefused({
              reason: "private",
              message: `${host} is not of the public internet; MAILFLEET_WEBHOOK_ALLOW_PRIVATE=on allows it`,
            })
          }
          return found
        }),
      })
    }),
  )

  static readonly layerSystem: Layer.Layer<WebhookAddress, never, Settings> = Layer.provide(
    WebhookAddress.layer,
    NameLookup.layer,
  )
}
