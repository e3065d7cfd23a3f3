/** Refresh: redeem the refresh token of each account of a run once. One failure never touches another account. */
import { Effect } from "effect"
import { Tokens } from "../oauth/Tokens.ts"
import type { OwnedRun, WorkItem } from "../storage/Runs.ts"
import type { Lane } from "./Concurrency.ts"
import { orPostpone, runOver, skipped, succeeded } from "./RunOver.ts"

/** Redeems one account's grant, unless that has happened since the run was asked for: so repeating an item is harmless. */
export const refreshOne = Effect.fnUntraced(function* (run: OwnedRun, lane: Lane, item: WorkItem, attempt: number) {
  const tokens = yield* Tokens
  if (item.status === "disabled") return skipped("account_disabled", "the account is disabled")
  if (item.refreshedAt !== null && item.refreshedAt >= run.createdAt) return succeeded
  const redeemed = item.sharesGrant
    ? tokens.refreshSince(item.grantId, item.resource, item.app, run.createdAt.getTime())
    : tokens.refresh(item.grantId, item.resource, item.app)
  return yield* redeemed.pipe(
    lane.admit(item.app),
    Effect.as(succeeded),
    Effect.catch((error) => orPostpone(error, attempt)),
  )
})

export const refresh = (run: OwnedRun, lane: Lane) =>
  Effect.flatMap(
    Tokens,
    (tokens) =>
      runOver(run, lane.concurrency, (item, attempt) =>
        refreshOne(run, lane, item, attempt).pipe(Effect.provideService(Tokens, tokens))),
  )
