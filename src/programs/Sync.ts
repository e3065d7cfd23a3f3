/** Sync: bring the mail of each account of a run in step, by one full round over all its folders. */
import { Effect } from "effect"
import type { OwnedRun, WorkItem } from "../storage/Runs.ts"
import { orPostpone, runOver, type RunOverOptions, skipped, succeeded } from "./RunOver.ts"
import { SyncAccount } from "./SyncAccount.ts"

/** One account's round, unless it has been through one since the run was asked for. */
const syncOne = Effect.fnUntraced(
  function* (accounts: SyncAccount["Service"], run: OwnedRun, item: WorkItem, attempt: number) {
    if (item.status === "disabled") return skipped("account_disabled", "the account is disabled")
    if (item.syncedAt !== null && item.syncedAt >= run.createdAt) return succeeded
    return yield* accounts.sync(item.accountId).pipe(
      Effect.as(succeeded),
      Effect.catchTags({
        ProviderError: (error) => orPostpone(error, attempt),
        AccountGone: () => Effect.succeed(skipped("account_deleted", "the account was deleted before its turn came")),
      }),
    )
  },
)

export const sync = (run: OwnedRun, options: RunOverOptions) =>
  Effect.flatMap(
    SyncAccount,
    (accounts) => runOver(run, options, (item, attempt) => syncOne(accounts, run, item, attempt)),
  )
