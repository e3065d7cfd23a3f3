/** Health, metrics and the fleet at a glance. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, HttpApiSchema, OpenApi } from "effect/http-api"
import { AccountStatus, Channel, Provider, RefreshPolicy } from "../domain/Account.ts"
import { FailureClass } from "../domain/FailureClass.ts"
import { RunState } from "../domain/Run.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { Time } from "./Parameters.ts"
import { NotReady } from "./Problems.ts"

/** Work that is due: how much, and for how many seconds the oldest of it has waited. */
const Lag = Schema.Struct({ due: Schema.Int, lagSeconds: Schema.Finite })

/** What is overdue of one app at one tenant, under one policy. */
const AppLag = Schema.Struct({
  appId: Schema.String,
  provider: Provider,
  clientId: Schema.String,
  tenant: Schema.String,
  policy: RefreshPolicy,
  ...Lag.fields,
})

/** Overdue: the policy wants the grant redeemed by now, and no process is working on it. */
const Refresh = Schema.Struct({
  ...Lag.fields,
  /** Only what is overdue; longest lag first, at most 100. */
  byApp: Schema.Array(AppLag),
  /** What is overdue beyond those 100. */
  others: Schema.Record(RefreshPolicy, Lag),
  /** Grants whose last redemption failed. */
  failing: Schema.Record(FailureClass, Schema.Int),
  /** Grants whose refresh token ends soon unless it is used, or somebody signs in again. */
  ending: Schema.Struct({ withinDay: Schema.Int, withinWeek: Schema.Int }),
})

/** Overdue: the account is active, its time has passed, and no process is working on it. */
const Sync = Schema.Struct({
  ...Lag.fields,
  byChannel: Schema.Record(Channel, Lag),
  /** Active accounts that are synced by themselves. */
  accounts: Schema.Int,
  /** Accounts whose last round failed. */
  failing: Schema.Record(FailureClass, Schema.Int),
  /** Active accounts without a complete round for three intervals, and for how long the stalest has had none. */
  stale: Schema.Struct({ accounts: Schema.Int, oldestSeconds: Schema.Finite }),
  /** Folders that are being listed: for the first time, or again after a lost cursor. */
  foldersListing: Schema.Int,
  /** What one process with the settings of the one that answers can do. */
  reach: Schema.Struct({
    everySeconds: Schema.Finite,
    /** Accounts that it takes through a turn within that time; null = not known yet. */
    accounts: Schema.NullOr(Schema.Int),
    /** What a turn took lately; null = there was none yet. */
    meanSeconds: Schema.NullOr(Schema.Finite),
    /** What to set instead, where there are more accounts than that. */
    advice: Schema.optionalKey(Schema.String),
  }),
})

/** The fleet at a glance. */
export const Stats = Schema.Struct({
  accounts: Schema.Struct({
    total: Schema.Int,
    byStatus: Schema.Record(AccountStatus, Schema.Int),
    byProvider: Schema.Record(Provider, Schema.Int),
  }),
  messages: Schema.Int,
  refresh: Refresh,
  sync: Sync,
  runs: Schema.Record(RunState, Schema.Int),
}).annotate({ identifier: "Stats" })
export type Stats = typeof Stats.Type

/** What happened in ten seconds or so, and how things stood at their end. */
const Sample = Schema.Struct({
  at: Schema.DateTimeUtcFromString,
  /** Since the sample before, or since the start of the process. */
  seconds: Schema.Finite,
  refresh: Lag,
  sync: Lag,
  /** Redemptions that this process made meanwhile, by what came of them: `ok`, or a class of failure. */
  redemptions: Schema.Record(Schema.String, Schema.Int),
  /** Turns of syncs, by what came of them: `complete`, `unfinished`, or a class of failure. */
  turns: Schema.Record(Schema.String, Schema.Int),
})

export const History = Schema.Struct({
  /** How often a sample is taken. */
  everySeconds: Schema.Finite,
  /** Oldest first. */
  samples: Schema.Array(Sample),
}).annotate({ identifier: "StatsHistory" })
export type History = typeof History.Type

/** From `from` to the next bar's. */
const Bar = Schema.Struct({ from: Schema.DateTimeUtcFromString, grants: Schema.Int })

export const Due = Schema.Struct({
  refresh: Schema.Struct({
    /** Those whose time has passed. */
    overdue: Schema.Int,
    /** The 48 hours from now on. */
    byHour: Schema.Array(Bar),
    /** After these. */
    later: Schema.Int,
    /** Not by themselves: all of their accounts are disabled, or a token is got only when one is needed. */
    resting: Schema.Int,
  }),
  endings: Schema.Struct({
    /** The 90 days from now on: when refresh tokens end unless they are used, or somebody signs in again, before. */
    byDay: Schema.Array(Bar),
  }),
}).annotate({ identifier: "StatsDue" })
export type Due = typeof Due.Type

/** Behind the key. */
export class Operations extends HttpApiGroup.make("operations")
  .add(
    HttpApiEndpoint.get("stats", "/v1/stats", { success: Stats }).annotateMerge(OpenApi.annotations({
      summary: "The fleet at a glance",
      description:
        "Accounts by status and provider, stored messages, how far refreshing and syncing lag behind, runs by state. " +
        "The refresh lag is for how long the oldest overdue grant has waited: one that its policy wants redeemed by now " +
        "and that no process is working on, whether or not the provider keeps us waiting. The sync lag is the same of " +
        "accounts. `sync.reach` says how many accounts one process can sync within the interval, and what to set where " +
        "there are more. In a fleet so large that " +
        "counting takes more than 0.2 s, each process keeps what it counted for ten times as long as that took, at most 30 s.",
    })),
    HttpApiEndpoint.get("history", "/v1/stats/history", {
      query: { since: Schema.optionalKey(Time) },
      success: History,
    }).annotateMerge(OpenApi.annotations({
      summary: "The last hours",
      description:
        "A sample every ten seconds of the last four hours: how far refreshing and syncing lagged behind, and what the " +
        "process that answers did meanwhile. Kept in its memory, so it begins anew when it is started anew. `since` " +
        "leaves out samples up to that time.",
    })),
    HttpApiEndpoint.get("due", "/v1/stats/due", { success: Due }).annotateMerge(OpenApi.annotations({
      summary: "What is to come",
      description:
        "When grants are redeemed next, by hour, and when refresh tokens end unless they are used before, by day. " +
        "Of grants whose accounts all wait for a sign-in no end is told. Kept as the stats are where counting takes long.",
    })),
    HttpApiEndpoint.get("metrics", "/metrics", {
      success: Schema.String.pipe(HttpApiSchema.asText({ contentType: "text/plain; version=0.0.4; charset=utf-8" })),
    }).annotateMerge(OpenApi.annotations({
      summary: "Metrics for Prometheus",
      description:
        "In the Prometheus text format. Scrape with a key of scope `metrics:read`, or `MAILFLEET_METRICS_KEY`, as the bearer " +
        "token; `accounts:read` allows it, too. Gauges of the fleet are those of the stats, and kept as these are.",
    })),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({ title: "Operations", description: "Watching the fleet and the process." })) {}

/** For probes: without a key. */
export class Health extends HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("live", "/health/live", {
      success: Schema.Struct({ status: Schema.Literal("live") }),
    }).annotateMerge(OpenApi.annotations({
      summary: "Is the process alive?",
      description: "Answers as long as the process can answer at all.",
    })),
    HttpApiEndpoint.get("ready", "/health/ready", {
      success: Schema.Struct({
        status: Schema.Literal("ready"),
        /** `off`: this process leaves refreshing and syncing to others. */
        schedules: Schema.Literals(["on", "off"]),
        /** Processes of the cluster that are alive, this one among them; absent where it is by itself. */
        members: Schema.optionalKey(Schema.Int),
      }),
      error: NotReady,
    }).annotateMerge(OpenApi.annotations({
      summary: "Can the process take requests?",
      description:
        "No while the database does not answer or has older tables than the program, and once the process is shutting down. " +
        "`schedules` says whether this process is set to refresh and sync what is due; whether that keeps up say the lags. " +
        "`members` is how many processes of its cluster are alive.",
    })),
  )
  .middleware(Boundary)
  .annotateMerge(OpenApi.annotations({ title: "Health", description: "Probes. No key needed." })) {}
