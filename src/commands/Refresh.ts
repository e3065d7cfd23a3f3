/** `refresh`: redeems the refresh tokens of a selection of accounts. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Connection } from "./Connection.ts"
import { json, wait } from "./Flags.ts"
import { started } from "./Follow.ts"
import { selectionFlags, selectionOf } from "./Selection.ts"

export const refresh = Command.make(
  "refresh",
  { ...selectionFlags, wait, json },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const payload = yield* selectionOf(flags)
    const { body } = yield* ask(api.work.refresh({ payload, headers: {} }))
    yield* started(body, flags)
  }),
).pipe(
  Command.withDescription(
    "Redeem the refresh tokens of the selected accounts now, even where their access tokens are fresh. The server does so " +
      "by itself when it is due.",
  ),
  Command.withShortDescription("Refresh the tokens of accounts now"),
  Command.withExamples([
    { command: "mailfleet refresh --all", description: "All accounts" },
    { command: "mailfleet refresh --tag support --status active", description: "A part of the fleet" },
    { command: "mailfleet refresh --account ada@example.com", description: "One account" },
  ]),
  Command.provide(Connection.layer),
)
