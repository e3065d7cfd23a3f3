/** From a row of an import to an account with its grant, in the caller's transaction. */
import { Duration, Effect, Random, Redacted } from "effect"
import type { SqlError } from "effect/sql"
import type { Channel, Provider } from "../../domain/Account.ts"
import { type AccountId, newId } from "../../domain/Ids.ts"
import type { ItemError, OnDuplicate } from "../../domain/Run.ts"
import type { SettingsValues } from "../../domain/Settings.ts"
import type { Vault } from "../../oauth/Vault.ts"
import { statusChange } from "../Accounts.ts"
import { appendChanges } from "../mail/ChangeLog.ts"
import { column, type Database } from "../Database.ts"
import { registeredLife } from "../grants/Endings.ts"
import { leaveChannel } from "../mail/FolderRenames.ts"
import { grantOwner } from "../grants/Grants.ts"
import { areTagsWarm, followPolicies } from "../grants/Policies.ts"

export interface NewRow {
  readonly email: string
  readonly clientId: string
  readonly refreshToken: Redacted.Redacted
  readonly tenant: string
  readonly provider: Provider
  readonly channel: Channel
  /** Nobody named it: what the provider grants decides. */
  readonly channelOpen?: true | undefined
  readonly tags: ReadonlyArray<string>
}

/** `Stored`: there is an account with this token now, or would be in a dry run. Else the row is settled, by `error`. */
export type RowResult =
  | { readonly _tag: "Stored"; readonly accountId: AccountId | undefined }
  | {
    readonly _tag: "Settled"
    readonly accountId: AccountId | undefined
    readonly outcome: "skipped" | "failed"
    readonly error: ItemError
  }

/** Provider and address: what makes an account unique. */
export const accountKey = (row: { readonly provider: string; readonly email: string }): string =>
  `${row.provider}:${row.email.toLowerCase()}`

interface Existing {
  readonly id: string
  readonly provider: Provider
  readonly email_key: string
  readonly grant_id: string
  readonly status: "pending" | "active" | "needs_reauth" | "blocked" | "disabled"
  /** False: there is no token of its own to replace. */
  readonly has_token: boolean
}

interface Context {
  readonly database: Database["Service"]
  readonly vault: Vault["Service"]
  readonly settings: SettingsValues
}

export interface RowOptions {
  readonly onDuplicate: OnDuplicate
  /** A dry run only says what would become of the rows. */
  readonly dryRun: boolean
  /** Whether the caller redeems the tokens itself, right after. */
  readonly verify: boolean
}

/** No two rows may have the same key. Answers one result for each row, in order. */
export const storeRows = (
  context: Context,
  rows: ReadonlyArray<NewRow>,
  options: RowOptions,
): Effect.Effect<ReadonlyArray<RowResult>, SqlError.SqlError> =>
  Effect.gen(function* () {
    const tagsMatter = options.dryRun ? false : yield* areTagsWarm(context.database)
    const results = new Map<string, RowResult>()
    let existing = yield* findExisting(context, rows)
    const fresh = rows.filter((row) => !existing.has(accountKey(row)))
    if (options.dryRun) {
      for (const row of fresh) results.set(accountKey(row), { _tag: "Stored", accountId: undefined })
    } else if (fresh.length > 0) {
      const created = yield* insertAccounts(context, fresh, options.verify)
      for (const [key, accountId] of created) results.set(key, { _tag: "Stored", accountId })
      // Another import was faster with some of them.
      if (created.size < fresh.length) existing = yield* findExisting(context, rows)
    }
    const duplicates = rows.filter((row) => !results.has(accountKey(row)))
    if (options.onDuplicate === "update" && !options.dryRun) yield* lockGrants(context, duplicates, existing)
    const known = options.onDuplicate === "update"
      ? yield* knownTokens(context, duplicates, existing)
      : new Set<string>()
    const updates: Array<readonly [NewRow, Existing]> = []
    for (const row of duplicates) {
      const key = accountKey(row)
      const account = existing.get(key)!
      if (options.onDuplicate !== "update") {
        results.set(key, duplicate(account, options.onDuplicate))
      } else if (!account.has_token) {
        results.set(key, withoutToken(account))
      } else if (known.has(key)) {
        results.set(key, tokenKnown(account))
      } else {
        updates.push([row, account])
        results.set(key, { _tag: "Stored", accountId: account.id })
      }
    }
    if (updates.length > 0 && !options.dryRun) yield* replaceTokens(context, updates, options.verify)
    if (tagsMatter) yield* followTags(context, [...results.values()], options.verify)
    return rows.map((row) => results.get(accountKey(row))!)
  })

/** Rows that bring tags change the policies of their grants. Whoever verifies redeems them right after: nothing is due now. */
const followTags = (context: Context, results: ReadonlyArray<RowResult>, verify: boolean) => {
  const { database: { sql, tables: t } } = context
  const stored = results.flatMap((result) => result._tag === "Stored" ? result.accountId ?? [] : [])
  return followPolicies(
    context,
    sql`select a.grant_id from ${t.accounts} a where a.id = any(${column("uuid", stored)})`,
    verify ? "none" : "changed",
  )
}

const duplicate = (account: Existing, onDuplicate: "skip" | "fail"): RowResult => ({
  _tag: "Settled",
  accountId: account.id,
  outcome: onDuplicate === "skip" ? "skipped" : "failed",
  error: {
    code: "duplicate_account",
    message: "there is an account with this address already; onDuplicate=update gives it the new token",
    retryable: false,
  },
})

const withoutToken = (account: Existing): RowResult => ({
  _tag: "Settled",
  accountId: account.id,
  outcome: "failed",
  error: {
    code: "account_has_no_token",
    message:
      "the account is read by the grant of a tenant, of a service account or of somebody else, and has no token of its " +
      "own; delete it first to import it with one",
    retryable: false,
  },
})

const tokenKnown = (account: Existing): RowResult => ({
  _tag: "Settled",
  accountId: account.id,
  outcome: "skipped",
  error: {
    code: "token_known",
    message: "the account has or had this refresh token already; an old token is never put back",
    retryable: false,
  },
})

// Unique index on accounts (provider, email_key).
const findExisting = ({ database: { sql, tables: t } }: Context, rows: ReadonlyArray<NewRow>) =>
  Effect.map(
    sql<Existing>`select a.id, a.provider, a.email_key, a.grant_id, a.status,
        g.kind = 'refresh_token' and not a.by_name as has_token
      from unnest(${column("text", rows.map(({ provider }) => provider))},
        ${column("text", rows.map(({ email }) => email.toLowerCase()))}) as row (provider, email_key)
      join ${t.accounts} a on a.provider = row.provider and a.email_key = row.email_key collate "C"
      join ${t.grants} g on g.id = a.grant_id`,
    (found) => new Map(found.map((account) => [`${account.provider}:${account.email_key}`, account])),
  )

/** Before their tokens are looked at: what another import, or a redemption, stores meanwhile is known by then. */
const lockGrants = (
  { database: { sql, tables: t } }: Context,
  rows: ReadonlyArray<NewRow>,
  existing: ReadonlyMap<string, Existing>,
) => {
  const grantIds = rows.flatMap((row) => existing.get(accountKey(row))?.grant_id ?? [])
  return grantIds.length === 0
    ? Effect.void
    : sql`select 1 from ${t.grants} where id = any(${column("uuid", grantIds)}) order by id for update`
}

/** The keys of rows whose token their grant has, or has had. */
const knownTokens = Effect.fnUntraced(function* (
  { database: { sql, tables: t }, vault }: Context,
  rows: ReadonlyArray<NewRow>,
  existing: ReadonlyMap<string, Existing>,
) {
  const candidates = rows.flatMap((row) =>
    vault.hashes(row.refreshToken).map((hash) => ({
      key: accountKey(row),
      grantId: existing.get(accountKey(row))!.grant_id,
      hash,
    }))
  )
  if (candidates.length === 0) return new Set<string>()
  const found = yield* sql<{ key: string }>`select c.key
    from unnest(${column("text", candidates.map(({ key }) => key))}, ${
    column("uuid", candidates.map(({ grantId }) => grantId))
  },
      ${column("bytea", candidates.map(({ hash }) => hash))}) as c (key, grant_id, hash)
    where exists (select 1 from ${t.grants} g where g.id = c.grant_id and g.token_hash = c.hash)
      or exists (select 1 from ${t.grant_tokens} k where k.grant_id = c.grant_id and k.hash = c.hash)`
  return new Set(found.map(({ key }) => key))
})

/** Ids of the apps that the rows name; one that is not known yet becomes a public app. */
const appIds = Effect.fnUntraced(function* ({ database: { sql, tables: t } }: Context, rows: ReadonlyArray<NewRow>) {
  const named = new Map(rows.map((row) => [appName(row), row]))
  const apps = [...named.values()]
  const lookup = sql<{ id: string; provider: string; client_id: string; tenant: string }>`
    select p.id, p.provider, p.client_id, p.tenant from ${t.apps} p
    join unnest(${column("text", apps.map(({ provider }) => provider))}, ${
    column("text", apps.map(({ clientId }) => clientId))
  },
      ${column("text", apps.map(({ tenant }) => tenant))}) as n (provider, client_id, tenant)
      on p.provider = n.provider and p.client_id = n.client_id and p.tenant = n.tenant`
  let found = yield* lookup
  if (found.length < apps.length) {
    yield* sql`insert into ${t.apps} (id, provider, client_id, tenant)
      select * from unnest(${column("uuid", apps.map(() => newId()))}, ${
      column("text", apps.map(({ provider }) => provider))
    },
        ${column("text", apps.map(({ clientId }) => clientId))}, ${column("text", apps.map(({ tenant }) => tenant))})
      on conflict do nothing`
    found = yield* lookup
  }
  const ids = new Map(found.map((app) => [appName({ ...app, clientId: app.client_id }), app.id]))
  return (row: NewRow) => ids.get(appName(row))!
})

const appName = (app: { readonly provider: string; readonly clientId: string; readonly tenant: string }): string =>
  JSON.stringify([app.provider, app.clientId, app.tenant])

/** The golden ratio: its multiples fill the unit interval evenly, from wherever they start. */
const golden = 0.618_033_988_749_895

/** Accounts that the caller verifies come due only later, in case it is stopped; the others are spread over the period. */
const firstDue = Effect.fnUntraced(function* ({ settings }: Context, count: number, verify: boolean) {
  const period = Duration.toSeconds(settings.refreshEvery)
  const start = yield* Random.next
  return Array.from({ length: count }, (_, index) => {
    const spread = (start + index * golden) % 1
    return period * (verify ? 0.5 + spread / 2 : spread)
  })
})

const insertAccounts = Effect.fnUntraced(function* (context: Context, rows: ReadonlyArray<NewRow>, verify: boolean) {
  const { database: { sql, tables: t }, vault } = context
  const appId = yield* appIds(context, rows)
  const news = rows.map((row) => ({ row, accountId: newId(), grantId: newId() }))
  const dues = yield* firstDue(context, rows.length, verify)
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, due_at, attempt_at, lives_until)
    select new.id, app_id, new.secret, hash, now() + make_interval(secs => due), now() + make_interval(secs => due),
      -- When the user signed in is not known: at the latest now.
      now() + ${sql.literal(registeredLife)}
    from unnest(${column("uuid", news.map(({ grantId }) => grantId))}, ${
    column("uuid", news.map(({ row }) => appId(row)))
  },
      ${
    column("bytea", news.map(({ row, grantId }) => vault.seal(grantOwner(grantId), Redacted.value(row.refreshToken))))
  },
      ${column("bytea", news.map(({ row }) => vault.hash(row.refreshToken)))}, ${column("float8", dues)})
      as new (id, app_id, secret, hash, due) join ${t.apps} p on p.id = new.app_id`
  const inserted = yield* sql<{ id: string }>`
    insert into ${t.accounts} (id, provider, email, email_key, channel, channel_open, grant_id, tags)
    select id, provider, email, email_key, channel, channel_open, grant_id,
      case tags when '[]' then '{}' else
        (select array_agg(tag order by place) from jsonb_array_elements_text(tags::jsonb) with ordinality as e (tag, place)) end
    from unnest(${column("uuid", news.map(({ accountId }) => accountId))}, ${
    column("text", rows.map(({ provider }) => provider))
  },
      ${column("text", rows.map(({ email }) => email))}, ${
    column("text", rows.map(({ email }) => email.toLowerCase()))
  },
      ${column("text", rows.map(({ channel }) => channel))},
      ${column("bool", rows.map(({ channelOpen }) => channelOpen === true))}, ${
    column("uuid", news.map(({ grantId }) => grantId))
  },
      ${column("text", rows.map(({ tags }) => JSON.stringify(tags)))})
      as new (id, provider, email, email_key, channel, channel_open, grant_id, tags)
    on conflict (provider, email_key) do nothing returning id`
  if (inserted.length === news.length) {
    return new Map(news.map(({ row, accountId }) => [accountKey(row), accountId]))
  }
  const there = new Set(inserted.map(({ id }) => id))
  const orphans = news.filter(({ accountId }) => !there.has(accountId))
  yield* sql`delete from ${t.grants} where id = any(${column("uuid", orphans.map(({ grantId }) => grantId))})`
  return new Map(
    news.filter(({ accountId }) => there.has(accountId)).map(({ row, accountId }) => [accountKey(row), accountId]),
  )
})

/**
 * The new token takes the place of the old one, whose hash stays; the account is `pending` until it is redeemed. One that
 * the operator has disabled stays so.
 */
const replaceTokens = Effect.fnUntraced(function* (
  context: Context,
  updates: ReadonlyArray<readonly [NewRow, Existing]>,
  verify: boolean,
) {
  const { database, vault } = context
  const { sql, tables: t } = database
  const appId = yield* appIds(context, updates.map(([row]) => row))
  const grantIds = column("uuid", updates.map(([, account]) => account.grant_id))
  const dues = yield* firstDue(context, updates.length, verify)
  // The access tokens of the old token go with it: nobody else gets a warm grant a new one at once.
  const due = verify ? sql`new.due` : sql`case g.policy when 'warm' then 0 else new.due end`
  yield* sql`insert into ${t.grant_tokens} (grant_id, hash) select id, token_hash from ${t.grants}
    where id = any(${grantIds}) on conflict do nothing`
  yield* sql`update ${t.grants} g set app_id = new.app_id, secret = new.secret, token_hash = new.hash,
      version = g.version + 1, failures = 0, failing_since = null, failure_class = null, failure_code = null,
      failure_message = null, failure_trace_id = null, failure_correlation_id = null, failed_at = null,
      restored_at = null, signed_in_at = null, lives_until = (select now() + ${
    sql.literal(registeredLife)
  } from ${t.apps} p where p.id = new.app_id),
      (due_at, attempt_at) = (select next.at, next.at from (select case when exists (
        select 1 from ${t.accounts} a where a.grant_id = g.id and a.status <> 'disabled'
      ) then now() + make_interval(secs => ${due}) end as at) next)
    from unnest(${grantIds}, ${column("uuid", updates.map(([row]) => appId(row)))},
      ${
    column(
      "bytea",
      updates.map(([row, account]) => vault.seal(grantOwner(account.grant_id), Redacted.value(row.refreshToken))),
    )
  },
      ${column("bytea", updates.map(([row]) => vault.hash(row.refreshToken)))}, ${column("float8", dues)})
      as new (id, app_id, secret, hash, due)
    where g.id = new.id`
  yield* sql`delete from ${t.access_tokens} where grant_id = any(${grantIds})`
  // A row that names no channel leaves that of the account.
  const named = updates.filter(([row]) => row.channelOpen !== true)
  const changed = yield* sql<{ id: string }>`select a.id from ${t.accounts} a
    join unnest(${column("uuid", named.map(([, account]) => account.id))}, ${
    column("text", named.map(([row]) => row.channel))
  }) as new (id, channel) on new.id = a.id and new.channel <> a.channel`
  for (const { id } of changed) yield* leaveChannel(database, id)
  yield* sql`update ${t.accounts} a set email = new.email, sync_due_at = null,
      channel = case when new.channel_open then a.channel else new.channel end,
      channel_open = a.channel_open and new.channel_open,
      status = case a.status when 'disabled' then a.status else 'pending' end,
      status_since = case when a.status in ('disabled', 'pending') then a.status_since else now() end,
      status_reason = case a.status when 'disabled' then a.status_reason end, updated_at = now(),
      tags = (select coalesce(array_agg(distinct tag), '{}') from (
        select unnest(a.tags) as tag union select jsonb_array_elements_text(new.tags::jsonb)) all_tags)
    from unnest(${column("uuid", updates.map(([, account]) => account.id))}, ${
    column("text", updates.map(([row]) => row.email))
  },
      ${column("text", updates.map(([row]) => row.channel))},
      ${column("bool", updates.map(([row]) => row.channelOpen === true))}, ${
    column("text", updates.map(([row]) => JSON.stringify(row.tags)))
  })
      as new (id, email, channel, channel_open, tags)
    where a.id = new.id`
  yield* appendChanges(
    database,
    updates.filter(([, { status }]) => status !== "pending" && status !== "disabled").map(([, { id, status }]) =>
      statusChange(id, status, "pending")
    ),
  )
})
