/** A grant has died and somebody signs in again: from the lasting link of an account to a session that is bound to it. */
import { Context, Effect, Layer, Option } from "effect"
import type { AccountId } from "../domain/Ids.ts"
import { type Reconnectable, Reconnects } from "../storage/grants/Reconnects.ts"
import { Connect, type Departed } from "./Connect.ts"
import { ReconnectLinks } from "./ReconnectLinks.ts"

/** What a link leads to. */
export type Reconnection =
  /** Somebody must sign in again: a user, or an administrator for a whole tenant. */
  | { readonly _tag: "Wanted"; readonly accountId: AccountId }
  /** Nobody has to: the account works, is blocked, or was switched off. */
  | { readonly _tag: "NotWanted" }
  /** It is no link of ours, or its account is gone. */
  | { readonly _tag: "Unknown" }

/** A browser that is sent on; or why it is not. */
export type Begun =
  | Departed
  | Exclude<Reconnection, { readonly _tag: "Wanted" }>
  /** Too many sessions of the account are open: they end by themselves. */
  | { readonly _tag: "TooMany" }
  /** The app of the account cannot be signed in with. */
  | { readonly _tag: "Unfit" }

export class Reconnect extends Context.Service<Reconnect, {
  /** It changes nothing, so that those who look at links beforehand do no harm. */
  readonly look: (link: string) => Effect.Effect<Reconnection>
  /** Opens a session of the account. Only the person whom the account belongs to can complete it. */
  readonly begin: (link: string) => Effect.Effect<Begun>
}>()("mailfleet/programs/Reconnect") {
  static readonly layer: Layer.Layer<Reconnect, never, Connect | ReconnectLinks | Reconnects> = Layer.effect(
    Reconnect,
    Effect.gen(function* () {
      const connect = yield* Connect
      const links = yield* ReconnectLinks
      const reconnects = yield* Reconnects

      const find = (link: string) =>
        Option.match(links.accountOf(link), { onNone: () => Effect.succeedNone, onSome: reconnects.find })

      // A service account signs in by itself.
      const isReconnectable = ({ access }: Reconnectable) => access !== "service-account"

      const open = Effect.fnUntraced(function* ({ access, appId, id }: Reconnectable): Effect.fn.Return<Begun> {
        const kind = access === "app-only" ? "admin_consent" : "sign_in"
        const made = yield* Effect.result(reconnects.ifRoom(id, connect.create({ appId, kind, accountId: id })))
        if (made._tag === "Failure") {
          const { field, message } = made.failure
          yield* Effect.logWarning("an account cannot be reconnected by its link", {
            accountId: id,
            field,
            reason: message,
          })
          return { _tag: "Unfit" }
        }
        if (Option.isNone(made.success)) return { _tag: "TooMany" }
        const { url = "" } = made.success.value
        return yield* connect.depart(url.slice(url.lastIndexOf("/") + 1))
      })

      return Reconnect.of({
        look: (link) =>
          Effect.map(
            find(link),
            (found): Reconnection =>
              Option.match(Option.filter(found, isReconnectable), {
                onNone: () => ({ _tag: "Unknown" }),
                onSome: ({ id, status }) =>
                  status === "needs_reauth" ? { _tag: "Wanted", accountId: id } : { _tag: "NotWanted" },
              }),
          ),
        begin: Effect.fn("Reconnect.begin")(function* (link: string): Effect.fn.Return<Begun> {
          const account = Option.getOrUndefined(Option.filter(yield* find(link), isReconnectable))
          if (account === undefined) return { _tag: "Unknown" }
          return account.status === "needs_reauth" ? yield* open(account) : { _tag: "NotWanted" }
        }),
      })
    }),
  )
}
