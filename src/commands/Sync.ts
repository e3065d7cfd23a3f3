/** `sync`: brings the stored mail of a selection of accounts into step. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Connection } from "./Connection.ts"
import { json, wait } from "./Flags.ts"
import { started } from "./Follow.ts"
import { selectionFlags, selectionOf } from "./Selection.ts"

export const sync = Command.make(
  "sync",
  { ...selectionFlags, wait, json },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const payload = yield* selectionOf(flags)
    const { body } = yield* ask(api.work.sync({ payload, headers: {} }))
    yield* started(body, flags)
  }),
).pipe(
  Command.withDescription(
    "Bring the stored mail of the selected accounts into step with their mailboxes now, all folders. The server does so by " +
      "itself when it is due.",
  ),
  Command.withShortDescription("Sync the mail of accounts now"),
  Command.withExamples([
    { command: "mailfleet sync --all", description: "All accounts" },
    { command: "mailfleet sync --search @example.com --no-wait", description: "One domain, without waiting for it" },
  ]),
  Command.provide(Connection.layer),
)
