import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, Schema } from "effect"
import { SettingsError } from "../../src/domain/Settings.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Vault } from "../../src/oauth/Vault.ts"

const key = (letter: string) => btoa(letter.repeat(32))

const build = (keys: string | undefined) =>
  Layer.build(Vault.layerConfigured.pipe(
    Layer.provide(Layer.orDie(Settings.layerWith({
      encryptionKeys: Option.map(Option.fromUndefinedOr(keys), (text) => Redacted.make(text)),
    }))),
  ))

const vaultWith = (keys: string) => Effect.flatMap(build(keys), (context) => Effect.provide(Vault, context))

const open = (vault: Vault["Service"], owner: string, sealed: Uint8Array) =>
  Effect.map(vault.open(owner, sealed), Redacted.value)

describe("Vault", () => {
  it.effect.prop(
    "opens what it sealed, whatever it is, for its owner only",
    [Schema.String, Schema.String, Schema.String],
    ([owner, other, text]) =>
      Effect.gen(function* () {
        const plaintext = text.toWellFormed()
        const vault = yield* vaultWith(`k1:${key("a")}`)
        const sealed = vault.seal(owner, plaintext)
        assert.strictEqual(yield* open(vault, owner, sealed), plaintext)
        // As bytes, two owners that differ only in lone surrogates are the same.
        if (owner.toWellFormed() === other.toWellFormed()) return
        assert.strictEqual((yield* Effect.flip(vault.open(other, sealed)))._tag, "VaultError")
      }),
  )

  it.effect("seals the same twice as something else each time, and shows nothing of it", () =>
    Effect.gen(function* () {
      const vault = yield* vaultWith(`k1:${key("a")}`)
      const [first, second] = [vault.seal("grant:1", "a token"), vault.seal("grant:1", "a token")]
      assert.notDeepEqual(first, second)
      assert.notInclude(new TextDecoder("latin1").decode(first), "token")
      assert.notInclude(String(yield* vault.open("grant:1", first)), "token")
    }))

  it.effect("refuses each altered byte, and each length that is not the whole", () =>
    Effect.gen(function* () {
      const vault = yield* vaultWith(`k1:${key("a")}`)
      const sealed = vault.seal("grant:1", "a token")
      for (let index = 0; index < sealed.length; index++) {
        for (const flipped of [1, 128]) {
          const altered = sealed.with(index, sealed[index]! ^ flipped)
          assert.strictEqual((yield* Effect.flip(vault.open("grant:1", altered)))._tag, "VaultError", `byte ${index}`)
        }
        assert.strictEqual((yield* Effect.flip(vault.open("grant:1", sealed.slice(0, index))))._tag, "VaultError")
      }
      assert.strictEqual(
        (yield* Effect.flip(vault.open("grant:1", Uint8Array.of(...sealed, 0))))._tag,
        "VaultError",
      )
    }))

  it.effect("seals with the first key, and opens with any", () =>
    Effect.gen(function* () {
      const old = yield* vaultWith(`old:${key("o")}`)
      const both = yield* vaultWith(`new:${key("n")}, old:${key("o")}`)
      const fresh = yield* vaultWith(`new:${key("n")}`)
      const before = old.seal("grant:1", "before")
      const after = both.seal("grant:1", "after")
      assert.strictEqual(yield* open(both, "grant:1", before), "before")
      assert.strictEqual(yield* open(fresh, "grant:1", after), "after")
      for (const [vault, sealed] of [[fresh, before], [old, after]] as const) {
        const error = yield* Effect.flip(vault.open("grant:1", sealed))
        assert.include(error.message, "MAILFLEET_ENCRYPTION_KEYS")
      }
      // The same name, another key.
      const other = yield* vaultWith(`old:${key("x")}`)
      assert.include((yield* Effect.flip(other.open("grant:1", before))).message, "cannot be decrypted")
    }))

  it.effect("hashes under the current key, and looks up under each", () =>
    Effect.gen(function* () {
      const old = yield* vaultWith(`old:${key("o")}`)
      const both = yield* vaultWith(`new:${key("n")},old:${key("o")}`)
      const token = Redacted.make("a token")
      assert.strictEqual(both.hash(token).length, 16)
      assert.deepStrictEqual(both.hash(token), both.hash(Redacted.make("a token")))
      assert.notDeepEqual(both.hash(token), both.hash(Redacted.make("another token")))
      assert.notDeepEqual(both.hash(token), old.hash(token))
      assert.deepStrictEqual(both.hashes(token), [both.hash(token), old.hash(token)])
    }))

  it.effect("takes keys in either base64, with blanks around them", () =>
    Effect.gen(function* () {
      const bytes = Uint8Array.from({ length: 32 }, (_, index) => 255 - index)
      const plain = yield* vaultWith(`k:${bytes.toBase64()}`)
      const sealed = plain.seal("o", "text")
      for (
        const keys of [
          ` k:${bytes.toBase64()} `,
          `k:${bytes.toBase64({ omitPadding: true })}\n`,
          `k:${bytes.toBase64({ alphabet: "base64url" })}`,
          `k:${bytes.toBase64({ alphabet: "base64url", omitPadding: true })}`,
        ]
      ) assert.strictEqual(yield* open(yield* vaultWith(keys), "o", sealed), "text")
    }))

  const wrong: ReadonlyArray<readonly [why: string, keys: string | undefined]> = [
    ["none is set", undefined],
    ["it has no id", key("a")],
    ["its id is empty", `:${key("a")}`],
    ["its id holds a blank", `k 1:${key("a")}`],
    ["it is too short", `k1:${btoa("a".repeat(31))}`],
    ["it is too long", `k1:${btoa("a".repeat(33))}`],
    ["it is no base64", `k1:${"*".repeat(43)}=`],
    ["one of several is wrong", `k1:${key("a")},k2`],
    ["a comma is left over", `k1:${key("a")},`],
    ["an id comes twice", `k1:${key("a")},k1:${key("b")}`],
  ]
  for (const [why, keys] of wrong) {
    it.effect(`refuses to start, and says how to make a key, where ${why}`, () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(build(keys))
        assert.instanceOf(error, SettingsError)
        assert.strictEqual(error.variable, "MAILFLEET_ENCRYPTION_KEYS")
        assert.match(error.message, /^MAILFLEET_ENCRYPTION_KEYS .*openssl rand -base64 32.*$/)
        assert.notInclude(error.message, key("a"))
      }))
  }
})
