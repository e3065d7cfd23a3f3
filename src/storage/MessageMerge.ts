/**
 * The statements that bring stored messages in step with what a provider says.
 *
 * Each folder tells its own story, in order, but not in step with the others: a moved message may appear in its new
 * folder before or after it leaves the old one, and a page that was slow to arrive may show it where it no longer is. So a
 * message keeps every folder that has shown it and has not said that it left: the latest in `folder_id`, others in
 * `also_in`. One that all have left is `removed_at`, until another folder shows it or the account's round ends.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { type AccountId, type FolderId, newId } from "../domain/Ids.ts"
import type { ChangeOrigin } from "../domain/Mail.ts"
import type { Page, RemoteMessage } from "../mail/Mailbox.ts"
import type { Database } from "./Database.ts"
import { messageFields, toColumns } from "./MessageFields.ts"
import { postgresJson } from "./PostgresText.ts"

/** What became of one message. */
export interface Merged {
  readonly id: string
  /** Null = new. */
  readonly was_folder: FolderId | null
  readonly folder: FolderId
  /** Fields that changed. */
  readonly fields: ReadonlyArray<string>
  /** True where the message has just left its last known folder. */
  readonly left: boolean
}

interface Place {
  readonly accountId: AccountId
  readonly folderId: FolderId
  readonly round: number
  readonly origin: ChangeOrigin
}

/** One row for each message of a page: its last word, with all that the words before it brought. */
const rowsOf = (changes: Page["changes"]) => {
  const latest = new Map<string, { readonly removed: boolean; readonly fields: Partial<RemoteMessage> }>()
  for (const change of changes) {
    if (change._tag === "Removed") {
      latest.set(change.remoteId, { removed: true, fields: {} })
    } else {
      const before = latest.get(change.remoteId)?.fields
      latest.set(change.remoteId, { removed: false, fields: { ...before, ...change.fields } })
    }
  }
  return [...latest].map(([remoteId, { fields, removed }], ord) => ({
    ord,
    remote_id: remoteId,
    new_id: newId(),
    removed,
    ...toColumns(fields),
  }))
}

// The text may be derived from the HTML: where that is the same, a text that differs is only another derivation.
const condition = (name: string): string =>
  name === "text" ? " and (p.body_html is null or p.body_html is distinct from m.body_html)" : ""

const recordset = messageFields.map(({ column, type }) => `${column} ${type}`).join(", ")

const differences = messageFields.map(({ column, name }) =>
  `case when '${name}' = any(p.has) and p.${column} is distinct from m.${column}${condition(name)} then '${name}' end`
).join(", ")

const assignments = messageFields.map(({ column, name }) =>
  `${column} = case when '${name}' = any(n.fields) then n.${column} else m.${column} end`
).join(", ")

const columns = messageFields.map(({ column }) => column).join(", ")
const values = messageFields.map(({ absent, column }) => `coalesce(p.${column}, ${absent})`).join(", ")

/**
 * Writes a page in one statement and tells what is different now. Index: messages_account_id_remote_id_key. Bodies are
 * compared where they lie: they do not travel back.
 */
export const mergePage = (
  { sql, tables: t }: Database["Service"],
  { accountId, folderId, origin, round }: Place,
  changes: Page["changes"],
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> => {
  if (changes.length === 0) return Effect.succeed([])
  const folder = sql`${folderId}::uuid`
  const folderKey = sql`${folderId}::text`
  return sql<Merged>`with page as materialized (
      select * from json_to_recordset(${postgresJson(rowsOf(changes))}::json)
        as p (ord integer, remote_id text, new_id uuid, removed boolean, has text[], ${sql.literal(recordset)})
    ), stored as materialized (
      select p.*, m.id, m.folder_id as was_folder, m.seen_round as was_round, m.removed_at as was_removed,
        m.also_in as was_in, array_remove(array[${sql.literal(differences)}]::text[], null) as fields,
        (select key from jsonb_each_text(m.also_in) where p.removed and m.folder_id = ${folder}
          order by value::integer desc, key limit 1) as heir
      from page p join ${t.messages} m on m.account_id = ${accountId} and m.remote_id = p.remote_id
    ), following as materialized (
      select o.*,
        case when not removed then ${folder} when heir is not null then heir::uuid else was_folder end as folder,
        case when not removed then ${round} when heir is not null then (was_in ->> heir)::integer else was_round end
          as seen_round,
        case when removed and was_folder = ${folder} and heir is null then coalesce(was_removed, now())
          when removed then was_removed end as removed_at,
        nullif(case
          when heir is not null then was_in - heir
          when removed or was_folder = ${folder} or was_removed is not null then coalesce(was_in, '{}') - ${folderKey}
          else coalesce(was_in, '{}') - ${folderKey} || jsonb_build_object(was_folder::text, was_round)
        end, '{}') as also_in
      from stored o
    ), updated as (
      update ${t.messages} m set folder_id = n.folder, seen_round = n.seen_round, also_in = n.also_in,
        removed_at = n.removed_at, removed_origin = case when n.removed_at is not null then ${origin} end,
        updated_at = case when n.fields <> '{}' or n.folder <> n.was_folder then now() else m.updated_at end,
        ${sql.literal(assignments)}
      from following n
      where m.account_id = ${accountId} and m.id = n.id and (n.fields <> '{}' or n.folder <> n.was_folder
        or n.seen_round <> n.was_round or n.removed_at is distinct from n.was_removed
        or n.also_in is distinct from n.was_in)
    ), inserted as (
      insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, ${sql.literal(columns)})
      select ${accountId}::uuid, p.new_id, p.remote_id, ${folder}, ${round}, ${sql.literal(values)} from page p
      where not p.removed and not exists (select 1 from stored o where o.ord = p.ord)
      order by p.ord
      returning id
    )
    select id, was_folder, folder, fields, "left" from (
      select i.id, null::uuid as was_folder, ${folder} as folder, '{}'::text[] as fields, false as "left", p.ord
      from inserted i join page p on p.new_id = i.id
      union all
      select n.id, n.was_folder, n.folder, n.fields, n.removed_at is not null and n.was_removed is null, n.ord
      from following n
      where n.fields <> '{}' or n.folder <> n.was_folder or (n.removed_at is not null and n.was_removed is null)
    ) merged order by ord`
}

/**
 * Takes out of a folder what its listing from the start, number `round`, did not show: at most `limit` messages. To be
 * repeated until it answers fewer. Index: messages_of_folder.
 */
export const sweepFolder = (
  { sql, tables: t }: Database["Service"],
  { accountId, folderId, origin, round }: Place,
  limit: number,
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> =>
  sql<Merged>`with stored as materialized (
      select m.id, m.also_in, (select key from jsonb_each_text(m.also_in) order by value::integer desc, key limit 1) as heir
      from ${t.messages} m
      where m.account_id = ${accountId} and m.folder_id = ${folderId} and m.seen_round < ${round} and m.removed_at is null
      limit ${limit}
    )
    update ${t.messages} m set folder_id = coalesce(o.heir::uuid, m.folder_id),
      seen_round = coalesce((o.also_in ->> o.heir)::integer, m.seen_round), also_in = nullif(o.also_in - o.heir, '{}'),
      removed_at = case when o.heir is null then now() end,
      removed_origin = case when o.heir is null then ${origin} end, updated_at = now()
    from stored o where m.account_id = ${accountId} and m.id = o.id
    returning m.id, ${folderId}::uuid as was_folder, m.folder_id as folder, '{}'::text[] as fields, o.heir is null as "left"`

/** The same for messages that another folder has shown since. Index: messages_elsewhere. */
export const sweepElsewhere = (
  { sql, tables: t }: Database["Service"],
  { accountId, folderId, round }: Place,
): Effect.Effect<unknown, SqlError.SqlError> =>
  sql`update ${t.messages} set also_in = nullif(also_in - ${folderId}::text, '{}')
    where account_id = ${accountId} and also_in is not null and (also_in ->> ${folderId}::text)::integer < ${round}`
