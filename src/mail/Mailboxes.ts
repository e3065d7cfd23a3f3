/** Picks the channel that an account's mail is read through. */
import { Context, Effect, Layer, type Scope } from "effect"
import type { ProviderError } from "../domain/ProviderError.ts"
import { Gmail } from "./gmail/Gmail.ts"
import { Graph } from "./graph/Graph.ts"
import { Imap } from "./imap/Imap.ts"
import type { MailAccount, Mailbox, StoredMail } from "./Mailbox.ts"

export class Mailboxes extends Context.Service<Mailboxes, {
  /** Whatever connection it needs lives as long as the scope. */
  readonly open: (account: MailAccount, stored: StoredMail) => Effect.Effect<Mailbox, ProviderError, Scope.Scope>
}>()("mailfleet/mail/Mailboxes") {
  static readonly layer: Layer.Layer<Mailboxes, never, Gmail | Graph | Imap> = Layer.effect(
    Mailboxes,
    Effect.gen(function* () {
      const gmail = yield* Gmail
      const graph = yield* Graph
      const imap = yield* Imap
      return Mailboxes.of({
        open: (account, stored) => {
          switch (account.channel) {
            case "gmail":
              return gmail.open(account, stored)
            case "graph":
              return graph.open(account)
            case "imap":
              return imap.open(account, stored)
          }
        },
      })
    }),
  )
}
