/** Apps by what people call them. */
import { Effect } from "effect"
import type { App } from "../domain/App.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"

/** The app of an id or a client id. */
export const findApp = Effect.fnUntraced(function* (
  which: string,
): Effect.fn.Return<App, CommandError, Connection> {
  const { ask, client: { api } } = yield* Connection
  const { items } = yield* ask(firstOf(Infinity, (page) => api.apps.list({ query: page })))
  const named = which.toLowerCase()
  const found = items.filter(({ clientId, id }) => id === named || clientId.toLowerCase() === named)
  if (found.length === 1) return found[0]!
  return yield* new CommandError({
    message: found.length === 0
      ? `no app has the id or client id ${which}`
      : `${found.length} apps have the client id ${which}, at different tenants: name one by its id (see mailfleet apps)`,
  })
})
