/** Which accounts a refresh or a sync is for, as flags. */
import { Effect, Option } from "effect"
import { Flag } from "effect/cli"
import type { Selection } from "../api/Work.ts"
import { findAccounts } from "./AccountLookup.ts"
import type { Connection } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, provider, search, status, tag } from "./Flags.ts"

export const selectionFlags = {
  all: Flag.Boolean("all").pipe(
    Flag.withDescription("All accounts that are not disabled"),
    Flag.withoutNegation,
    Flag.withDefault(false),
  ),
  accounts: Flag.String("account").pipe(
    Flag.withDescription("This account, by id or address. May be repeated"),
    Flag.atLeast(0),
  ),
  status,
  tag,
  search,
  provider,
}

interface Chosen {
  readonly all: boolean
  readonly accounts: ReadonlyArray<string>
  readonly status: Option.Option<NonNullable<NonNullable<Selection["filter"]>["status"]>>
  readonly tag: Option.Option<string>
  readonly search: Option.Option<string>
  readonly provider: Option.Option<NonNullable<NonNullable<Selection["filter"]>["provider"]>>
}

/** The selection that the flags mean. No flag at all means nothing, rather than everything. */
export const selectionOf = Effect.fnUntraced(function* (
  chosen: Chosen,
): Effect.fn.Return<Selection, CommandError, Connection> {
  const filter: Selection["filter"] = {
    ...given("status", chosen.status),
    ...given("tag", chosen.tag),
    ...given("search", chosen.search),
    ...given("provider", chosen.provider),
  }
  const isFiltered = Object.keys(filter).length > 0
  const ways = [chosen.all, chosen.accounts.length > 0, isFiltered].filter(Boolean).length
  if (ways !== 1) {
    return yield* new CommandError({
      message: ways === 0
        ? "say which accounts: --all, --account, or one or more of --status, --tag, --search and --provider"
        : "--all, --account, and the filters (--status, --tag, --search, --provider) exclude each other",
    })
  }
  if (chosen.all) return { all: true }
  if (isFiltered) return { filter }
  const found = yield* Effect.forEach(chosen.accounts, findAccounts, { concurrency: 5 })
  return { accountIds: [...new Set(found.flat().map(({ id }) => id))] }
})
