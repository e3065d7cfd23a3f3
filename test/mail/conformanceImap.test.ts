/** The suite of `conformance.ts` over IMAP, and over IMAP in the disguise of servers that can do less. */
import { describe, it } from "@effect/vitest"
import { hasDovecot } from "../support/dovecot.ts"
import { gmailLacks, outlookLacks } from "../support/imapProxy.ts"
import { imapRemote } from "../support/remoteImap.ts"
import { syncingOver } from "../support/remoteMail.ts"
import { conformance } from "./conformance.ts"

if (hasDovecot) {
  await conformance("IMAP", syncingOver(imapRemote()))
  // What a server lacks makes no difference to the database: each disguise on one engine.
  await conformance("IMAP as Outlook's", syncingOver(imapRemote(outlookLacks)), ["postgres"])
  await conformance("IMAP as Gmail's", syncingOver(imapRemote(gmailLacks)), ["embedded"])
} else {
  describe("Conformance of IMAP", () => it.skip("skipped: there is no Dovecot on this machine", () => {}))
}
