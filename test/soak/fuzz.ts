/**
 * What others send, made by chance for as long as there is time: parsers, the API, and providers that misbehave. Prints inputs,
 * seconds and what was found, and exits with 1 where anything was.
 *
 * `deno task soak:fuzz [--minutes 12] [--seed 1] [--only parsers,api,provider] [--engine postgres]`
 */
import { Effect } from "effect"
import { parseArgs } from "node:util"
import { fuzzApi } from "../fuzz/ApiFuzz.ts"
import { startFleet } from "../fuzz/fleet.ts"
import { fuzzParser } from "../fuzz/ParserFuzz.ts"
import { parsers } from "../fuzz/Parsers.ts"
import { fuzzProvider } from "../fuzz/ProviderFuzz.ts"

const { values } = parseArgs({
  args: Deno.args,
  options: {
    minutes: { type: "string", default: "12" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    only: { type: "string", default: "parsers,api,provider" },
    engine: { type: "string", default: "postgres" },
  },
})
const seed = Number(values.seed)
const parts = values.only.split(",")
const millis = Number(values.minutes) * 60_000 / parts.length
const engine = values.engine === "embedded" ? "embedded" : "postgres"
let found = 0

const row = (what: string, inputs: number, begun: number, findings: number) => {
  found += findings
  console.log(
    `${what.padEnd(34)} ${String(inputs).padStart(9)} inputs ${
      ((Date.now() - begun) / 1_000).toFixed(1).padStart(7)
    } s  ${findings} found`,
  )
}

console.log(`seed ${seed}`)
if (parts.includes("parsers")) {
  for (const parser of parsers) {
    const begun = Date.now()
    const { findings, inputs } = await fuzzParser(parser, { seed, inputs: 1e9, millis: millis / parsers.length })
    row(parser.name, inputs, begun, findings.length)
    for (const finding of findings) console.log(finding)
  }
}

const residentMiB = (pid: number) =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0) / 1_024)

if (parts.includes("api")) {
  await Effect.runPromise(Effect.scoped(Effect.gen(function* () {
    const { keys, service } = yield* startFleet(engine)
    const sizes: Array<number> = []
    const end = Date.now() + millis
    for (let turn = 0; Date.now() < end; turn++) {
      const begun = Date.now()
      const { byStatus, findings, requests, unreached } = yield* fuzzApi(
        { origin: service.url, keys },
        { seed: seed + turn, requests: 4_000, lanes: 4 },
      )
      row(`API, turn ${turn}`, requests, begun, findings.length)
      sizes.push(residentMiB(service.pid))
      console.log(
        `  ${[...byStatus].sort(([a], [b]) => a - b).map(([status, count]) => `${status}: ${count}`).join(", ")}`,
      )
      console.log(`  ${unreached.length} operations never succeeded; ${sizes.at(-1)} MiB`)
      for (const finding of findings) console.log(finding)
    }
    const faults = service.output().split("\n").filter((line) => /a request failed|does not fit|CANARY/.test(line))
    found += faults.length
    for (const fault of faults.slice(0, 20)) console.log(fault.slice(0, 2_000))
    console.log(`  memory: ${sizes.join(", ")} MiB`)
  })))
}

if (parts.includes("provider")) {
  const begun = Date.now()
  const fuzzed = await Effect.runPromise(fuzzProvider(engine, { seed, accounts: 40, millis }))
  const findings = fuzzed.dead.length + fuzzed.lured + fuzzed.secrets + fuzzed.notBack.length + fuzzed.defects.length
  row("providers that misbehave", fuzzed.answers, begun, findings)
  console.log({ ...fuzzed, defects: fuzzed.defects.slice(0, 10).map((line) => line.slice(0, 6_000)) })
}
Deno.exit(found === 0 ? 0 : 1)
