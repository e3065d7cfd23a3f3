/** Where the equality test is played: a provider for each channel. */
import { Effect } from "effect"
import { make } from "../../src/simulator/Simulator.ts"
import { serveSimulator } from "../support/processes.ts"
import { addressOf, simulatedBox } from "../support/remoteSimulated.ts"
import type { EqualityOptions } from "./equality.ts"

type StageOf = EqualityOptions["stage"]

const graph: StageOf = (mailboxes) =>
  Effect.gen(function* () {
    const simulator = yield* make({ accounts: mailboxes, messages: 100, oddPages: 0.1 })
    return {
      settings: {},
      origin: yield* serveSimulator(simulator),
      file: [...simulator.importLines()].join(""),
      boxes: Array.from({ length: mailboxes }, (_, n) => simulatedBox(simulator, addressOf(n + 1, "graph"), "graph")),
    }
  })

export const stages = { graph } satisfies Record<string, StageOf>
