/** `grants`: what users and administrators allowed apps to do, and the accounts that are read so. */
import { Console, DateTime, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Grant, GrantKind, MailboxOutcome, mostMailboxes, TenantMailbox } from "../domain/Grant.ts"
import { findApp } from "./AppLookup.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError, SomeFailed } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { count, relative, table, upcoming } from "./Text.ts"

const pageOf = <S extends Schema.Top>(item: S) =>
  Schema.Struct({ items: Schema.Array(item), nextCursor: Schema.NullOr(Schema.String) })

const header = ["KIND", "CLIENT ID", "TENANT OR MAILBOX", "ACCOUNTS", "REFRESHED", "NEXT REFRESH", "CAUSE", "ID"]

const row = (grant: Grant, now: DateTime.DateTime): ReadonlyArray<string> => [
  grant.kind,
  grant.clientId,
  grant.kind === "service_account" ? grant.subject ?? "-" : grant.tenant || "-",
  String(grant.accounts),
  relative(grant.refreshedAt, now),
  upcoming(grant.nextRefreshAt, now),
  grant.lastError?.code ?? "-",
  grant.id,
]

const show = Effect.fnUntraced(function* (grant: Grant, asJson: boolean) {
  if (asJson) return yield* printJson(Grant, grant)
  yield* Console.log(table([header, row(grant, yield* DateTime.now)]))
})

const more = (limit: number, nextCursor: string | null) =>
  nextCursor === null ? Effect.void : Console.error(`these are the first ${limit}; for more: --limit`)

const listFlags = {
  kind: Flag.Literals("kind", GrantKind.literals).pipe(Flag.withDescription("Grants of this kind"), Flag.optional),
  app: Flag.String("app").pipe(Flag.withDescription("Grants of this app, by its id or client id"), Flag.optional),
  limit,
  json,
}

const listGrants = Effect.fnUntraced(function* (flags: {
  readonly kind: Option.Option<GrantKind>
  readonly app: Option.Option<string>
  readonly limit: number
  readonly json: boolean
}) {
  const { ask, client: { api } } = yield* Connection
  const appId = Option.isNone(flags.app) ? flags.app : Option.some((yield* findApp(flags.app.value)).id)
  const query = { ...given("kind", flags.kind), ...given("appId", appId) }
  const found = yield* ask(firstOf(flags.limit, (page) => api.grants.list({ query: { ...page, ...query } })))
  if (flags.json) return yield* printJson(pageOf(Grant), found)
  if (found.items.length === 0) return yield* Console.error("no grants")
  const now = yield* DateTime.now
  yield* Console.log(table([header, ...found.items.map((grant) => row(grant, now))]))
  yield* more(flags.limit, found.nextCursor)
})

const list = Command.make("list", listFlags, listGrants).pipe(
  Command.withDescription("List grants, oldest first; what grants alone does too."),
  Command.withShortDescription("List grants"),
)

const which = Argument.String("grant").pipe(Argument.withDescription("Its id"))

const tag = Flag.String("tag").pipe(
  Flag.withDescription("A tag for each new account; may be repeated"),
  Flag.atLeast(0),
)

const add = Command.make(
  "add",
  {
    app: Argument.String("app").pipe(Argument.withDescription("Its id or its client id")),
    tenant: Flag.String("tenant").pipe(
      Flag.withDescription("A Microsoft tenant, by its id or a domain of it"),
      Flag.optional,
    ),
    mailbox: Flag.String("mailbox").pipe(
      Flag.withDescription("A mailbox in a Google Workspace, which the app's service account reads; may be repeated"),
      Flag.atLeast(0),
    ),
    tag,
    json,
  },
  Effect.fnUntraced(function* ({ app, json, mailbox, tag, tenant }) {
    const { ask, client: { api } } = yield* Connection
    if (Option.isSome(tenant) === (mailbox.length > 0)) {
      return yield* new CommandError({ message: "name either a --tenant (Microsoft) or a --mailbox (Google)" })
    }
    const { id: appId } = yield* findApp(app)
    if (Option.isSome(tenant)) {
      const { body } = yield* ask(api.grants.create({ payload: { appId, tenant: tenant.value } }))
      return yield* show(body, json)
    }
    const tags = tag.length === 0 ? {} : { tags: tag }
    let failed = 0
    for (const one of mailbox) {
      yield* api.grants.create({ payload: { appId, mailbox: one, ...tags } }).pipe(
        ask,
        Effect.flatMap(({ body }) => show(body, json)),
        Effect.catch(({ message }) => {
          failed++
          return Console.error(`${one}: ${message}`)
        }),
      )
    }
    if (failed > 0) return yield* new SomeFailed()
  }),
).pipe(
  Command.withDescription(
    "Add a grant that needs no refresh token: of an app that reads a whole Microsoft tenant, for which an administrator has " +
      "consented, or of a Google service account with domain-wide delegation.",
  ),
  Command.withShortDescription("Add the grant of a tenant, or of a service account"),
  Command.withExamples([
    {
      command: "mailfleet grants add 11111111-2222-3333-4444-555555555555 --tenant contoso.example",
      description: "A Microsoft app in a tenant",
    },
    {
      command: "mailfleet grants add 1234.apps.googleusercontent.com --mailbox ada@example.com",
      description: "A service account, for one mailbox",
    },
  ]),
)

const mailboxes = Command.make(
  "mailboxes",
  { which, limit, json },
  Effect.fnUntraced(function* ({ json, limit, which }) {
    const { ask, client: { api } } = yield* Connection
    const found = yield* ask(
      firstOf(limit, (query) => api.grants.mailboxes({ params: { id: which }, query })),
    )
    if (json) return yield* printJson(pageOf(TenantMailbox), found)
    if (found.items.length === 0) return yield* Console.error("no mailboxes")
    yield* Console.log(table([
      ["ADDRESS", "NAME", "ACCOUNT"],
      ...found.items.map(({ accountId, displayName, email }) => [email, displayName ?? "-", accountId ?? "-"]),
    ]))
    yield* more(limit, found.nextCursor)
  }),
).pipe(
  Command.withDescription("List the mailboxes of the tenant, and the account of each that has one."),
  Command.withShortDescription("List the mailboxes of a tenant"),
)

/** Adds mailboxes, so many at a time, and answers with what became of each. */
const addMailboxes = Effect.fnUntraced(function* (
  id: string,
  addresses: ReadonlyArray<string>,
  common: { readonly tags?: ReadonlyArray<string>; readonly channel?: "graph" | "imap" },
) {
  const { ask, client: { api } } = yield* Connection
  const outcomes: Array<MailboxOutcome> = []
  const params = { id }
  const allAfter = (cursor: string | undefined) =>
    ask(api.grants.addAccounts({
      params,
      payload: { all: true, ...common, ...(cursor === undefined ? {} : { cursor }) },
    }))
  for (let start = 0; start < addresses.length; start += mostMailboxes) {
    const mailboxes = addresses.slice(start, start + mostMailboxes)
    outcomes.push(...(yield* ask(api.grants.addAccounts({ params, payload: { mailboxes, ...common } }))).items)
  }
  let cursor: string | null | undefined = addresses.length > 0 ? null : undefined
  while (cursor !== null) {
    const page: Effect.Success<ReturnType<typeof allAfter>> = yield* allAfter(cursor)
    outcomes.push(...page.items)
    cursor = page.nextCursor
    if (cursor !== null) yield* Console.error(`${count(outcomes.length, "account")} so far`)
  }
  return outcomes
})

const accounts = Command.make(
  "accounts",
  {
    which,
    addresses: Argument.String("address").pipe(
      Argument.withDescription("A mailbox of the tenant, or a shared mailbox that the user may open"),
      Argument.variadic(),
    ),
    all: Flag.Boolean("all").pipe(
      Flag.withDescription("Every mailbox of the tenant"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    tag,
    channel: Flag.Literals("channel", ["graph", "imap"]).pipe(
      Flag.withDescription("How they are read. Unless given, graph"),
      Flag.optional,
    ),
    json,
  },
  Effect.fnUntraced(function* ({ addresses, all, channel, json, tag, which }) {
    if (all === (addresses.length > 0)) {
      return yield* new CommandError({ message: "name mailboxes, or take --all of the tenant" })
    }
    const common = { ...given("channel", channel), ...(tag.length === 0 ? {} : { tags: tag }) }
    const outcomes = yield* addMailboxes(which, addresses, common)
    const failed = outcomes.filter(({ outcome }) => outcome === "failed")
    if (json) yield* printJson(Schema.Array(MailboxOutcome), outcomes)
    else {
      const of = (wanted: MailboxOutcome["outcome"]) => outcomes.filter(({ outcome }) => outcome === wanted).length
      yield* Console.log(
        `${count(outcomes.length, "account")}: ${of("created")} added, ${
          of("exists")
        } there already, ${failed.length} failed`,
      )
      for (const { email, error } of failed) yield* Console.log(`  ${email}: ${error?.message ?? "failed"}`)
    }
    if (failed.length > 0) return yield* new SomeFailed()
  }),
).pipe(
  Command.withDescription(
    "Make accounts of mailboxes that a grant opens: of the tenant, or shared mailboxes. Those that are there already are left " +
      "as they are.",
  ),
  Command.withShortDescription("Add mailboxes to a grant"),
  Command.withExamples([
    { command: "mailfleet grants accounts 0199… --all --tag contoso", description: "All mailboxes of a tenant" },
    { command: "mailfleet grants accounts 0199… info@contoso.example", description: "A shared mailbox" },
  ]),
)

const remove = Command.make(
  "remove",
  { which },
  Effect.fnUntraced(function* ({ which }) {
    const { ask, client: { api } } = yield* Connection
    yield* ask(api.grants.remove({ params: { id: which } }))
    yield* Console.log("deleted")
  }),
).pipe(
  Command.withDescription("Delete a grant that has no accounts."),
  Command.withShortDescription("Delete a grant"),
)

export const grants = Command.make("grants", listFlags, listGrants).pipe(
  Command.withDescription("List grants, oldest first: of users, of whole tenants, of service accounts."),
  Command.withShortDescription("List grants; add those of tenants, and their mailboxes"),
  Command.withExamples([{ command: "mailfleet grants --kind client_credentials" }]),
  Command.withSubcommands([list, add, mailboxes, accounts, remove]),
  Command.provide(Connection.layer),
)
