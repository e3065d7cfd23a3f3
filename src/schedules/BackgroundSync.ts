/** Keeps every account's mail in step, for ever: claims the accounts that are due and takes each through a turn. */
import { Effect, Layer } from "effect"
import { Settings } from "../domain/Settings.ts"
import { Concurrency } from "../programs/Concurrency.ts"
import { lanes } from "../programs/Lanes.ts"
import { SyncAccount } from "../programs/SyncAccount.ts"
import { Accounts } from "../storage/Accounts.ts"
import { always } from "./always.ts"
import { everyDue } from "./everyDue.ts"

/**
 * Seconds for which a claimed account is hidden from other processes. A lane that is free begins with it within a turn of
 * another (20 s and the spacing), and its own turn takes as long. One that takes longer is safe all the same: whoever claims the
 * account then finds its lease held. So this only says how soon the accounts of a killed process come up again: with the
 * lease's 45 s, within a minute.
 */
const claimSeconds = 45

export const layer: Layer.Layer<never, never, Accounts | Concurrency | Settings | SyncAccount> = Layer.effectDiscard(
  Effect.gen(function* () {
    const accounts = yield* Accounts
    const syncAccount = yield* SyncAccount
    const settings = yield* Settings
    const { sync } = yield* Concurrency

    const work = lanes({
      concurrency: sync.concurrency,
      spacing: settings.syncSpacing,
      next: everyDue(sync.concurrency, accounts.claimSyncDue(sync.concurrency, claimSeconds)),
      // Outcome and next due time are on the account: one whose round goes on is due again at once, behind the others.
      one: (account) =>
        syncAccount.turn(account.id).pipe(
          sync.admit(account),
          Effect.ignore,
          Effect.catchCause((cause) => Effect.logError("a scheduled sync stopped unexpectedly; it comes again", cause)),
        ),
      done: () => Effect.void,
    })
    yield* Effect.forkScoped(always("background sync", work))
  }),
)
