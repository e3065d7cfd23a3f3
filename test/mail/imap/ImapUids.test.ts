import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { remoteIdOf, uidOf, uidSets } from "../../../src/mail/imap/ImapUids.ts"

const expand = (set: string): ReadonlyArray<number> =>
  set.split(",").flatMap((part) => {
    const [from, to = from] = part.split(":").map(Number)
    return Array.from({ length: to! - from! + 1 }, (_, n) => from! + n)
  })

const Uid = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4_294_967_295 }))
const Near = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 2_000 }))

describe("Sets of UIDs", () => {
  it.prop(
    "hold what they were made of, ascending and each once",
    [Schema.Array(Near), Schema.Array(Uid)],
    ([near, far]) => {
      const uids = [...near, ...far]
      const sets = uidSets(uids)
      assert.deepStrictEqual(sets.flatMap(expand), [...new Set(uids)].sort((a, b) => a - b))
    },
  )

  it("share ranges, and are no longer than a line may be", () => {
    assert.deepStrictEqual(uidSets([3, 1, 2, 7, 7]), ["1:3,7"])
    assert.deepStrictEqual(uidSets([]), [])
    const sets = uidSets(Array.from({ length: 2_000 }, (_, n) => 4_000_000_000 + 2 * n))
    assert.strictEqual(sets.length, 4)
    for (const set of sets) assert.isBelow(set.length, 6_000)
  })
})

describe("The name of a message", () => {
  it.prop("tells its UID in the count that it belongs to", [Schema.String, Uid, Uid], ([key, uid, uidValidity]) => {
    const name = remoteIdOf({ key, uidValidity: String(uidValidity) }, uid)
    assert.strictEqual(uidOf(name, String(uidValidity)), uid)
    assert.isUndefined(uidOf(name, String(uidValidity + 1)))
  })

  it("is none of another channel", () => {
    for (const id of ["", "AAMkAGI2", "18c2f3", "INBOX/1", "INBOX/1.x", "INBOX.1.2"]) assert.isUndefined(uidOf(id, "1"))
  })
})
