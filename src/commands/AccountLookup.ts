/** Accounts by what an operator calls them: an id or an address. */
import { Effect } from "effect"
import { NotFound } from "../api/Problems.ts"
import type { Account } from "../domain/Account.ts"
import { isId } from "../domain/Ids.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"

/** The accounts of an id or an address: never none. Several have one address where it is at several providers. */
export const findAccounts = Effect.fnUntraced(function* (
  who: string,
): Effect.fn.Return<ReadonlyArray<Account>, CommandError, Connection> {
  const { ask, client: { api } } = yield* Connection
  const nobody = new CommandError({ message: `no account has the id or address ${who}` })
  if (isId(who)) {
    return [
      yield* api.accounts.get({ params: { id: who } }).pipe(
        Effect.catchIf((error) => error instanceof NotFound, () => Effect.fail(nobody)),
        ask,
      ),
    ]
  }
  if (!who.includes("@")) return yield* nobody
  // The search is for a part of the address, and the one that is meant may come late in the list.
  const { items } = yield* ask(
    firstOf(Infinity, (page) => api.accounts.list({ query: { ...page, search: who.slice(0, 1_000) } })),
  )
  const exact = items.filter(({ email }) => email.toLowerCase() === who.toLowerCase())
  return exact.length > 0 ? exact : yield* nobody
})
