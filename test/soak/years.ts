/**
 * Years in minutes: a fleet whose grants are refreshed and whose mailboxes are synced every few seconds, while mail comes,
 * moves and goes, runs are started, and old mail is past its retention. Prints memory, handles and connections at each step, and
 * exits with 1 where the second half needs more of any than the first.
 *
 * `deno task soak:years [--minutes 10] [--accounts 60] [--engine postgres]`
 */
import { Duration, Effect, Fiber } from "effect"
import { parseArgs } from "node:util"
import { make } from "../../src/simulator/Simulator.ts"
import { ended, install, serveSimulator, startOverAll, upload } from "../support/processes.ts"
import { addressOf, simulatedBox } from "../support/remoteSimulated.ts"

const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "10" },
    accounts: { type: "string", default: "60" },
    engine: { type: "string", default: "postgres" },
  },
})
const minutes = Number(values.minutes)
const accounts = Number(values.accounts)
const steps = 20
/** Of the first half's most: what a garbage collector may leave for later. */
const slack = 1.15

interface Step {
  readonly residentMiB: number
  readonly handles: number
  readonly sockets: number
}

const stepOf = (pid: number): Step => {
  const links = [...Deno.readDirSync(`/proc/${pid}/fd`)].map(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/${pid}/fd/${name}`)
    } catch {
      // It was closed meanwhile.
      return ""
    }
  })
  const resident = Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0)
  return {
    residentMiB: Math.round(resident / 1_024),
    handles: links.length,
    sockets: links.filter((link) => link.startsWith("socket:")).length,
  }
}

const most = (list: ReadonlyArray<number>) => Math.max(...list)

const years = Effect.gen(function* () {
  const simulator = yield* make({ accounts, messages: 30, oddPages: 0.1 })
  const origin = yield* serveSimulator(simulator)
  const installation = yield* install(values.engine === "embedded" ? "embedded" : "postgres", origin, {
    MAILFLEET_REFRESH_EVERY: "4 seconds",
    MAILFLEET_SYNC_EVERY: "4 seconds",
    MAILFLEET_SYNC_SPACING: "0 seconds",
    MAILFLEET_RECONCILE_EVERY: "30 seconds",
    MAILFLEET_MAIL_RETENTION_DAYS: "365",
  })
  const service = yield* installation.start()
  const { id } = yield* upload(service, [...simulator.importLines()].join(""), { "content-type": "text/plain" })
  yield* ended(service, id)

  let changes = 0
  const boxes = Array.from({ length: accounts }, (_, n) => simulatedBox(simulator, addressOf(n + 1, "graph"), "graph"))
  const life = Effect.gen(function* () {
    for (let turn = 0;; turn++) {
      const box = boxes[turn % boxes.length]!
      // As many go as come: only time grows.
      const letters = yield* box.mail
      yield* box.deliver({ subject: `letter ${turn}` })
      if (letters.length > 0) yield* box.remove(letters[turn % letters.length]!)
      changes++
      if (turn % 400 === 0) yield* startOverAll(service, "refresh")
      for (const path of ["/v1/accounts?limit=20", "/v1/messages?limit=20", "/v1/changes?limit=20", "/v1/stats"]) {
        if (turn % 10 === 0) yield* service.send(path)
      }
      yield* Effect.sleep("30 millis")
    }
  })
  const living = yield* Effect.forkChild(life)
  const seen: Array<Step> = []
  const begun = Date.now()
  for (let number = 1; number <= steps; number++) {
    yield* Effect.sleep(Duration.millis(minutes * 60_000 / steps))
    const step = stepOf(service.pid)
    seen.push(step)
    const { redemptions } = simulator.counters()
    console.log(
      `${
        Math.round((Date.now() - begun) / 1_000)
      } s: ${step.residentMiB} MiB, ${step.handles} handles, ${step.sockets} sockets; ` +
        `${redemptions} refreshes (${Math.round(redemptions / accounts)} days of each account), ${changes} letters`,
    )
  }
  yield* Fiber.interrupt(living)
  const code = yield* service.stop
  const [early, late] = [seen.slice(1, steps / 2), seen.slice(steps / 2)]
  const grown = (["residentMiB", "handles", "sockets"] as const).filter((name) =>
    most(late.map((step) => step[name])) > most(early.map((step) => step[name])) * slack
  )
  const faults = service.output().split("\n").filter((line) => /level=(?:ERROR|FATAL)/.test(line))
  for (const fault of faults.slice(0, 10)) console.log(fault.slice(0, 600))
  console.log(
    grown.length === 0 ? "flat" : `grown: ${grown.join(", ")}`,
    `exit code ${code}, ${faults.length} faults logged`,
  )
  return grown.length === 0 && faults.length === 0
}).pipe(Effect.scoped)

Deno.exit(await Effect.runPromise(years) ? 0 : 1)
