/** The suite of `conformance.ts` over each channel, and over IMAP in the disguise of servers that can do less. */
import { describe, it } from "@effect/vitest"
import { hasDovecot } from "../support/dovecot.ts"
import { gmailLacks, outlookLacks } from "../support/imapProxy.ts"
import { imapRemote } from "../support/remoteImap.ts"
import { syncingOver } from "../support/remoteMail.ts"
import { simulatedRemote } from "../support/remoteSimulated.ts"
import { conformance } from "./conformance.ts"

const simulated = { messages: 40, oddPages: 0.2 }

await conformance("Graph", syncingOver(simulatedRemote("graph", simulated)))
await conformance("Gmail", syncingOver(simulatedRemote("gmail", simulated)))

if (hasDovecot) {
  await conformance("IMAP", syncingOver(imapRemote()))
  await conformance("IMAP as Outlook's", syncingOver(imapRemote(outlookLacks)))
  await conformance("IMAP as Gmail's", syncingOver(imapRemote(gmailLacks)))
} else {
  describe("Conformance of IMAP", () => it.skip("skipped: there is no Dovecot on this machine", () => {}))
}
