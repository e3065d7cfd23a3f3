/** `accounts`: the fleet as a list, and one account in full. */
import { Console, DateTime, Effect, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { Account } from "../domain/Account.ts"
import { findAccounts } from "./AccountLookup.ts"
import { Connection, firstOf } from "./Connection.ts"
import { given, json, limit, provider, search, status, tag } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table, upcoming } from "./Text.ts"

const AccountPage = Schema.Struct({ items: Schema.Array(Account), nextCursor: Schema.NullOr(Schema.String) })

const row = (account: Account, now: DateTime.DateTime): ReadonlyArray<string> => [
  account.status,
  account.email,
  account.channel,
  account.tags.join(",") || "-",
  upcoming(account.token.nextRefreshAt, now),
  relative(account.sync.syncedAt, now),
]

const header = ["STATUS", "ADDRESS", "CHANNEL", "TAGS", "NEXT REFRESH", "SYNCED"]

const absolute = (time: DateTime.DateTime | null, now: DateTime.DateTime, words = relative): string =>
  time === null ? "-" : `${DateTime.formatIso(time)} (${words(time, now)})`

const details = (account: Account, now: DateTime.DateTime): string => {
  const { sync, token } = account
  return table([
    ["address", account.email],
    ["id", account.id],
    ["status", account.statusReason === undefined ? account.status : `${account.status}: ${account.statusReason}`],
    ["provider", `${account.provider}, read by ${account.channel}`],
    ["tags", account.tags.join(", ") || "-"],
    ["client id", account.clientId],
    ["tenant", account.tenant],
    ["token", `version ${token.version}`],
    [
      "policy",
      account.refreshPolicy === undefined ? token.policy : `${token.policy}; its own: ${account.refreshPolicy}`,
    ],
    ["refreshed", absolute(token.refreshedAt, now)],
    ["access ends", absolute(token.expiresAt, now)],
    ["next refresh", absolute(token.nextRefreshAt, now, upcoming)],
    ...(token.lastError === undefined ? [] : [["last failure", `${token.lastError.code}: ${token.lastError.message}`]]),
    ["messages", String(sync.messages)],
    ["synced", absolute(sync.syncedAt, now)],
    ["next sync", absolute(sync.nextSyncAt, now, upcoming)],
    ...(sync.lastError === undefined ? [] : [["last failure", `${sync.lastError.code}: ${sync.lastError.message}`]]),
    ["created", absolute(account.createdAt, now)],
  ])
}

const show = Command.make(
  "show",
  {
    who: Argument.String("account").pipe(Argument.withDescription("Its id or its address")),
    json,
  },
  Effect.fnUntraced(function* ({ who, json }) {
    const accounts = yield* findAccounts(who)
    const now = yield* DateTime.now
    for (const account of accounts) yield* json ? printJson(Account, account) : Console.log(details(account, now))
  }),
).pipe(
  Command.withDescription("Show one account with the state of its token and of its mail."),
  Command.withShortDescription("Show one account"),
  Command.withExamples([{ command: "mailfleet accounts show ada@example.com" }]),
)

export const accounts = Command.make(
  "accounts",
  { status, tag, search, provider, limit, json },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const filter = {
      ...given("status", flags.status),
      ...given("tag", flags.tag),
      ...given("search", flags.search),
      ...given("provider", flags.provider),
    }
    const found = yield* ask(firstOf(flags.limit, (page) => api.accounts.list({ query: { ...page, ...filter } })))
    if (flags.json) return yield* printJson(AccountPage, found)
    if (found.items.length === 0) return yield* Console.error("no accounts")
    const now = yield* DateTime.now
    yield* Console.log(table([header, ...found.items.map((account) => row(account, now))]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("List accounts, oldest first."),
  Command.withShortDescription("List accounts, or show one"),
  Command.withExamples([
    { command: "mailfleet accounts --status needs_reauth", description: "Whose users must sign in again" },
    { command: "mailfleet accounts --tag support --json", description: "For a script" },
    { command: "mailfleet accounts show ada@example.com", description: "One in full" },
  ]),
  Command.withSubcommands([show]),
  Command.provide(Connection.layer),
)
