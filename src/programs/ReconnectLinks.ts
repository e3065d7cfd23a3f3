/** The link where the user of an account signs in again: always the same, and known to whoever was given it only. */
import { Context, Effect, Layer, Option, Result } from "effect"
import { Base64Url } from "effect/encoding"
import type { Account } from "../domain/Account.ts"
import type { Event } from "../domain/Event.ts"
import { type AccountId, isId } from "../domain/Ids.ts"
import { Vault } from "../oauth/Vault.ts"
import { PublicUrl } from "./PublicUrl.ts"

const purpose = "reconnect"

export class ReconnectLinks extends Context.Service<ReconnectLinks, {
  readonly urlOf: (id: AccountId) => Effect.Effect<string>
  /** The account that the end of a link names. None = it is no link of ours. */
  readonly accountOf: (link: string) => Option.Option<AccountId>
  /** The account as people see it: with its link where somebody must sign in again. */
  readonly withLink: (account: Account) => Effect.Effect<Account>
  readonly withLinks: <P extends { readonly items: ReadonlyArray<Account> }>(page: P) => Effect.Effect<P>
  /** Likewise events, but for those of accounts that nobody signs in to. */
  readonly ofEvents: <P extends { readonly items: ReadonlyArray<Event> }>(
    page: P,
    unattended: ReadonlySet<AccountId>,
  ) => Effect.Effect<P>
}>()("mailfleet/programs/ReconnectLinks") {
  static readonly layer: Layer.Layer<ReconnectLinks, never, PublicUrl | Vault> = Layer.effect(
    ReconnectLinks,
    Effect.gen(function* () {
      const publicUrl = yield* PublicUrl
      const vault = yield* Vault

      const urlOf = (id: AccountId) =>
        Effect.map(publicUrl.get, (url) => `${url}/reconnect/${id}.${Base64Url.encode(vault.mac(purpose, id))}`)

      const withLink = (account: Account): Effect.Effect<Account> =>
        // A service account signs in by itself.
        account.status !== "needs_reauth" || account.access === "service-account"
          ? Effect.succeed(account)
          : Effect.map(urlOf(account.id), (reconnectUrl) => ({ ...account, reconnectUrl }))

      const eventWithLink = (event: Event, unattended: ReadonlySet<AccountId>): Effect.Effect<Event> =>
        event.kind === "account.needs_reauth" && !unattended.has(event.subject)
          ? Effect.map(urlOf(event.subject), (reconnectUrl) => ({ ...event, reconnectUrl }))
          : Effect.succeed(event)

      return ReconnectLinks.of({
        urlOf,
        accountOf: (link) => {
          const [id = "", mac = "", ...more] = link.split(".")
          const bytes = Option.getOrUndefined(Result.getSuccess(Base64Url.decode(mac)))
          return more.length === 0 && isId(id) && bytes !== undefined && vault.hasMac(purpose, id, bytes)
            ? Option.some(id)
            : Option.none()
        },
        withLink,
        withLinks: (page) => Effect.map(Effect.forEach(page.items, withLink), (items) => ({ ...page, items })),
        ofEvents: (page, unattended) =>
          Effect.map(
            Effect.forEach(page.items, (event) => eventWithLink(event, unattended)),
            (items) => ({ ...page, items }),
          ),
      })
    }),
  )
}
