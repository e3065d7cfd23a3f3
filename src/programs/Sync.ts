/** Sync: bring the mail of each account of a run in step, by one full round over all its folders. */
import { Effect } from "effect"
import type { OwnedRun, WorkItem } from "../storage/Runs.ts"
import type { Lane } from "./Concurrency.ts"
import { orPostpone, runOver, skipped, succeeded } from "./RunOver.ts"
import { SyncAccount } from "./SyncAccount.ts"

/** One account's round, unless it has been through one since the run was asked for. */
const syncOne = Effect.fnUntraced(
  function* (accounts: SyncAccount["Service"], run: OwnedRun, lane: Lane, item: WorkItem, attempt: number) {
    if (item.status === "disabled") return skipped("account_disabled", "the account is disabled")
    if (item.syncedAt !== null && item.syncedAt >= run.createdAt) return succeeded
    return yield* accounts.sync(item.accountId).pipe(
      lane.admit(item.app),
      Effect.as(succeeded),
      Effect.catchTags({
        ProviderError: (error) => orPostpone(error, attempt),
        AccountGone: () => Effect.succeed(skipped("account_deleted", "the account was deleted before its turn came")),
      }),
    )
  },
)

export const sync = (run: OwnedRun, lane: Lane) =>
  Effect.flatMap(
    SyncAccount,
    (accounts) => runOver(run, lane.concurrency, (item, attempt) => syncOne(accounts, run, lane, item, attempt)),
  )
