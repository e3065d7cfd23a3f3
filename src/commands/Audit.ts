/** `audit`: who was given what and who changed what, and whether the log of it is whole. */
import { Console, DateTime, Effect, Option, Stream } from "effect"
import { Command, Flag } from "effect/cli"
import { pageOf } from "../api/Parameters.ts"
import { type AuditHead, AuditVerdict, verifyChain } from "../domain/AuditChain.ts"
import { AuditEntry } from "../domain/AuditEntry.ts"
import { isId } from "../domain/Ids.ts"
import { findAccounts } from "./AccountLookup.ts"
import { Connection, firstOf } from "./Connection.ts"
import { SomeFailed } from "./ExitCode.ts"
import { json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table } from "./Text.ts"

/** Entries asked for at once: the most that a page has. */
const pageSize = 500

/** An account that was deleted has entries still: its id is not looked up. */
const idOf = (who: string) =>
  isId(who) ? Effect.succeed(who) : Effect.map(findAccounts(who), ([account]) => account!.id)

const list = Command.make(
  "list",
  {
    account: Flag.String("account").pipe(
      Flag.withDescription("Entries about this account: its id or its address"),
      Flag.optional,
    ),
    limit,
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const query = Option.isNone(flags.account) ? {} : { accountId: yield* idOf(flags.account.value) }
    const found = yield* ask(firstOf(flags.limit, (page) => api.audit.list({ query: { ...page, ...query } })))
    if (flags.json) return yield* printJson(pageOf(AuditEntry), found)
    if (found.items.length === 0) return yield* Console.error("no entries")
    const now = yield* DateTime.now
    yield* Console.log(table([
      ["WHEN", "WHO", "WHAT", "OUTCOME", "ACCOUNT", "OBJECT"],
      ...found.items.map(({ accountId, action, actor, at, detail, objectId, outcome, resource, subject }) => [
        relative(at, now),
        actor,
        [action, resource, detail].filter((part) => part !== undefined).join(" "),
        outcome,
        accountId ?? (subject === undefined ? "-" : `erased (${subject})`),
        objectId ?? "-",
      ]),
    ]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("List the audit log, newest first: who was given what, and who changed what."),
  Command.withShortDescription("List the audit log"),
  Command.withExamples([
    { command: "mailfleet audit list --account ada@example.com", description: "Who read the mail of an account" },
  ]),
)

const parseHead = (text: string): Option.Option<AuditHead> => {
  const [, position, hash] = /^(0|[1-9]\d{0,17}):([0-9a-f]{64})$/.exec(text) ?? []
  return position === undefined || hash === undefined ? Option.none() : Option.some({ position, hash })
}

/** The chain as the server shows it. The server's word is taken for nothing: hashes are computed here. */
const verdictOf = Effect.fnUntraced(function* (noted: AuditHead | undefined) {
  const { ask, client: { api } } = yield* Connection
  const page = (cursor: { readonly cursor?: string }) => ask(api.audit.chain({ query: { limit: pageSize, ...cursor } }))
  const first = yield* page({})
  const links = Stream.paginate(
    first,
    ({ items, nextCursor }) =>
      nextCursor === null
        ? Effect.succeed([items, Option.none()] as const)
        : Effect.map(page({ cursor: nextCursor }), (next) => [items, Option.some(next)] as const),
  )
  return yield* verifyChain(first.anchor, links, noted)
})

const describe = ({ anchor, entries, fault, head, noted }: AuditVerdict): ReadonlyArray<string> => [
  `${entries} ${entries === 1 ? "entry" : "entries"} in order, after ${anchor.position}:${anchor.hash}`,
  ...(noted === true ? ["the head that was noted is among them"] : []),
  fault === null
    ? `head ${head.position}:${head.hash}`
    : `BROKEN at position ${fault.position} (${fault.code}): ${fault.message}`,
]

const verify = Command.make(
  "verify",
  {
    head: Flag.String("head").pipe(
      Flag.withDescription("The head that an earlier verify printed, POSITION:HASH; the log must still hold it"),
      Flag.filter((text) => Option.isSome(parseHead(text)), () => "POSITION:HASH, as verify prints it"),
      Flag.optional,
    ),
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const noted = Option.getOrUndefined(Option.flatMap(flags.head, parseHead))
    const verdict = yield* verdictOf(noted)
    if (flags.json) yield* printJson(AuditVerdict, verdict)
    else yield* Effect.forEach(describe(verdict), (line) => Console.log(line), { discard: true })
    if (noted !== undefined && verdict.noted === null) {
      yield* Console.error("the head that was noted is older than what retention keeps: it proves nothing any more")
    }
    if (verdict.fault !== null) return yield* new SomeFailed()
    if (!flags.json) {
      yield* Console.error("note the head where nobody who can write to the database can: --head checks it")
    }
  }),
).pipe(
  Command.withDescription(
    "Check that no entry of the audit log was changed, taken out or moved, and print its head. Exit code 1 where one was. With the " +
      "head of an earlier check, also that the end was not cut off, nor the whole log written anew.",
  ),
  Command.withShortDescription("Check that the log is whole"),
  Command.withExamples([
    { command: "mailfleet audit verify", description: "Check, and print the head" },
    { command: "mailfleet audit verify --head $(cat noted-head)", description: "Check against a head that was noted" },
  ]),
)

export const audit = Command.make("audit").pipe(
  Command.withDescription("Who was given what and who changed what, and whether the log of it is whole."),
  Command.withShortDescription("The audit log"),
  Command.withSubcommands([list, verify]),
  Command.provide(Connection.layer),
)
