/** `messages`: stored mail as a list, and one message with its text. */
import { Console, DateTime, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { NotFound } from "../api/Problems.ts"
import { pageOf } from "../api/Parameters.ts"
import { type Address, Message, MessageWithBody } from "../domain/Mail.ts"
import { findAccounts } from "./AccountLookup.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { count, printable, relative, table } from "./Text.ts"

const named = (address: Address | null): string =>
  address === null ? "-" : address.name === "" ? address.address : `${address.name} <${address.address}>`

const flags = {
  words: Argument.String("words").pipe(
    Argument.withDescription("Words of subject, addresses, names of attachments or text. Without any, all messages"),
    Argument.variadic(),
  ),
  account: Flag.String("account").pipe(Flag.withDescription("Of this account: its id or its address"), Flag.optional),
  folder: Flag.String("folder").pipe(
    Flag.withDescription("Of this folder of the account: its id, or a role such as inbox"),
    Flag.optional,
  ),
  from: Flag.String("from").pipe(
    Flag.withDescription("From this address, or from a domain such as @example.com"),
    Flag.optional,
  ),
  unread: Flag.Boolean("unread").pipe(
    Flag.withDescription("Those that are not read, or with --no-unread those that are"),
    Flag.optional,
  ),
  since: Flag.Date("since").pipe(Flag.withDescription("Received then or later, such as 2026-12-31"), Flag.optional),
  limit,
  json,
}

const show = Command.make(
  "show",
  { id: Argument.String("message").pipe(Argument.withDescription("Its id, as the list shows it")), json },
  Effect.fnUntraced(function* ({ id, json }) {
    const { ask, client: { api } } = yield* Connection
    const message = yield* api.mail.message({ params: { id } }).pipe(
      Effect.catchIf(
        (error) => error instanceof NotFound,
        () => Effect.fail(new CommandError({ message: `no message has the id ${id}` })),
      ),
      ask,
    )
    if (json) return yield* printJson(MessageWithBody, message)
    yield* Console.log(table([
      ["subject", message.subject],
      ["from", named(message.from)],
      ["to", message.to.map(named).join(", ") || "-"],
      ...(message.cc.length === 0 ? [] : [["cc", message.cc.map(named).join(", ")]]),
      ["received", message.receivedAt === null ? "-" : DateTime.formatIso(message.receivedAt)],
      ["account", message.accountId],
      ["folder", message.folderId],
      ...message.attachments.map(({ contentType, name }) => ["attachment", `${name} (${contentType})`]),
    ]))
    const why = message.bodyReason === undefined ? "" : `: ${message.bodyReason}`
    if (message.bodyState !== "complete") yield* Console.error(`the body is not complete (${message.bodyState}${why})`)
    if (message.text !== null) yield* Console.log(`\n${message.text.split(/\r?\n/).map(printable).join("\n")}`)
  }),
).pipe(
  Command.withDescription("Show one message with its text. --json has its HTML, too, as the sender wrote it."),
  Command.withShortDescription("Show one message"),
  Command.withExamples([{ command: "mailfleet messages show 0199c1f4-7e11-7b02-b1a4-10293847a6b5" }]),
)

export const messages = Command.make(
  "messages",
  flags,
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    if (Option.isSome(flags.folder) && Option.isNone(flags.account)) {
      return yield* new CommandError({ message: "--folder needs an --account whose folder it is" })
    }
    const query = {
      ...(flags.words.length === 0 ? {} : { q: flags.words.join(" ") }),
      ...given("from", flags.from),
      ...given("unread", flags.unread),
      ...given("receivedAfter", Option.map(flags.since, DateTime.fromDateUnsafe)),
    }
    const account = yield* Effect.transposeOption(Option.map(flags.account, findAccounts))
    if (Option.isSome(account) && account.value.length > 1) {
      const ids = account.value.map(({ id, provider }) => `${id} (${provider})`).join(", ")
      return yield* new CommandError({ message: `several accounts have this address; name one by its id: ${ids}` })
    }
    const found = yield* ask(firstOf(flags.limit, (page) =>
      Option.match(account, {
        onNone: () => api.mail.messages({ query: { ...page, ...query } }),
        onSome: ([one]) =>
          api.mail.accountMessages({
            params: { id: one!.id },
            query: { ...page, ...query, ...given("folder", flags.folder) },
          }),
      })))
    if (flags.json) return yield* printJson(pageOf(Message), found)
    if (found.items.length === 0) return yield* Console.error("no messages")
    const now = yield* DateTime.now
    yield* Console.log(table([
      ["RECEIVED", "", "FROM", "ID", "SUBJECT"],
      ...found.items.map(({ from, id, isRead, receivedAt, subject }) => [
        relative(receivedAt, now),
        isRead ? "" : "unread",
        from?.address ?? "-",
        id,
        subject || "(none)",
      ]),
    ]))
    if (found.nextCursor !== null) {
      yield* Console.error(`these are the first ${count(flags.limit, "message")}; for more: --limit`)
    }
  }),
).pipe(
  Command.withDescription("List or search stored mail of one account or of the whole fleet, newest first."),
  Command.withShortDescription("List and search mail, or show a message"),
  Command.withExamples([
    { command: "mailfleet messages --account ada@example.com --folder inbox", description: "An inbox" },
    { command: "mailfleet messages invoice --from @example.com --unread", description: "A search of the fleet" },
    { command: "mailfleet messages --since 2026-12-01 --json --limit 1000", description: "For a script" },
  ]),
  Command.withSubcommands([show]),
  Command.provide(Connection.layer),
)
