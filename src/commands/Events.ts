/** `events`: what operators are told. */
import { Console, DateTime, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { pageOf } from "../api/Parameters.ts"
import { Event, EventKind } from "../domain/Event.ts"
import { Connection, firstOf } from "./Connection.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table } from "./Text.ts"

export const events = Command.make(
  "events",
  {
    kind: Flag.Literals("kind", EventKind.literals).pipe(Flag.withDescription("Events of this kind"), Flag.optional),
    subject: Flag.String("subject").pipe(
      Flag.withDescription("Events about this account, grant or app, as SUBJECT shows it"),
      Flag.optional,
    ),
    limit,
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const query = { ...given("kind", flags.kind), ...given("subject", flags.subject) }
    const found = yield* ask(firstOf(flags.limit, (page) => api.events.list({ query: { ...page, ...query } })))
    if (flags.json) return yield* printJson(pageOf(Event), found)
    if (found.items.length === 0) return yield* Console.error("no events")
    const now = yield* DateTime.now
    yield* Console.log(table([
      ["WHEN", "KIND", "SUBJECT", "MESSAGE"],
      ...found.items.map(({ at, kind, message, subject }) => [relative(at, now), kind, subject, message]),
    ]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription(
    "List what operators are told, newest first: accounts that need their user, apps that are refused, secrets and tokens that end.",
  ),
  Command.withShortDescription("List what operators are told"),
  Command.withExamples([
    { command: "mailfleet events --kind account.needs_reauth", description: "Whose users were asked to sign in again" },
  ]),
  Command.provide(Connection.layer),
)
