import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { serve } from "../../support/simulator.ts"
import { failure, refused, scripted } from "./scriptedGraph.ts"

describe("Graph", () => {
  it.live("replays links to the letter and sends its preferences on every call", () =>
    Effect.gen(function* () {
      // Escapes that a client which parses and rebuilds the URL would change.
      const odd = "/v1.0/me/mailFolders('A%2FB')/messages/delta?$skiptoken=a+b%20c%2b&$skiptoken=~!(d)"
      const box = yield* scripted((_request, origin, count) =>
        Response.json({
          value: [],
          ...(count === 1
            ? { "@odata.nextLink": origin + odd }
            : { "@odata.deltaLink": `${origin}/v1.0/x?$deltatoken=1` }),
        })
      )
      const first = yield* box.mailbox.page("A/B==", null)
      assert.deepStrictEqual([first.roundComplete, first.cursor, first.changes], [false, box.origin + odd, []])
      const second = yield* box.mailbox.page("A/B==", first.cursor)
      assert.strictEqual(second.roundComplete, true)
      assert.include(box.asked[0]!.url, "/v1.0/me/mailFolders/A%2FB%3D%3D/messages/delta?$select=subject,")
      assert.include(box.asked[0]!.url, "&$orderby=receivedDateTime%20desc")
      assert.strictEqual(box.asked[1]!.url, box.origin + odd)
      for (const { prefer } of box.asked) assert.strictEqual(prefer, 'IdType="ImmutableId", odata.maxpagesize=200')
    }))

  it.live("sends its token nowhere else, be it by a link or by a redirect", () =>
    Effect.gen(function* () {
      let strayed = 0
      const elsewhere = yield* serve(() => {
        strayed++
        return Response.json({ value: [] })
      })
      const box = yield* scripted(() =>
        new Response(null, { status: 302, headers: { location: `${elsewhere}/v1.0/x` } })
      )
      assert.strictEqual(yield* failure(box.mailbox.page("A", `${elsewhere}/v1.0/me?$deltatoken=1`)), "CursorLost")
      assert.strictEqual(yield* failure(box.mailbox.page("A", "not a url")), "CursorLost")
      assert.strictEqual(box.asked.length, 0)
      assert.strictEqual(yield* failure(box.mailbox.page("A", null)), "unknown")
      // Nor is such a link kept as a cursor.
      const luring = yield* scripted(() => Response.json({ value: [], "@odata.deltaLink": `${elsewhere}/v1.0/x` }))
      assert.strictEqual(yield* failure(luring.mailbox.page("A", null)), "unknown")
      assert.strictEqual(strayed, 0)
    }))

  it.live("asks for one new token when several requests are refused at once, and only once", () =>
    Effect.gen(function* () {
      const box = yield* scripted((request) =>
        request.headers.get("authorization") === "Bearer token 2"
          ? Response.json({ value: [], "@odata.deltaLink": new URL("/v1.0/x", request.url).href })
          : refused(401, "InvalidAuthenticationToken")
      )
      yield* Effect.forEach(["A", "B", "C", "D"], (id) => box.mailbox.page(id, null), { concurrency: 4 })
      assert.strictEqual(box.issued(), 2)
      assert.strictEqual(box.asked.length, 8)

      const hopeless = yield* scripted(() => refused(401, "InvalidAuthenticationToken"))
      assert.strictEqual(yield* failure(hopeless.mailbox.page("A", null)), "unknown")
      assert.deepStrictEqual(hopeless.asked.map(({ token }) => token), ["Bearer token 1", "Bearer token 2"])

      const challenged = yield* scripted(() => refused(401, "", { "www-authenticate": 'Bearer claims="e30="' }))
      assert.strictEqual(yield* failure(challenged.mailbox.page("A", null)), "needs_user")
      assert.strictEqual(challenged.issued(), 1)
    }))

  it.live("tells a lost cursor and a folder that is gone from other failures", () =>
    Effect.gen(function* () {
      const outcomes = [
        [refused(410, "syncStateNotFound", { location: "https://elsewhere.example" }), "CursorLost"],
        [refused(400, "SyncStateInvalid"), "CursorLost"],
        [refused(404, "ErrorItemNotFound"), "FolderGone"],
        [new Response("no such page", { status: 404 }), "unknown"],
        [refused(404, "MailboxNotEnabledForRESTAPI"), "blocked"],
        [refused(403, "ErrorAccessDenied"), "scope"],
        [Response.json({ value: [] }), "unknown"],
        [Response.json({ value: [{ subject: "no id" }], "@odata.deltaLink": "x" }), "unknown"],
        [new Response("<html>", { status: 200 }), "unknown"],
      ] as const
      const box = yield* scripted((_request, _origin, count) => outcomes[count - 1]![0])
      for (const [, expected] of outcomes) assert.strictEqual(yield* failure(box.mailbox.page("A", null)), expected)
      assert.strictEqual(box.asked.length, outcomes.length)
    }))

  it.live("waits out a pause once for all requests of the mailbox", () =>
    Effect.gen(function* () {
      const times: Array<number> = []
      const box = yield* scripted((request, _origin, count) => {
        times.push(performance.now())
        return count === 1
          ? new Response("Too many requests", { status: 429, headers: { "retry-after": "0.3" } })
          : Response.json({ value: [], "@odata.deltaLink": new URL("/v1.0/x", request.url).href })
      })
      const one = yield* Effect.forkChild(box.mailbox.page("A", null))
      yield* Effect.sleep(100)
      yield* box.mailbox.page("B", null)
      yield* Fiber.join(one)
      assert.isAtLeast(times[1]! - times[0]!, 295)
      assert.isAtLeast(times[2]! - times[0]!, 295)
    }))

  it.live("finds nested folders on many pages, roles by well-known name, and asks for known roles no more", () =>
    Effect.gen(function* () {
      const folder = (id: string, more: object = {}) => ({
        id,
        displayName: id,
        parentFolderId: "root",
        childFolderCount: 0,
        totalItemCount: 3,
        ...more,
      })
      const box = yield* scripted((request, origin) => {
        const { pathname, searchParams } = new URL(request.url)
        const children = /mailFolders\/(\w+)\/childFolders$/.exec(pathname)?.[1]
        if (children === "I") {
          return Response.json({ value: [folder("N", { parentFolderId: "I", childFolderCount: 1 })] })
        }
        if (children === "N") return refused(404, "ErrorItemNotFound")
        if (pathname.endsWith("/mailFolders")) {
          return searchParams.has("$skip")
            ? Response.json({
              value: [
                folder("S"),
                folder("V", { "@odata.type": "#microsoft.graph.mailSearchFolder", childFolderCount: 2 }),
              ],
            })
            : Response.json({
              value: [folder("I", { childFolderCount: 1 })],
              "@odata.nextLink": `${origin}/v1.0/me/mailFolders?$skip=1`,
            })
        }
        const id = { inbox: "I", sentitems: "S" }[pathname.split("/").pop()!]
        return id === undefined ? refused(404, "ErrorItemNotFound") : Response.json({ id })
      })
      const found = yield* box.mailbox.folders([])
      assert.deepStrictEqual(found, [
        { remoteId: "I", parentRemoteId: "root", displayName: "I", role: "inbox", totalItems: 3 },
        { remoteId: "S", parentRemoteId: "root", displayName: "S", role: "sent", totalItems: 3 },
        { remoteId: "N", parentRemoteId: "I", displayName: "N", role: null, totalItems: 3 },
      ])
      assert.include(box.asked[0]!.url, "includeHiddenFolders=true")
      const before = box.asked.length
      assert.strictEqual(before, 4 + 6)
      assert.deepStrictEqual(yield* box.mailbox.folders(found.map((folder) => ({ ...folder, cursor: null }))), found)
      assert.strictEqual(box.asked.length - before, 4)
      // A folder that nobody knew: whichever roles are still open may be its.
      assert.deepStrictEqual(
        yield* box.mailbox.folders(found.slice(0, 2).map((folder) => ({ ...folder, cursor: null }))),
        found,
      )
      assert.strictEqual(box.asked.length - before, 4 + 4 + 4)
    }))
})
