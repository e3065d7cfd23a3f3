/** Refresh: redeem the refresh token of each account of a run once. One failure never touches another account. */
import { Effect } from "effect"
import { Tokens } from "../oauth/Tokens.ts"
import type { OwnedRun, WorkItem } from "../storage/runs/Runs.ts"
import type { Lane } from "./Concurrency.ts"
import { isPostponed, type Postponed } from "./Lanes.ts"
import { type ItemOutcome, orPostpone, runOver, skipped, succeeded } from "./RunOver.ts"

/**
 * What became of grants that several accounts of a run share, by grant, resource and attempt: each is redeemed, or refused,
 * once for all of them.
 */
export type SharedOutcomes = Map<string, ItemOutcome | Postponed>

/** Redeems one account's grant, unless that has happened since the run was asked for: so repeating an item is harmless. */
export const refreshOne = Effect.fnUntraced(function* (
  run: OwnedRun,
  lane: Lane,
  item: WorkItem,
  attempt: number,
  shared: SharedOutcomes = new Map(),
) {
  const tokens = yield* Tokens
  if (item.status === "disabled") return skipped("account_disabled", "the account is disabled")
  if (item.refreshedAt !== null && item.refreshedAt >= run.createdAt) return succeeded
  const { app, grantId, resource } = item
  if (!item.sharesGrant) {
    return yield* tokens.refresh(grantId, resource, app).pipe(
      lane.admit(app),
      Effect.as(succeeded),
      Effect.catch((error) => orPostpone(error, attempt)),
    )
  }
  const key = `${grantId}:${resource}:${attempt}`
  const redeem = tokens.refreshSince(grantId, resource, app, run.createdAt.getTime()).pipe(
    Effect.as(succeeded),
    Effect.catch((error) => orPostpone(error, attempt)),
    // A pause holds the others back by itself, and does not count as an attempt.
    Effect.tap((outcome) => Effect.sync(() => isPostponed(outcome) && !outcome.counts || shared.set(key, outcome))),
  )
  const once = Effect.suspend(() => {
    const known = shared.get(key)
    return known === undefined ? redeem : Effect.succeed(known)
  })
  // Looked at again once it is admitted.
  return shared.get(key) ?? (yield* once.pipe(lane.admit(app)))
})

export const refresh = (run: OwnedRun, lane: Lane) =>
  Effect.flatMap(Tokens, (tokens) => {
    const shared: SharedOutcomes = new Map()
    return runOver(run, lane.concurrency, (item, attempt) =>
      refreshOne(run, lane, item, attempt, shared).pipe(Effect.provideService(Tokens, tokens)))
  })
