/** Which messages want a body: by the account's choice, and by what is stored. */
import { DateTime, Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { SettingsValues } from "../../domain/Settings.ts"
import type { Page } from "../../mail/Mailbox.ts"
import { asAnyAccount, byIndex, type Database } from "../Database.ts"
import type { FolderState } from "./Folders.ts"
import { choiceDays, horizon } from "./MailChoices.ts"
import { toldBy } from "./MessageRows.ts"
import { postgresJson } from "../PostgresText.ts"
import type { LeaseKey } from "./SyncLeases.ts"

/** Messages of one folder whose bodies are to be asked for. */
export interface Wanted {
  readonly folderRemoteId: string
  readonly remoteIds: ReadonlyArray<string>
}

/** True for a time of which `accounts a` chose to have bodies. */
const isChosen = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  time: Statement.Fragment,
): Statement.Fragment => {
  const days = choiceDays(database, settings, "bodyDays")
  return database.sql`(${days} is null or (${days} > 0 and ${time} >= now() - make_interval(days => ${days})))`
}

/** The remote ids of a page, in its order, that want a body. A draft does whenever it comes up: its text may have changed. */
export const wanting = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  { accountId }: LeaseKey,
  folder: FolderState,
  changes: Page["changes"],
): Effect.Effect<ReadonlyArray<string>, SqlError.SqlError> => {
  const { sql, tables: t } = database
  const without = toldBy(changes).filter(({ fields, word }) => word === "shown" && fields.bodyState === undefined)
  if (without.length === 0) return Effect.succeed([])
  const rows = postgresJson(without.map(({ fields, ifKnown, remoteId, twinKey }, ord) => ({
    ord,
    remote_id: remoteId,
    if_known: ifKnown,
    twin_key: twinKey,
    received_at: fields.receivedAt === undefined || fields.receivedAt === null
      ? null
      : DateTime.formatIso(fields.receivedAt),
  })))
  const days = horizon(database, settings)
  const wanted = sql<{ remote_id: string }>`select p.remote_id
      from json_to_recordset(${rows}::json) as p (ord integer, remote_id text, if_known boolean, twin_key text,
        received_at timestamptz)
      join ${t.accounts} a on a.id = ${asAnyAccount(sql, accountId)}
      left join lateral (
        select * from ${t.messages} m where m.account_id = a.id and m.remote_id = p.remote_id limit 1) m on true
      where ${isChosen(database, settings, sql`coalesce(p.received_at, m.received_at, 'infinity')`)} and case
        when m.id is not null then m.body_state = 'headers' or (m.is_draft and not p.if_known)
        else not p.if_known
          and (${days} is null or coalesce(p.received_at, 'infinity') >= now() - make_interval(days => ${days}))
          and not exists (
            select 1 from ${t.message_index} i
            join ${t.messages} twin on twin.account_id = i.account_id and twin.id = i.message_id
            where i.account_id = a.id and i.twin_key = p.twin_key and twin.body_state <> 'headers'
              and (twin.removed_at is not null or (twin.folder_id = ${folder.id} and twin.seen_round < ${folder.round})))
        end
      order by p.ord`
  return sql.withTransaction(Effect.andThen(sql`select ${sql.literal(byIndex)}`, wanted)).pipe(
    Effect.map((found) => found.map(({ remote_id }) => remote_id)),
  )
}

/** Where in an account's backlog a look ended. */
export interface BacklogPlace {
  /** As the database writes it. */
  readonly receivedAt: string
  readonly messageId: string
}

export interface Backlog {
  /** By folder. */
  readonly wanted: ReadonlyArray<Wanted>
  /** Behind the last of them; undefined = the backlog ends with them. */
  readonly end: BacklogPlace | undefined
}

/** Stands for the time of a message that has none. */
const undated = "-infinity"

/**
 * Stored messages that want a body, those without a time first and then the newest first, as {@link wanting} has them: the
 * `limit` that come after a place. Index: message_index_bodies.
 */
export const bodyBacklog = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  { accountId }: LeaseKey,
  limit: number,
  after?: BacklogPlace | undefined,
): Effect.Effect<Backlog, SqlError.SqlError> => {
  const { sql, tables: t } = database
  const account = asAnyAccount(sql, accountId)
  const part = (place: Statement.Fragment) =>
    sql`(select i.received_at, i.message_id, f.remote_id as folder, m.remote_id
      from ${t.accounts} a
      join ${t.message_index} i on i.account_id = a.id and i.wants_body and ${place}
      join ${t.messages} m on m.account_id = a.id and m.id = i.message_id and m.removed_at is null
      join ${t.folders} f on f.account_id = a.id and f.id = m.folder_id and not f.gone and not f.earlier
      where a.id = ${account} and ${isChosen(database, settings, sql`coalesce(m.received_at, 'infinity')`)}
      order by i.received_at desc, i.message_id desc limit ${limit})`
  const isDated = after !== undefined && after.receivedAt !== undated
  const behind = after === undefined
    ? sql`true`
    : isDated
    ? sql`(i.received_at, i.message_id) < (${after.receivedAt}::timestamptz, ${after.messageId}::uuid)`
    : sql`i.message_id < ${after.messageId}`
  const withoutTime = sql`i.received_at = ${undated} and ${isDated ? sql`false` : behind}`
  const withTime = sql`i.received_at > ${undated} and ${isDated ? behind : sql`true`}`
  return Effect.map(
    sql<{ folder: string; remote_id: string; received_at: string; message_id: string }>`
      select folder, remote_id, message_id, received_at::text as received_at
      from (${part(withoutTime)} union all ${part(withTime)}) found
      order by found.received_at > ${undated}, found.received_at desc, message_id desc limit ${limit}`,
    (rows) => {
      const byFolder = new Map<string, Array<string>>()
      for (const { folder, remote_id } of rows) {
        const ids = byFolder.get(folder)
        if (ids === undefined) byFolder.set(folder, [remote_id])
        else ids.push(remote_id)
      }
      const last = rows[limit - 1]
      return {
        wanted: [...byFolder].map(([folderRemoteId, remoteIds]) => ({ folderRemoteId, remoteIds })),
        end: last === undefined ? undefined : { receivedAt: last.received_at, messageId: last.message_id },
      }
    },
  )
}

/**
 * Messages in other folders that have the twin key of one that the page shows under a new id: where they have left, it has
 * moved. By folder. Index: message_index_twins.
 */
export const liveTwins = (
  { sql, tables: t }: Database["Service"],
  { accountId }: LeaseKey,
  folder: FolderState,
  changes: Page["changes"],
): Effect.Effect<ReadonlyMap<string, ReadonlyArray<string>>, SqlError.SqlError> => {
  const keyed = toldBy(changes.filter((change) => change._tag === "Upsert" && change.twinKey !== undefined))
    .filter(({ ifKnown }) => !ifKnown)
  if (keyed.length === 0) return Effect.succeed(new Map())
  const rows = postgresJson(keyed.map(({ remoteId, twinKey }) => ({ remote_id: remoteId, twin_key: twinKey })))
  const account = asAnyAccount(sql, accountId)
  const twins = sql<{ folder: string; remote_id: string }>`select distinct f.remote_id as folder, m.remote_id
      from json_to_recordset(${rows}::json) as p (remote_id text, twin_key text)
      cross join lateral (
        select * from ${t.message_index} i where i.account_id = ${account} and i.twin_key = p.twin_key offset 0) i
      cross join lateral (
        select * from ${t.messages} m where m.account_id = ${account} and m.id = i.message_id limit 1) m
      join ${t.folders} f on f.account_id = ${accountId} and f.id = m.folder_id and not f.gone and not f.earlier
      left join lateral (
        select x.id from ${t.messages} x where x.account_id = ${account} and x.remote_id = p.remote_id limit 1
      ) known on true
      where m.removed_at is null and f.id <> ${folder.id} and known.id is null`
  return sql.withTransaction(Effect.andThen(sql`select ${sql.literal(byIndex)}`, twins)).pipe(
    Effect.map((found) => {
      const byFolder = new Map<string, Array<string>>()
      for (const { folder, remote_id } of found) byFolder.set(folder, [...byFolder.get(folder) ?? [], remote_id])
      return byFolder
    }),
  )
}
