/** The suite of `conformance.ts` over the channels that the simulator speaks; `conformanceImap.test.ts` is the third. */
import { syncingOver } from "../support/remoteMail.ts"
import { simulatedRemote } from "../support/remoteSimulated.ts"
import { conformance } from "./conformance.ts"

const simulated = { messages: 40, oddPages: 0.2 }

await conformance("Graph", syncingOver(simulatedRemote("graph", simulated)))
await conformance("Gmail", syncingOver(simulatedRemote("gmail", simulated)))
