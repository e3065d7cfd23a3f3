/** What a webhook may be sent to, and what not (server-side request forgery). */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import {
  isPublic,
  NameLookup,
  parseTarget,
  WebhookAddress,
  WebhookRefused,
} from "../../../src/programs/webhooks/WebhookAddress.ts"
import { webhookSettings } from "../../support/webhooks.ts"

const forbidden = [
  // Loopback, in the notations that URLs take.
  "http://127.0.0.1/",
  "http://127.0.0.1:8080/x",
  "http://127.1/",
  "http://127.255.255.254/",
  "http://2130706433/",
  "http://0x7f000001/",
  "http://0x7f.0x0.0x0.0x1/",
  "http://0177.0.0.1/",
  "http://017700000001/",
  "http://%31%32%37.0.0.1/",
  "http://１２７.0.0.1/",
  "http://127.0.0.1./",
  "http://localhost/",
  "http://LOCALHOST/",
  "http://localhost./",
  // This network, private, shared, link-local with the metadata of clouds, reserved, multicast, broadcast.
  "http://0.0.0.0/",
  "http://0/",
  "http://10.0.0.1/",
  "http://172.16.0.1/",
  "http://172.31.255.255/",
  "http://192.168.1.1/",
  "http://3232235777/",
  "http://100.64.0.1/",
  "http://169.254.169.254/latest/meta-data/",
  "http://0xa9fea9fe/",
  "http://192.0.0.8/",
  "http://192.0.2.1/",
  "http://198.18.0.1/",
  "http://198.51.100.1/",
  "http://203.0.113.1/",
  "http://224.0.0.1/",
  "http://240.0.0.1/",
  "http://255.255.255.255/",
  // IPv6: the same, and what carries IPv4 inside.
  "http://[::]/",
  "http://[::1]/",
  "http://[0:0:0:0:0:0:0:1]/",
  "http://[::ffff:127.0.0.1]/",
  "http://[::ffff:7f00:1]/",
  "http://[::ffff:10.0.0.1]/",
  "http://[::127.0.0.1]/",
  "http://[fe80::1]/",
  "http://[fc00::1]/",
  "http://[fd12:3456::1]/",
  "http://[fec0::1]/",
  "http://[ff02::1]/",
  "http://[64:ff9b::7f00:1]/",
  "http://[64:ff9b:1::a00:1]/",
  "http://[2002:7f00:1::]/",
  "http://[2001::1]/",
  "http://[2001:db8::1]/",
  "http://[100::1]/",
]

const allowed = ["http://8.8.8.8/", "https://1.1.1.1/hook?x=1", "http://[2606:4700:4700::1111]/", "http://134744072/"]

const names: Record<string, ReadonlyArray<string>> = {
  "public.example": ["93.184.216.34", "2606:2800:220:1::1"],
  "private.example": ["10.1.2.3"],
  "mixed.example": ["93.184.216.34", "127.0.0.1"],
  "mapped.example": ["::ffff:169.254.169.254"],
  "scoped.example": ["fe80::1%eth0"],
}

const lookup = Layer.succeed(NameLookup, {
  addresses: (name) =>
    names[name] === undefined
      ? Effect.fail(new WebhookRefused({ reason: "unresolved", message: "no" }))
      : Effect.succeed(names[name]),
})

const guard = (allowPrivate: boolean, by: Layer.Layer<NameLookup> = NameLookup.layer) =>
  WebhookAddress.layer.pipe(Layer.provide(by), Layer.provide(webhookSettings({ webhookAllowPrivate: allowPrivate })))

const resolve = (text: string) =>
  Effect.gen(function* () {
    const { resolve } = yield* WebhookAddress
    return yield* resolve(yield* parseTarget(text))
  })

describe("WebhookAddress", () => {
  layer(guard(false))("by default", (it) => {
    for (const url of forbidden) {
      it.effect(`refuses ${url}`, () =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(resolve(url))
          assert.strictEqual(error._tag, "WebhookRefused")
          // A name with a dot at its end is resolved by some systems, and by others not.
          if (!url.includes("localhost.")) assert.include(error.message, "MAILFLEET_WEBHOOK_ALLOW_PRIVATE")
        }))
    }
    for (const url of allowed) {
      it.effect(`allows ${url}`, () => Effect.map(resolve(url), (addresses) => assert.lengthOf(addresses, 1)))
    }
  })

  layer(guard(false, lookup))("names", (it) => {
    it.effect("are refused if one of their addresses is, and tried in order otherwise", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* resolve("https://public.example/"), names["public.example"])
        for (const name of ["private", "mixed", "mapped", "scoped"]) {
          assert.deepInclude({ ...(yield* Effect.flip(resolve(`https://${name}.example/`))) }, { reason: "private" })
        }
        assert.deepInclude({ ...(yield* Effect.flip(resolve("https://nowhere.example/"))) }, { reason: "unresolved" })
      }))
  })

  layer(guard(true))("where the setting says so", (it) => {
    it.effect("sends to itself", () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* resolve("http://2130706433/"), ["127.0.0.1"])
        assert.includeMembers([...(yield* resolve("http://localhost/"))], ["127.0.0.1"])
      }))
  })

  it.effect("takes http and https URLs only, without a user", () =>
    Effect.gen(function* () {
      for (
        const text of [
          "",
          "x",
          "ftp://example.com/",
          "file:///etc/passwd",
          "gopher://example.com/",
          "javascript:alert(1)",
          "http://",
          "http://user@example.com/",
          "http://user:secret@example.com/",
          `http://example.com/${"x".repeat(2_000)}`,
        ]
      ) {
        const error = yield* Effect.flip(parseTarget(text))
        assert.deepInclude({ ...error }, { _tag: "InvalidWebhook", field: "url" }, text)
      }
      assert.strictEqual((yield* parseTarget("HTTPS://Example.com/a?b#c")).href, "https://example.com/a?b")
    }))

  it("knows addresses by themselves", () => {
    assert.isTrue(isPublic("8.8.8.8"))
    for (const address of ["", "x", "127.0.0.1", "::ffff:8.8.8.8:1", "::ffff:127.0.0.1"]) {
      assert.isFalse(isPublic(address))
    }
  })
})
