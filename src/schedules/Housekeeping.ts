/** What is to be done now and then: sweeping what nobody will come back for, and finishing what was broken off. */
import { type Duration, Effect, Layer, Schedule } from "effect"
import { Settings } from "../domain/Settings.ts"
import type { Event } from "../domain/Event.ts"
import { Erasing } from "../programs/Erasing.ts"
import { Audit } from "../storage/Audit.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { BodyKeeping } from "../storage/mail/BodyKeeping.ts"
import { Endings } from "../storage/grants/Endings.ts"
import { ImportStaging } from "../storage/runs/ImportStaging.ts"
import { MailKeeping } from "../storage/mail/MailKeeping.ts"
import { Policies } from "../storage/grants/Policies.ts"
import { Sweeps } from "../storage/Sweeps.ts"
import { Cluster } from "./Cluster.ts"

const logEach = Effect.forEach(({ message, ...about }: Omit<Event, "id" | "at">) => Effect.logWarning(message, about), {
  discard: true,
})

const logEnding = (count: number) =>
  count === 0 ? Effect.void : Effect.logWarning("grants end soon: see the events grant.ending", { grants: count })

type Duty = readonly [what: string, duty: Effect.Effect<unknown>]

const repeated = (pause: Duration.Input, duties: ReadonlyArray<Duty>) =>
  Effect.forEach(
    duties,
    ([what, duty]) =>
      Effect.catchCause(
        Effect.asVoid(duty),
        (cause) => Effect.logError(`housekeeping of ${what} failed; it is tried again`, cause),
      ),
    { discard: true },
  ).pipe(Effect.repeat(Schedule.spaced(pause)), Effect.andThen(Effect.never))

export const layer: Layer.Layer<
  never,
  never,
  Apps | Audit | BodyKeeping | Cluster | Endings | Erasing | ImportStaging | MailKeeping | Policies | Settings | Sweeps
> = Layer
  .effectDiscard(
    Effect.gen(function* () {
      const { auditRetentionDays } = yield* Settings
      const apps = yield* Apps
      const audit = yield* Audit
      const cluster = yield* Cluster
      const endings = yield* Endings
      const erasing = yield* Erasing
      const staging = yield* ImportStaging
      const bodies = yield* BodyKeeping
      const mail = yield* MailKeeping
      const policies = yield* Policies
      const sweeps = yield* Sweeps
      yield* cluster.once(
        "housekeeping",
        repeated("1 minute", [
          ["broken uploads", staging.sweep],
          ["changes of tag policies", policies.followUnfinished],
          ["hashes of past tokens", sweeps.tokenHashes],
          ["access tokens that have ended", sweeps.accessTokens],
          ["partitions of bodies", bodies.makeAhead],
          ["bodies without a message", bodies.sweep],
          ["old sessions of sign-ins", sweeps.connectSessions],
          ["old events", sweeps.events],
          ["old entries of the audit log", auditRetentionDays === null ? Effect.void : audit.prune(auditRetentionDays)],
          ["old runs", sweeps.runs],
          ["old changes", sweeps.changes],
          ["deliveries to webhooks that arrived", sweeps.deliveries],
          ["pauses that are over", sweeps.pauses],
          ["secrets of apps that end", Effect.flatMap(apps.tellExpiring, logEach)],
        ]),
      )
      // By itself: after an upgrade, or a smaller choice of many accounts, it takes hours.
      yield* cluster.once(
        "mail keeping",
        repeated("1 minute", [
          ["what old messages are found by", mail.fillIndex],
          ["bodies that accounts do not keep", mail.eraseBodies],
          ["bodies of before they were apart", bodies.moveOld],
        ]),
      )
      yield* cluster.once(
        "erasing",
        repeated("1 minute", [
          ["accounts that were deleted", erasing.work],
        ]),
      )
      yield* cluster.once(
        "mail retention",
        repeated("1 hour", [
          ["messages past their retention", mail.prune],
        ]),
      )
      yield* cluster.once(
        "grants that end",
        repeated("1 hour", [
          ["grants that end", Effect.tap(endings.tell, logEnding)],
        ]),
      )
    }),
  )
