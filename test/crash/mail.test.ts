/** Syncs whose process is killed at any instant: the store ends in step with the mailboxes, and the log says so once. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Change } from "../../src/domain/Mail.ts"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import { usableEngines } from "../support/databases.ts"
import {
  ended,
  eventually,
  found,
  install,
  type Installation,
  leasesEnd,
  runOf,
  serveSimulator,
  type Service,
  startOverAll,
  upload,
} from "../support/processes.ts"

const mailboxes = 5
const messages = 400

const addresses = Array.from({ length: mailboxes }, (_, n) => `sim${String(n + 1).padStart(5, "0")}@sim.example`)

/** What people do to their mail while nobody looks. */
const stir = (simulator: Simulator, round: number) => {
  for (const email of addresses) {
    const { messages } = simulator.mailbox(email)
    simulator.deliver(email, { count: 3, subject: `Round ${round}` })
    simulator.moveMessage(email, found(messages[round * 7]).id, "archive")
    simulator.removeMessage(email, found(messages[round * 7 + 1]).id)
    simulator.editMessage(email, found(messages[round * 7 + 2]).id, { isRead: round % 2 === 0 })
  }
}

const Log = Schema.Struct({ items: Schema.Array(Change), nextCursor: Schema.String })

/** The whole change log. */
const logOf = Effect.fnUntraced(function* (service: Service) {
  const changes: Array<Change> = []
  for (let after = "";;) {
    const page: typeof Log.Type = yield* service.call(
      Log,
      `/v1/changes?limit=500${after === "" ? "" : `&after=${after}`}`,
    )
    if (page.items.length === 0) return changes
    changes.push(...page.items)
    after = page.nextCursor
  }
})

interface Stored {
  readonly id: string
  readonly email: string
  readonly message: string
  readonly folder: string
  readonly subject: string
  readonly read: boolean
}

const storeOf = (installation: Installation) =>
  installation.query((sql, table) =>
    sql<Stored>`select m.id, a.email, m.remote_id as message, f.remote_id as folder, m.subject, m.is_read as read
      from ${table("messages")} m join ${table("accounts")} a on a.id = m.account_id
      join ${table("folders")} f on f.account_id = m.account_id and f.id = m.folder_id`
  )

const line = ({ email, folder, message, read, subject }: Omit<Stored, "id">) =>
  [email, message, folder, subject, read].join(" ")

const proof = Effect.fnUntraced(function* (installation: Installation, simulator: Simulator) {
  let service = yield* installation.start()
  const imported = yield* upload(service, [...simulator.importLines()].join(""))
  assert.deepInclude(yield* ended(service, imported.id), { state: "completed", succeeded: mailboxes })

  // The first two kills fall into the backfill, the others into rounds over what changed.
  let run = yield* startOverAll(service, "sync")
  for (const [round, requests] of [12, 20, 8, 30].entries()) {
    if (round === 2) {
      yield* ended(service, run.id)
      stir(simulator, 10)
      simulator.resetCounters()
      run = yield* startOverAll(service, "sync")
    }
    yield* eventually(
      "the sync is under way",
      Effect.sync(() => simulator.counters().graph.requests),
      (seen) => seen >= requests,
    )
    assert.notStrictEqual((yield* runOf(service, run.id)).state, "completed", "killed too late")
    yield* service.kill
    yield* installation.query(leasesEnd)
    assert.deepStrictEqual(simulator.counters().violations, {})
    simulator.resetCounters()
    stir(simulator, round)
    service = yield* installation.start()
  }
  assert.deepInclude(yield* ended(service, run.id), { state: "completed", succeeded: mailboxes, processed: mailboxes })
  const last = yield* startOverAll(service, "sync")
  assert.deepInclude(yield* ended(service, last.id), { state: "completed", succeeded: mailboxes })
  assert.deepStrictEqual(simulator.counters().violations, {})

  const log = yield* logOf(service)
  assert.strictEqual(yield* service.stop, 0)
  const store = yield* storeOf(installation)
  const expected = addresses.flatMap((email) =>
    simulator.mailbox(email).messages.map(({ folderId, id, isRead, subject }) =>
      line({ email, message: id, folder: folderId, subject, read: isRead })
    )
  )
  assert.deepStrictEqual(store.map(line).sort(), expected.sort())

  const idsOf = (kind: Change["kind"]) => log.filter((change) => change.kind === kind).map((change) => change.messageId)
  const created = idsOf("message.created")
  const deleted = idsOf("message.deleted")
  assert.strictEqual(new Set(created).size, created.length, "a message was created twice")
  assert.strictEqual(new Set(deleted).size, deleted.length, "a message was deleted twice")
  assert.strictEqual(new Set(log.map(({ position }) => position)).size, log.length)
  const gone = new Set(deleted)
  assert.sameMembers(created.filter((id) => !gone.has(id)), store.map(({ id }) => id))
})

const engines = await usableEngines

describe("a killed sync", () => {
  for (const engine of engines) {
    it.live(`misses nothing and repeats nothing (${engine})`, () =>
      Effect.gen(function* () {
        const simulator = yield* make({ accounts: mailboxes, messages, latency: "40 millis" })
        const installation = yield* install(engine, yield* serveSimulator(simulator), { MAILFLEET_SCHEDULES: "off" })
        yield* proof(installation, simulator)
      }), { concurrent: true, timeout: 240_000 })
  }
})
