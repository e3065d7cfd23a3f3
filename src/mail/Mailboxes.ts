/** Picks the channel that an account's mail is read through. */
import { Context, Effect, Layer, type Scope } from "effect"
import { ProviderError } from "../domain/ProviderError.ts"
import { Gmail } from "./Gmail.ts"
import { Graph } from "./Graph.ts"
import type { MailAccount, Mailbox, StoredMail } from "./Mailbox.ts"

export class Mailboxes extends Context.Service<Mailboxes, {
  /** Whatever connection it needs lives as long as the scope. */
  readonly open: (account: MailAccount, stored: StoredMail) => Effect.Effect<Mailbox, ProviderError, Scope.Scope>
}>()("mailfleet/mail/Mailboxes") {
  static readonly layer: Layer.Layer<Mailboxes, never, Gmail | Graph> = Layer.effect(
    Mailboxes,
    Effect.gen(function* () {
      const gmail = yield* Gmail
      const graph = yield* Graph
      return Mailboxes.of({
        open: (account, stored) => {
          switch (account.channel) {
            case "graph":
              return graph.open(account)
            case "gmail":
              return gmail.open(account, stored)
            case "imap":
              return Effect.fail(
                new ProviderError({
                  class: "unknown",
                  code: "channel_not_available",
                  message: "mail cannot be read over imap yet: set the account's channel to graph or gmail",
                  notSent: true,
                }),
              )
          }
        },
      })
    }),
  )
}
