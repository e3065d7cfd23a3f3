/** Sync: bring the mail of each account of a run in step, by one full round over all its folders, turn after turn. */
import { Effect } from "effect"
import type { OwnedRun, WorkItem } from "../storage/runs/Runs.ts"
import type { Lane } from "./Concurrency.ts"
import { postponed } from "./Lanes.ts"
import { orPostpone, runOver, skipped, succeeded } from "./RunOver.ts"
import { SyncAccount } from "./SyncAccount.ts"

/** A turn of one account, unless it has been through a round since the run was asked for. Until that, it comes again. */
const syncOne = Effect.fnUntraced(
  function* (accounts: SyncAccount["Service"], run: OwnedRun, lane: Lane, item: WorkItem, attempt: number) {
    if (item.status === "disabled") return skipped("account_disabled", "the account is disabled")
    if (item.syncedAt !== null && item.syncedAt >= run.createdAt) return succeeded
    return yield* accounts.turn(item.accountId).pipe(
      lane.admit(item.app),
      // Behind the others that wait: a huge mailbox holds up none of them.
      Effect.map(({ complete }) => complete ? succeeded : postponed(0, false)),
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
