/** Refresh policies: those of tags, and which of them each grant follows. */
import { Context, DateTime, Duration, Effect, Layer } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { RefreshPolicy } from "../../domain/Account.ts"
import { Settings, type SettingsValues } from "../../domain/Settings.ts"
import type { TagPolicy } from "../../domain/TagPolicy.ts"
import { resourceOfAccount } from "../AccountResource.ts"
import { inChunks } from "../Chunks.ts"
import { afterCursor, type InvalidCursor, pageOf } from "../Cursor.ts"
import { column, Database, orDie } from "../Database.ts"

interface PolicyContext {
  readonly database: Database["Service"]
  readonly settings: Pick<SettingsValues, "refreshEvery">
}

/** Of which grants the due times are set anew: where the policy changed, of all that are warm as well, or of none. */
type Redue = "changed" | "warm" | "none"

/**
 * Brings `grants.policy` in step, in the transaction of the caller, who has changed what it depends on: tags, own policies
 * and statuses of accounts, or whose grant is whose. Before that, the caller took `lockTagPolicies` and locked the grants:
 * of two changes at once to accounts of one grant, neither would see the other.
 *
 * A grant is warm if one of its accounts that are not disabled is. A resting grant goes on resting, and one that is failing
 * is tried again when its backoff ends.
 *
 * @param grants selects ids of grants, each once or more often
 */
export const followPolicies = (
  { database: { sql, tables: t }, settings }: PolicyContext,
  grants: Statement.Fragment,
  redue: Redue = "changed",
): Effect.Effect<void, SqlError.SqlError> =>
  // Locked in the order of ids, as every statement does that changes many grants at once.
  Effect.asVoid(sql`with wanted as (
      select g.id, case when exists (
          select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled' and ${isWarm(sql, t)}
        ) then 'warm' else 'keep-alive' end as policy
      from ${t.grants} g where g.id in (${grants})
    ), changed as (
      select g.id, wanted.policy, exists (select 1 from ${t.accounts} a where a.grant_id = g.id
        and a.status not in ('active', 'disabled')) as waited_for, ${
    redue === "none" ? sql`null::timestamptz` : sql`case
          when g.due_at is null and not (g.kind <> 'refresh_token' and wanted.policy = 'warm') then null
          when wanted.policy = 'warm' then ${warmDue(sql, t)}
          -- Within the last tenth of the period, as after a redemption.
          else greatest(now(), g.refreshed_at + make_interval(secs => ${
      Duration.toSeconds(settings.refreshEvery)
    }::float8 * (1 - random() / 10))) end`
  } as due
      from wanted join ${t.grants} g using (id)
      where g.policy <> wanted.policy ${redue === "warm" ? sql`or wanted.policy = 'warm'` : sql``}
      order by g.id for update of g
    )
    update ${t.grants} g set policy = changed.policy,
      due_at = case when ${sql.literal(rests)} then null else coalesce(changed.due, g.due_at) end,
      attempt_at = case when g.failures > 0 and g.attempt_at is not null then g.attempt_at when ${
    sql.literal(rests)
  } then null
        else coalesce(changed.due, g.attempt_at) end
    from changed where g.id = changed.id`)

/** There is nothing to keep alive of an app-only grant: it rests unless it is warm. */
const rests = "g.kind <> 'refresh_token' and changed.policy <> 'warm' and not changed.waited_for"

type Tables = Database["Service"]["tables"]
type Sql = Database["Service"]["sql"]

/** The condition that `accounts a` is warm: by its own policy, else by one of its tags. */
const isWarm = (sql: Sql, t: Tables): Statement.Fragment =>
  sql`coalesce(a.refresh_policy = 'warm',
    exists (select 1 from ${t.tag_policies} p where p.tag = any(a.tags) and p.policy = 'warm'))`

/** Each resource that the accounts of `grants g` read through is kept valid: the first token to be replaced decides. */
const warmDue = (sql: Sql, t: Tables): Statement.Fragment =>
  sql`greatest(now(), (
    select min(coalesce(x.renew_at, now())) from (
      select distinct ${resourceOfAccount(sql)} as resource from ${t.accounts} a
      where a.grant_id = g.id and a.status <> 'disabled'
    ) w left join ${t.access_tokens} x on x.grant_id = g.id and x.resource = w.resource
  ))`

/**
 * Keeps the policies of tags as they are until the transaction ends. Taken before any other lock: whoever changes a policy
 * waits for it with no grant locked, and then sees the accounts that were stored meanwhile.
 */
export const lockTagPolicies = ({ sql, tables: t }: Database["Service"]): Effect.Effect<void, SqlError.SqlError> =>
  Effect.asVoid(sql`lock table ${t.tag_policies} in share mode`)

/** Whether tags can make accounts warm at all. It stays so until the transaction ends: `lockTagPolicies` is taken. */
export const areTagsWarm = (database: Database["Service"]): Effect.Effect<boolean, SqlError.SqlError> => {
  const { sql, tables: t } = database
  const look = sql`select 1 from ${t.tag_policies} where policy = 'warm' limit 1`
  return lockTagPolicies(database).pipe(Effect.andThen(look), Effect.map((rows) => rows.length > 0))
}

/** Accounts whose grants follow at once: some tens of milliseconds, for which others may wait for one of them. */
const chunkRows = 1_000

/** A change takes about a minute for a million accounts: one that is older has been broken off, or goes on beside its finisher. */
const unfinishedSeconds = 120

interface TagPolicyRow {
  readonly tag: string
  readonly policy: RefreshPolicy
  readonly created_at: Date
}

const toTagPolicy = (row: TagPolicyRow): TagPolicy => ({
  tag: row.tag,
  policy: row.policy,
  createdAt: DateTime.fromDateUnsafe(row.created_at),
})

export class Policies extends Context.Service<Policies, {
  /** The policies of tags, in the order of tags. */
  readonly list: (
    options: { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<{ readonly items: ReadonlyArray<TagPolicy>; readonly nextCursor: string | null }, InvalidCursor>
  /**
   * Sets the policy of a tag, for accounts that carry it now or later and have none of their own. It is in force at once for
   * accounts that change from now on, and for all when this returns.
   */
  readonly set: (tag: string, policy: RefreshPolicy) => Effect.Effect<TagPolicy>
  /** False = the tag has no policy. */
  readonly unset: (tag: string) => Effect.Effect<boolean>
  /** Finishes changes that were broken off before all grants had followed. */
  readonly followUnfinished: Effect.Effect<void>
}>()("mailfleet/storage/Policies") {
  static readonly layer: Layer.Layer<Policies, never, Database | Settings> = Layer.effect(
    Policies,
    Effect.gen(function* () {
      const database = yield* Database
      const settings = yield* Settings
      const { sql, tables: t } = database

      /** One change at a time, and after the account changes that are under way, which hold `lockTagPolicies`. */
      const alone = <A>(change: Effect.Effect<A, SqlError.SqlError>) =>
        sql.withTransaction(
          Effect.andThen(sql`lock table ${t.tag_policies} in share row exclusive mode`, change),
        )

      // Index: accounts_tags, or, for a tag that very many carry, the primary key.
      const taggedAfter = (tag: string, after: string) =>
        sql<{ id: string; grant_id: string }>`select a.id, a.grant_id from ${t.accounts} a
          where a.tags @> ${column("text", [tag])} and a.id > ${after} order by a.id limit ${chunkRows}`

      /**
       * Brings the grants of the tag in step with its policy, which is committed by now: accounts that change meanwhile follow
       * it by themselves, for they waited for that commit or began after it.
       */
      const follow = Effect.fn("Policies.follow")(function* (tag: string, version: number) {
        yield* inChunks(chunkRows, (after) =>
          sql.withTransaction(Effect.gen(function* () {
            yield* lockTagPolicies(database)
            const tagged = yield* taggedAfter(tag, after)
            const grants = column("uuid", tagged.map(({ grant_id }) => grant_id))
            yield* sql`select 1 from ${t.grants} where id = any(${grants}) order by id for update`
            yield* followPolicies({ database, settings }, sql`select unnest(${grants})`)
            return tagged.map(({ id }) => id)
          })))
        // Another change meanwhile is followed by whoever made it.
        yield* sql`delete from ${t.tag_policies} where tag = ${tag} and version = ${version} and policy is null`
        yield* sql`update ${t.tag_policies} set followed_version = ${version} where tag = ${tag} and version = ${version}`
      })

      const list = Effect.fn("Policies.list")(
        function* ({ cursor, limit }: { readonly limit: number; readonly cursor?: string | undefined }) {
          const after = yield* afterCursor(cursor, (tag) => !tag.includes("\0"))
          const rows = yield* orDie(
            sql<TagPolicyRow>`select tag, policy, created_at from ${t.tag_policies}
              where policy is not null and ${after === undefined ? sql`true` : sql`tag collate "C" > ${after}`}
              order by tag collate "C" limit ${limit + 1}`,
          )
          return pageOf(rows, limit, toTagPolicy, ({ tag }) => tag)
        },
      )

      return Policies.of({
        list,
        set: Effect.fn("Policies.set")(function* (tag: string, policy: RefreshPolicy) {
          const rows = yield* alone(sql<TagPolicyRow & { version: number }>`
            insert into ${t.tag_policies} as p (tag, policy) values (${tag}, ${policy})
            on conflict (tag) do update set policy = excluded.policy, version = p.version + 1, changed_at = now(),
              created_at = case when p.policy is null then now() else p.created_at end
            returning tag, policy, created_at, version`)
          yield* follow(tag, rows[0]!.version)
          return toTagPolicy(rows[0]!)
        }, orDie),
        unset: Effect.fn("Policies.unset")(function* (tag: string) {
          const rows = yield* alone(sql<{ version: number }>`update ${t.tag_policies}
            set policy = null, version = version + 1, changed_at = now()
            where tag = ${tag} and policy is not null returning version`)
          if (rows[0] === undefined) return false
          yield* follow(tag, rows[0].version)
          return true
        }, orDie),
        followUnfinished: Effect.gen(function* () {
          const rows = yield* sql<{ tag: string; version: number }>`select tag, version from ${t.tag_policies}
            where followed_version <> version and changed_at < now() - make_interval(secs => ${unfinishedSeconds})`
          for (const { tag, version } of rows) yield* follow(tag, version)
        }).pipe(Effect.withSpan("Policies.followUnfinished"), orDie),
      })
    }),
  )
}
