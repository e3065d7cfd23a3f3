import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { ClaimsInHand } from "../../src/schedules/InHand.ts"
import type { DueGrant } from "../../src/storage/grants/DueGrants.ts"

const claims = (count: number, clientId: string, tenant = "common"): ReadonlyArray<DueGrant> =>
  Array.from({ length: count }, () => ({
    grantId: newId(),
    until: new Date(0),
    resource: "graph",
    app: { provider: "microsoft", clientId, tenant },
  }))

const client = (clientId: string, count: number, most: number | null) => ({
  provider: "microsoft",
  clientId,
  count,
  most,
})

const shown = (inHand: ClaimsInHand, limits: Parameters<ClaimsInHand["ofClients"]>[0] = []) =>
  inHand.ofClients(limits).map(({ clientId, count, most }) => client(clientId, count, most))

describe("Claims in hand", () => {
  it("are counted by client, over its tenants", () => {
    const inHand = new ClaimsInHand()
    const [some, others] = [claims(3, "one"), claims(2, "one", "contoso.com")]
    inHand.add([...some, ...others, ...claims(1, "two")])
    assert.deepStrictEqual(shown(inHand), [client("one", 5, null), client("two", 1, null)])
    for (const claim of [...some, ...others, some[0]!]) inHand.done(claim)
    assert.deepStrictEqual(shown(inHand), [client("two", 1, null)])
    assert.strictEqual(inHand.takeAll().length, 1)
    assert.deepStrictEqual(shown(inHand), [])
  })

  it("are at most twice what a client is let do at once", () => {
    const inHand = new ClaimsInHand()
    inHand.add(claims(3, "one"))
    const limits = ["one", "three"].map((clientId) => ({ provider: "microsoft", clientId, limit: 7 }))
    assert.deepStrictEqual(shown(inHand, limits), [client("one", 3, 14), client("three", 0, 14)])
    assert.deepStrictEqual(shown(inHand), [client("one", 3, null)])
  })

  it.effect("there is room again once a quarter of what a full client has is done", () =>
    Effect.gen(function* () {
      const inHand = new ClaimsInHand()
      const limits = [{ provider: "microsoft", clientId: "one", limit: 4 }]
      const [few, more] = [claims(2, "one"), claims(6, "one")]
      const isRoom = Effect.gen(function* () {
        const fiber = yield* Effect.forkChild(inHand.room)
        yield* Effect.yieldNow
        const ended = fiber.pollUnsafe() !== undefined
        yield* Fiber.interrupt(fiber)
        return ended
      })
      inHand.ofClients(limits)
      inHand.add(few)
      inHand.done(few[0]!)
      assert.isFalse(yield* isRoom, "it never was full")
      inHand.ofClients(limits)
      inHand.add([...more, ...claims(1, "one")])
      inHand.done(more[0]!)
      assert.isFalse(yield* isRoom)
      inHand.done(more[1]!)
      assert.isTrue(yield* isRoom)
      inHand.ofClients(limits)
      inHand.add([])
      assert.isFalse(yield* isRoom)
    }))
})
