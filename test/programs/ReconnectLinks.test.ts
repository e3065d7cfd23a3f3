/** Links where people sign in again: whose they are, and that nobody makes one up. */
import { assert, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { PublicUrl } from "../../src/programs/PublicUrl.ts"
import { ReconnectLinks } from "../../src/programs/ReconnectLinks.ts"

const key = (id: string) => `${id}:${btoa(id.padEnd(32, id))}`

/** A process with these keys. */
const withKeys = (keys: string, publicUrl?: string) =>
  Effect.provide(
    Effect.all([ReconnectLinks, PublicUrl]),
    ReconnectLinks.layer.pipe(
      Layer.provideMerge(PublicUrl.layer),
      Layer.provide(Vault.layerConfigured),
      Layer.provide(Settings.layerWith({
        databaseUrl: Option.none(),
        host: "::1",
        port: 8080,
        publicUrl: Option.fromUndefinedOr(publicUrl),
        encryptionKeys: Option.some(Redacted.make(keys)),
      })),
      Layer.fresh,
    ),
  )

const endOf = (url: string): string => url.slice(url.lastIndexOf("/") + 1)

it.effect("a link is always the same, and names its account", () =>
  Effect.gen(function* () {
    const [links] = yield* withKeys(key("a"), "https://mail.example/fleet")
    const id = newId()
    const url = yield* links.urlOf(id)
    assert.match(url, new RegExp(`^https://mail\\.example/fleet/reconnect/${id}\\.[\\w-]{22}$`))
    assert.strictEqual(yield* links.urlOf(id), url)
    assert.deepStrictEqual(links.accountOf(endOf(url)), Option.some(id))
  }))

it.effect("a link is good for no other account, and cannot be made up", () =>
  Effect.gen(function* () {
    const [links] = yield* withKeys(key("a"))
    const [id, other] = [newId(), newId()]
    const [, mac = ""] = endOf(yield* links.urlOf(id)).split(".")
    const flipped = (mac[0] === "A" ? "B" : "A") + mac.slice(1)
    for (
      const forged of [
        "",
        ".",
        id,
        `${id}.`,
        `.${mac}`,
        `${other}.${mac}`,
        `${id}.${flipped}`,
        `${id}.${mac.slice(0, -2)}`,
        `${id}.${mac}AA`,
        `${id}.${mac}.${mac}`,
        `${id.toUpperCase()}.${mac}`,
        `${id}.%00`,
        `x.${mac}`,
      ]
    ) assert.deepStrictEqual(links.accountOf(forged), Option.none(), forged)
    const [strangers] = yield* withKeys(key("b"))
    assert.deepStrictEqual(strangers.accountOf(`${id}.${mac}`), Option.none())
  }))

it.effect("after a change of keys old links are good for as long as the old key is there", () =>
  Effect.gen(function* () {
    const [before] = yield* withKeys(key("a"))
    const id = newId()
    const old = endOf(yield* before.urlOf(id))
    const [both] = yield* withKeys(`${key("b")},${key("a")}`)
    assert.deepStrictEqual(both.accountOf(old), Option.some(id))
    assert.notStrictEqual(endOf(yield* both.urlOf(id)), old)
    const [after] = yield* withKeys(key("b"))
    assert.deepStrictEqual(after.accountOf(old), Option.none())
    assert.deepStrictEqual(after.accountOf(endOf(yield* both.urlOf(id))), Option.some(id))
  }))

it.effect("links begin with the public URL, else with where the process listens", () =>
  Effect.gen(function* () {
    const [links, publicUrl] = yield* withKeys(key("a"))
    assert.strictEqual(yield* publicUrl.get, "http://[::1]:8080")
    yield* publicUrl.listening("http://127.0.0.1:4711")
    assert.match(yield* links.urlOf(newId()), /^http:\/\/127\.0\.0\.1:4711\/reconnect\//)
    const [, fixed] = yield* withKeys(key("a"), "https://mail.example")
    yield* fixed.listening("http://127.0.0.1:4711")
    assert.strictEqual(yield* fixed.get, "https://mail.example")
  }))
