/** The statements for messages that are new, which most pages of a first listing are full of: nothing is to be compared. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { type AccountId, type FolderId, newId } from "../../domain/Ids.ts"
import type { SettingsValues } from "../../domain/Settings.ts"
import { asAnyAccount, column, type Database } from "../Database.ts"
import { postgresJson, postgresText } from "../PostgresText.ts"
import { horizon } from "./MailChoices.ts"
import { columnsOfMessages, recordset, toColumns, valuesOfMessages } from "./MessageFields.ts"
import { isWithin, type Merged, type Place } from "./MessageMerge.ts"
import type { Told } from "./MessageRows.ts"

/**
 * The remote ids of a page that are stored, or whose twin keys are: what is to be made of those, `mergePage` knows. Indexes:
 * messages_account_id_remote_id_key, message_index_twins.
 */
export const knownOf = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  told: ReadonlyArray<Told>,
): Effect.Effect<ReadonlySet<string>, SqlError.SqlError> => {
  if (told.length === 0) return Effect.succeed(new Set())
  const account = asAnyAccount(sql, accountId)
  return Effect.map(
    // Lateral, so that no plan reads all messages of the account.
    sql<{ place: number }>`select p.place::integer
      from unnest(${column("text", told.map(({ remoteId }) => postgresText(remoteId)))},
        ${column("text", told.map(({ twinKey }) => twinKey === null ? null : postgresText(twinKey)))})
        with ordinality as p (remote_id, twin_key, place)
      cross join lateral (
        (select from ${t.messages} m where m.account_id = ${account} and m.remote_id = p.remote_id)
        union all
        (select from ${t.message_index} i where i.account_id = ${account} and i.twin_key = p.twin_key)
        limit 1
      ) stored`,
    (rows) => new Set(rows.map(({ place }) => told[place - 1]!.remoteId)),
  )
}

/**
 * A message as the statement of {@link insertNew} takes it, in JSON: the columns that came, and what it is found by. Made before its
 * page's turn to be written, while the database writes the one before.
 *
 * @param words the text of a `tsvector`
 */
export const toNewRow = ({ fields, folderRemoteId, remoteId, twinKey }: Told, words: string): string => {
  const row: Record<string, unknown> = {
    id: newId(),
    remote_id: remoteId,
    twin_key: twinKey,
    words,
    has_time: fields.receivedAt !== undefined,
    ...toColumns(fields),
  }
  if (folderRemoteId !== null) row["folder_remote_id"] = folderRemoteId
  return postgresJson(row)
}

/**
 * Stores what a page shows and {@link knownOf} does not know, as far as the account's choice keeps it, with what it is found by.
 *
 * @param newRows what {@link toNewRow} made of them, by remote id
 */
export const insertNew = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  { accountId, folderId, round }: Place,
  told: ReadonlyArray<Told>,
  newRows: ReadonlyMap<string, string>,
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> => {
  if (told.length === 0) return Effect.succeed([])
  const { sql, tables: t } = database
  const rows = `[${told.map(({ remoteId }) => newRows.get(remoteId)).join(",")}]`
  return Effect.map(
    sql<{ id: string; remote_id: string; folder: FolderId }>`with page as materialized (
        select p.*, coalesce(f.id, ${folderId}::uuid) as folder
        from json_to_recordset(${rows}::json) as p (id uuid, remote_id text, folder_remote_id text, twin_key text,
          words tsvector, has_time boolean, ${sql.literal(recordset)})
        cross join (select ${horizon(database, settings)} as days from ${t.accounts} a where a.id = ${accountId}) h
        left join ${t.folders} f on f.account_id = ${accountId} and f.remote_id = p.folder_remote_id
        where ${sql.literal(isWithin("p.has_time"))}
      ), inserted as (
        insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, ${sql.literal(columnsOfMessages)})
        select ${accountId}::uuid, p.id, p.remote_id, p.folder, ${round}, ${sql.literal(valuesOfMessages)} from page p
      ), bodies as (
        insert into ${t.message_bodies} (account_id, message_id, body_text, body_html)
        select ${accountId}::uuid, p.id, p.body_text, p.body_html from page p
        where p.body_text is not null or p.body_html is not null
      ), indexed as (
        insert into ${t.message_index} (account_id, message_id, received_at, twin_key, thread_id, wants_body, search)
        select ${accountId}::uuid, p.id, coalesce(p.received_at, '-infinity'), p.twin_key, left(p.thread_id, 500),
          coalesce(p.body_state, 'headers') = 'headers', p.words
        from page p
      )
      select id, remote_id, folder from page`,
    (rows) => rows.map((row) => ({ ...row, was_folder: null, fields: [], adopted: false, left: false })),
  )
}
