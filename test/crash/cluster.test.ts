/** Two processes of one cluster: whichever is asked, and whichever of them dies. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { Message } from "../../src/domain/Mail.ts"
import { Run } from "../../src/domain/Run.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import {
  all,
  ended,
  eventually,
  found,
  install,
  runToEnd,
  serveSimulator,
  type Service,
  startCluster,
  startOverAll,
  upload,
} from "../support/processes.ts"

const usable = (await usableEngines).includes("postgres")

/** What one does for all, as its log says. */
const worksOf = ({ output }: Service) => Array.from(output().matchAll(/work="?([a-z ]+[a-z])/g), ([, work]) => work!)

/** The first pieces of a run's events, and how to read on to the end. */
const watch = Effect.fnUntraced(function* (service: Service, id: string, adminKey: string) {
  const response = yield* Effect.promise(() =>
    fetch(`${service.url}/v1/runs/${id}/events`, { headers: { authorization: `Bearer ${adminKey}` } })
  )
  let text = ""
  const read = response.body!.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({ write: (piece) => void (text += piece) }),
  )
  return { text: () => text, end: Effect.promise(() => read) }
})

const refreshOf = (service: Service, accountIds: ReadonlyArray<string>) =>
  service.call(Run, "/v1/refreshes", {
    method: "POST",
    status: 202,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ accountIds }),
  })

describe("A cluster of two", () => {
  it.live.skipIf(!usable)("is one fleet", () =>
    Effect.gen(function* () {
      const accounts = 24
      const simulator = yield* make({ accounts, messages: 4, mode: "strict", latency: "50 millis" })
      const installation = yield* install("postgres", yield* serveSimulator(simulator), {
        MAILFLEET_SYNC_SPACING: "0 seconds",
        MAILFLEET_SYNC_EVERY: "1 hour",
      })
      const [a, b] = yield* startCluster(installation, [{}, {}])
      assert.isDefined(a)
      assert.isDefined(b)
      const email = "sim00001@sim.example"
      simulator.deliver(email, {
        subject: "with a file",
        attachments: [{ kind: "file", name: "a.txt", contentType: "text/plain", content: "hello" }],
      })
      yield* ended(b, (yield* upload(a, [...simulator.importLines()].join(""))).id)
      yield* ended(a, (yield* startOverAll(b, "sync")).id)

      // A run that one was asked for is watched and cancelled through the other, whichever works on it.
      simulator.configure({ latency: 1_000 })
      const run = yield* startOverAll(a, "refresh")
      const views = yield* Effect.forEach([a, b], (service) => watch(service, run.id, installation.adminKey))
      for (const view of views) {
        yield* eventually("progress is told", Effect.sync(view.text), (text) => text.includes('"running"'))
      }
      yield* b.call(Run, `/v1/runs/${run.id}/cancel`, { method: "POST", status: 202 })
      for (const view of views) {
        yield* view.end
        assert.include(view.text(), '"cancelled"')
      }

      // Both are asked to refresh the same account at once: one redeems.
      const fleet = yield* all(a, Account, "/v1/accounts")
      const { id } = found(fleet.find((account) => account.email === email))
      simulator.resetCounters()
      const runs = yield* Effect.forEach([a, b], (service) => refreshOf(service, [id]), { concurrency: 2 })
      for (const { id } of runs) assert.strictEqual((yield* ended(a, id)).succeeded, 1)
      assert.strictEqual(simulator.counters().redemptions, 1)

      // Both read the same mailbox: four at a time, as if they were one.
      simulator.configure({ latency: 200 })
      const messages = yield* all(a, Message, `/v1/accounts/${id}/messages`)
      const message = found(messages.find(({ subject }) => subject === "with a file"))
      const path = `/v1/messages/${message.id}/attachments/${message.attachments[0]!.id}`
      simulator.resetCounters()
      const downloads = yield* Effect.forEach(
        Array.from({ length: 16 }, (_, n) => n % 2 === 0 ? a : b),
        (service) => service.send(path),
        { concurrency: "unbounded" },
      )
      assert.deepStrictEqual(downloads.map(({ status, text }) => `${status} ${text}`), Array(16).fill("200 hello"))
      assert.strictEqual(simulator.counters().mailboxes.peak, 4)

      // A pause that one of them was asked for holds for the other.
      simulator.configure({ latency: 20, retryAfter: 3_000 })
      simulator.script({ endpoint: "token", answers: [{ fault: "throttled" }] })
      yield* refreshOf(a, [id])
      yield* Effect.sleep("1 second")
      simulator.resetCounters()
      const paused = yield* startOverAll(b, "refresh")
      yield* ended(a, paused.id)
      assert.deepStrictEqual(simulator.violations().list, [])

      // What one does for all, the other takes up once that one is killed.
      const works = ["erasing", "grants that end", "housekeeping", "mail keeping", "mail retention"]
      // One may have moved when the second process came.
      assert.sameMembers([...new Set([...worksOf(a), ...worksOf(b)])], works)
      const before = worksOf(a)
      const killedAt = Date.now()
      yield* b.kill
      yield* eventually(
        "the works are taken over",
        Effect.sync(() => worksOf(a)),
        (now) => new Set(now).size >= works.length,
      )
      assert.sameMembers([...new Set([...before, ...worksOf(a)])], works)
      assert.isBelow(Date.now() - killedAt, 60_000)
      yield* eventually(
        "the one that was killed is no member any more",
        a.call(Schema.Struct({ members: Schema.Int }), "/health/ready"),
        ({ members }) => members === 1,
      )
      assert.strictEqual(yield* a.stop, 0)
    }), { timeout: 180_000 })

  it.live("needs a database that bears several", () =>
    Effect.gen(function* () {
      const { code, output } = yield* runToEnd(["serve"], { MAILFLEET_CLUSTER: "on" })
      assert.strictEqual(code, 2)
      assert.include(output, "MAILFLEET_CLUSTER must be off without DATABASE_URL")
    }), { timeout: 60_000 })
})
