/** `changes`: the change log, from a position on, once or for as long as it is followed. */
import { Console, DateTime, Effect, Option, Schema, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { Change } from "../domain/Mail.ts"
import { Connection } from "./Connection.ts"
import { CommandError, untilSignal } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printable } from "./Text.ts"

const encode = Schema.encodeSync(Change)

/** One line: JSON as in NDJSON, or words. */
const line = (change: Change, json: boolean): string =>
  json ? JSON.stringify(encode(change)) : printable(
    [
      change.position,
      DateTime.formatIso(change.at),
      change.kind,
      change.origin,
      `account=${change.accountId}`,
      ...(change.messageId === undefined ? [] : [`message=${change.messageId}`]),
      ...(change.folderId === undefined ? [] : [`folder=${change.folderId}`]),
      ...(change.fields === undefined ? [] : [`fields=${change.fields.join(",")}`]),
    ].join("  "),
  )

export const changes = Command.make(
  "changes",
  {
    after: Flag.String("after").pipe(
      Flag.withDescription(
        "Only what came after this position, or latest: that of now. Unless given, from the oldest that is kept",
      ),
      Flag.optional,
    ),
    follow: Flag.Boolean("follow").pipe(
      Flag.withDescription("Go on with each new change as it comes, until Ctrl-C"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    limit,
    json,
  },
  Effect.fnUntraced(function* ({ after, follow, json, limit }) {
    const { ask, client } = yield* Connection
    const print = (change: Change) => Console.log(line(change, json))
    if (follow) {
      return yield* client.followChanges(given("after", after)).pipe(
        Stream.runForEach(print),
        Effect.mapError((error) => error instanceof Error ? error : new CommandError({ message: "the stream ended" })),
        ask,
        untilSignal,
      )
    }
    let position = Option.getOrUndefined(after)
    let left = limit
    while (left > 0) {
      const page: { readonly items: ReadonlyArray<Change>; readonly nextCursor: string } = yield* ask(
        client.api.mail.changes({
          query: { limit: Math.min(500, left), ...(position === undefined ? {} : { after: position }) },
        }),
      )
      yield* Effect.forEach(page.items, print, { discard: true })
      position = page.nextCursor
      if (page.items.length === 0) break
      left -= page.items.length
    }
    yield* Console.error(`the position to go on from: --after ${position}`)
  }),
).pipe(
  Command.withDescription(
    "Print what happened to messages and accounts, each change once and in order: one line each, with --json one JSON object.",
  ),
  Command.withShortDescription("Read or follow the change log"),
  Command.withExamples([
    { command: "mailfleet changes --limit 1000", description: "The oldest thousand" },
    { command: "mailfleet changes --after latest --follow", description: "What happens from now on" },
    { command: "mailfleet changes --after POSITION --follow --json", description: "On from a position, for a program" },
  ]),
  Command.provide(Connection.layer),
)
