/** `audit list` and `audit verify` at a real server, whose database somebody else writes to as well. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { usableEngines } from "../support/databases.ts"
import { install, runToEnd } from "../support/processes.ts"

// The embedded database is the server's alone: nobody writes to it beside.
describe.runIf((await usableEngines).includes("postgres"))("mailfleet audit", () => {
  it.live("lists who did what, and finds what was done to the log", () =>
    Effect.gen(function* () {
      const installation = yield* install("postgres", "http://127.0.0.1:9", { MAILFLEET_SCHEDULES: "off" })
      const service = yield* installation.start()
      const audit = (...args: ReadonlyArray<string>) =>
        runToEnd(["audit", ...args], { MAILFLEET_URL: service.url, MAILFLEET_API_KEY: installation.adminKey })
      const tampering = (statement: string) => installation.query((sql) => Effect.orDie(sql.unsafe(statement)))
      const log = `${installation.schema}.audit`

      const empty = yield* audit("list")
      assert.deepStrictEqual([empty.code, empty.output.trim()], [0, "no entries"])
      for (const tag of ["one", "two", "three", "four"]) {
        const init = { method: "PUT", body: `{"policy":"warm"}`, headers: { "content-type": "application/json" } }
        yield* service.send(`/v1/tag-policies/${tag}`, init)
      }
      const list = yield* audit("list", "--limit", "3")
      assert.strictEqual(list.code, 0, list.output)
      const [header, ...rows] = list.output.trim().split("\n")
      assert.match(header!, /^WHEN +WHO +WHAT +OUTCOME +ACCOUNT +OBJECT$/)
      assert.lengthOf(rows.filter((row) => /ago +admin +policies\.set .*ok/.test(row)), 3)
      assert.include(list.output, "these are the first 3; for more: --limit")
      const { items } = JSON.parse((yield* audit("list", "--json")).output) as {
        readonly items: ReadonlyArray<unknown>
      }
      assert.lengthOf(items, 4)

      const whole = yield* audit("verify")
      assert.strictEqual(whole.code, 0, whole.output)
      assert.match(whole.output, /^4 entries in order, after 0:[0-9a-f]{64}$/m)
      const [, head = ""] = /^head (4:[0-9a-f]{64})$/m.exec(whole.output)!
      const noted = yield* audit("verify", "--head", head)
      assert.deepStrictEqual([noted.code, noted.output.includes("the head that was noted is among them")], [0, true])
      const wrong = yield* audit("verify", "--head", "4")
      assert.deepStrictEqual([wrong.code, wrong.output.includes("POSITION:HASH, as verify prints it")], [2, true])

      yield* tampering(`create table ${log}_before as select * from ${log}`)
      const found: Array<readonly [code: number, line: string | undefined]> = []
      for (
        const [statement, ...args] of [
          [`update ${log} set actor = 'nobody' where id = 2`],
          [`delete from ${log} where id = 3`],
          // The end that is cut off leaves a chain in order: only the head that was noted tells.
          [`delete from ${log} where id = 4`],
          [`delete from ${log} where id = 4`, "--head", head],
        ] as const
      ) {
        yield* tampering(statement)
        const { code, output } = yield* audit("verify", ...args)
        found.push([code, /^BROKEN .*$/m.exec(output)?.[0]])
        yield* tampering(`delete from ${log}`)
        yield* tampering(`insert into ${log} select * from ${log}_before`)
      }
      assert.deepStrictEqual(found.map(([code]) => code), [1, 1, 0, 1])
      assert.match(found[0]![1]!, /^BROKEN at position 2 \(changed\): the entry is not the one that was written/)
      assert.match(found[1]![1]!, /^BROKEN at position 3 \(missing\): an entry is missing: 4 follows 2$/)
      assert.match(found[3]![1]!, /^BROKEN at position 4 \(truncated\): /)

      yield* tampering(`update ${log} set outcome = 'refused' where id = 1`)
      const json = yield* audit("verify", "--json")
      assert.strictEqual(json.code, 1)
      assert.deepInclude(JSON.parse(json.output).fault, { position: "1", code: "changed" })
      assert.strictEqual((yield* audit("verify")).code, 1)
    }).pipe(Effect.scoped), 180_000)
})
