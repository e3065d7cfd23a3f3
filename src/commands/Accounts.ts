/** `accounts`: the fleet as a list, and one account in full. */
import { Console, DateTime, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { type Access, Account } from "../domain/Account.ts"
import { parseDuration } from "../domain/Settings.ts"
import { findAccounts } from "./AccountLookup.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit, provider, search, status, tag } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { count, relative, table, upcoming } from "./Text.ts"

const AccountPage = Schema.Struct({ items: Schema.Array(Account), nextCursor: Schema.NullOr(Schema.String) })

/** @param ends whether it is asked when refresh tokens end */
const header = (ends: boolean) => [
  "STATUS",
  "SINCE",
  "ADDRESS",
  "CHANNEL",
  "TAGS",
  "NEXT REFRESH",
  ...(ends ? ["TOKEN ENDS"] : []),
  "SYNCED",
  "CAUSE",
]

const row = (account: Account, now: DateTime.DateTime, ends: boolean): ReadonlyArray<string> => [
  account.status,
  relative(account.statusSince, now),
  account.email,
  account.channel,
  account.tags.join(",") || "-",
  upcoming(account.token.nextRefreshAt, now),
  ...(ends ? [account.token.endsAt === undefined ? "-" : relative(account.token.endsAt, now)] : []),
  relative(account.sync.syncedAt, now),
  account.token.lastError?.code ?? account.sync.lastError?.code ?? "-",
]

const absolute = (time: DateTime.DateTime | null, now: DateTime.DateTime, words = relative): string =>
  time === null ? "-" : `${DateTime.formatIso(time)} (${words(time, now)})`

const byWhom: Readonly<Record<Access, string>> = {
  own: "read by its user's own right",
  shared: "a shared mailbox, read by another user's right",
  "app-only": "read by the app's own right, which an administrator gave it",
  "service-account": "read by a service account with domain-wide delegation",
}

const signsIn: Readonly<Record<Access, string>> = {
  own: "have its user open the reconnect link and sign in",
  shared: "have the user by whose right it is read open the reconnect link and sign in",
  "app-only": "have an administrator of the tenant open the reconnect link and consent",
  "service-account": "have an administrator check the domain-wide delegation in the admin console",
}

/** What an operator does about the status; none while there is nothing to do. */
const toDo = ({ access, status }: Account): string | undefined => {
  switch (status) {
    case "needs_reauth":
      return signsIn[access]
    case "blocked":
      return "have the cause cured; it is looked at again by itself"
    case "disabled":
      return 'nothing contacts the provider; to switch it on again: PATCH /v1/accounts/{id} with {"status": "active"}'
    case "pending":
      return "nothing: its token is tried by itself"
    case "active":
      return undefined
  }
}

/** Why the last redemption failed, with the ids that the provider's support asks for. */
const failureRows = ({ token: { lastError } }: Account, now: DateTime.DateTime): Array<ReadonlyArray<string>> =>
  lastError === undefined ? [] : [
    ["last failure", `${lastError.code}: ${lastError.message}`],
    ["failed", absolute(lastError.at, now)],
    ["failing", `${lastError.class}, ${count(lastError.count, "time")} since ${absolute(lastError.since, now)}`],
    ...(lastError.traceId === undefined ? [] : [["trace id", lastError.traceId]]),
    ...(lastError.correlationId === undefined ? [] : [["correlation id", lastError.correlationId]]),
  ]

const details = (account: Account, now: DateTime.DateTime): string => {
  const { sync, token } = account
  const todo = toDo(account)
  return table([
    ["address", account.email],
    ["id", account.id],
    ["status", `${account.status} since ${absolute(account.statusSince, now)}`],
    ...(account.statusReason === undefined ? [] : [["cause", account.statusReason]]),
    ...(todo === undefined ? [] : [["to do", todo]]),
    ...(account.reconnectUrl === undefined ? [] : [["reconnect link", account.reconnectUrl]]),
    ["provider", `${account.provider}, read by ${account.channel}`],
    ["access", byWhom[account.access]],
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
    ...(token.endsAt === undefined ? [] : [["token ends", absolute(token.endsAt, now)]]),
    ...failureRows(account, now),
    ["messages", String(sync.messages)],
    ["synced", absolute(sync.syncedAt, now)],
    ["next sync", absolute(sync.nextSyncAt, now, upcoming)],
    ...(sync.lastError === undefined ? [] : [["sync failure", `${sync.lastError.code}: ${sync.lastError.message}`]]),
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
  Command.withDescription(
    "Show one account with the state of its token and of its mail: what it needs, why, since when, and the link where its user signs in again.",
  ),
  Command.withShortDescription("Show one account"),
  Command.withExamples([{ command: "mailfleet accounts show ada@example.com" }]),
)

const endsBefore = Flag.String("ends-before").pipe(
  Flag.withDescription(
    'Accounts whose refresh token ends by then unless it is used: within a duration such as "7 days", or before a time in ISO 8601',
  ),
  Flag.optional,
)

/** From now on, where it is a duration. */
const timeOf = (text: string, now: DateTime.Utc): Effect.Effect<DateTime.Utc, CommandError> =>
  Option.match(
    Option.orElse(
      Option.map(parseDuration(text), (duration) => DateTime.addDuration(now, duration)),
      () => /^\d{4}-\d{2}-\d{2}/.test(text) ? DateTime.make(text) : Option.none(),
    ),
    {
      onNone: () =>
        Effect.fail(
          new CommandError({
            message: '--ends-before takes a duration such as "7 days" or a time such as 2026-12-31T00:00:00Z',
          }),
        ),
      onSome: (time) => Effect.succeed(DateTime.toUtc(time)),
    },
  )

export const accounts = Command.make(
  "accounts",
  { status, tag, search, provider, endsBefore, limit, json },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const now = yield* DateTime.now
    const ends = yield* Effect.transposeOption(Option.map(flags.endsBefore, (text) => timeOf(text, now)))
    const filter = {
      ...given("status", flags.status),
      ...given("tag", flags.tag),
      ...given("search", flags.search),
      ...given("provider", flags.provider),
      ...given("endsBefore", ends),
    }
    const found = yield* ask(firstOf(flags.limit, (page) => api.accounts.list({ query: { ...page, ...filter } })))
    if (flags.json) return yield* printJson(AccountPage, found)
    if (found.items.length === 0) return yield* Console.error("no accounts")
    const shows = Option.isSome(ends)
    yield* Console.log(table([header(shows), ...found.items.map((account) => row(account, now, shows))]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("List accounts, oldest first."),
  Command.withShortDescription("List accounts, or show one"),
  Command.withExamples([
    { command: "mailfleet accounts --status needs_reauth", description: "Whose users must sign in again" },
    { command: 'mailfleet accounts --ends-before "7 days"', description: "Whose refresh token dies soon" },
    { command: "mailfleet accounts --tag support --json", description: "For a script" },
    { command: "mailfleet accounts show ada@example.com", description: "One in full" },
  ]),
  Command.withSubcommands([show]),
  Command.provide(Connection.layer),
)
