/**
 * The statements that bring stored messages in step with what a provider says.
 *
 * Each folder tells its own story, in order, but not in step with the others: a moved message may appear in its new
 * folder before or after it leaves the old one, and a page that was slow to arrive may show it where it no longer is. So a
 * message keeps every folder that has shown it and has not said that it left: the latest in `folder_id`, others in
 * `also_in`. One that all have left is `removed_at`, until another folder shows it or the account's round ends.
 *
 * Where the pages of one folder bring the changes of others as well (`folders.followed_by`), they are one story: its last
 * word tells the one folder that a message is in, and what it calls removed is gone from the mailbox.
 */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { AccountId, FolderId } from "../../domain/Ids.ts"
import type { ChangeOrigin } from "../../domain/Mail.ts"
import type { SettingsValues } from "../../domain/Settings.ts"
import { asAnyAccount, type Database } from "../Database.ts"
import { horizon } from "./MailChoices.ts"
import { bodyOf } from "./MessageBodies.ts"
import { bodyFields, columnsOfMessages, messageFields, recordset, valuesOfMessages } from "./MessageFields.ts"
import { type Told, toRows } from "./MessageRows.ts"
import { twinsOf } from "./MessageTwins.ts"
import { postgresJson } from "../PostgresText.ts"

/** What became of one message. */
export interface Merged {
  readonly id: string
  readonly remote_id: string
  /** Null = new. */
  readonly was_folder: FolderId | null
  readonly folder: FolderId
  /** Fields that changed. */
  readonly fields: ReadonlyArray<string>
  /** True where it was stored under another remote id. */
  readonly adopted: boolean
  /** True where the message has just left its last known folder. */
  readonly left: boolean
}

/** Where a page is of. */
export interface Place {
  readonly accountId: AccountId
  readonly folderId: FolderId
  readonly round: number
  readonly origin: ChangeOrigin
}

// The text may be derived from the HTML: where that is the same, a text that differs is only another derivation.
const condition = (name: string): string =>
  name === "text" ? ` and (p.body_html is null or p.body_html is distinct from b.body_html)` : ""

const difference = (name: string, column: string, stored: string): string =>
  `case when '${name}' = any(p.has) and p.${column} is distinct from ${stored}${condition(name)} then '${name}' end`

const differences = [
  ...messageFields.map(({ column, name }) => difference(name, column, `m.${column}`)),
  ...bodyFields.map(({ column, name }) => difference(name, column, `b.${column}`)),
].join(", ")

const assignments = messageFields.map(({ column, name }) =>
  `${column} = case when '${name}' = any(n.fields) then n.${column} else m.${column} end`
).join(", ")

/** The names of {@link bodyFields}. */
const ofBody = `'{${bodyFields.map(({ name }) => name).join(",")}}'`

/** A body as it is to be stored: what changed, and the rest as it was. */
const bodyAfter = bodyFields.map(({ column, name }) =>
  `case when '${name}' = any(n.fields) then n.${column} else n.was_${column} end`
).join(", ")

/** The folders that the pages of one folder tell of: itself, and those that follow it. */
const streamOf = ({ sql, tables: t }: Database["Service"], { accountId, folderId }: Place): Statement.Fragment =>
  sql`select f.id from ${t.folders} o join ${t.folders} f on f.account_id = o.account_id
      and (f.id = o.id or f.followed_by = o.remote_id)
    where o.account_id = ${accountId} and o.id = ${folderId}`

/** True for a message of the page `p` that a choice of `h.days` keeps. Unless it came with a time, nobody can tell, where there is an end. */
export const isWithin = (hasTime: string): string =>
  `(h.days is null or (${hasTime} and coalesce(p.received_at, 'infinity') >= now() - make_interval(days => h.days)))`

/** True for a new message that the account's choice keeps. */
const isKept = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  accountId: AccountId,
): Statement.Fragment => {
  const { sql, tables: t } = database
  return sql`(select ${sql.literal(isWithin("'receivedAt' = any(p.has)"))}
    from (select ${horizon(database, settings)} as days from ${t.accounts} a where a.id = ${accountId}) h)`
}

/**
 * Writes a page in one statement and tells what is different now. Index: messages_account_id_remote_id_key. Bodies are
 * compared where they lie: they do not travel back.
 */
export const mergePage = (
  database: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  place: Place,
  told: ReadonlyArray<Told>,
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> => {
  if (told.length === 0) return Effect.succeed([])
  const { sql, tables: t } = database
  const { accountId, origin, round } = place
  const account = asAnyAccount(sql, accountId)
  const folder = sql`${place.folderId}::uuid`
  return sql<Merged>`with stream as materialized (${streamOf(database, place)}), page as materialized (
      select p.*, coalesce(f.id, ${folder}) as page_folder, (select count(*) > 1 from stream) as whole
      from json_to_recordset(${
    postgresJson(toRows(told))
  }::json) as p (ord integer, remote_id text, new_id uuid, word text,
        folder_remote_id text, if_known boolean, twin_key text, has text[], ${sql.literal(recordset)})
      left join ${t.folders} f on f.account_id = ${accountId} and f.remote_id = p.folder_remote_id
    ), ${twinsOf(database, accountId, round)}, matched as materialized (
      select p.ord, m.id, false as adopted from page p
      cross join lateral (
        select m.id from ${t.messages} m where m.account_id = ${account} and m.remote_id = p.remote_id limit 1) m
      where m.id not in (select id from twins)
      union all
      select ord, id, true from twins
    ), stored as materialized (
      select p.*, x.adopted, m.id, m.folder_id as was_folder, m.seen_round as was_round, m.removed_at as was_removed,
        m.also_in as was_in, b.body_text as was_body_text, b.body_html as was_body_html, array_remove(array[${
    sql.literal(differences)
  }]::text[], null) as fields,
        (select key from jsonb_each_text(m.also_in)
          where p.word = 'removed' and not p.whole and m.folder_id = p.page_folder
          order by value::integer desc, key limit 1) as heir
      from matched x join page p on p.ord = x.ord
      cross join lateral (select * from ${t.messages} m where m.account_id = ${account} and m.id = x.id limit 1) m
      left join lateral ${bodyOf(database, sql`p.has && ${sql.literal(ofBody)}`)} b on true
    ), following as materialized (
      select o.*,
        case when word = 'shown' then page_folder when heir is not null then heir::uuid else was_folder end as folder,
        case when word = 'shown' then ${round} when heir is not null then (was_in ->> heir)::integer else was_round end
          as seen_round,
        case when word = 'removed' and (whole or was_folder = page_folder) and heir is null
          then coalesce(was_removed, now()) when word <> 'shown' then was_removed end as removed_at,
        nullif(case
          when word = 'known' then was_in
          when whole or adopted then '{}'
          when heir is not null then was_in - heir
          when word = 'removed' or was_folder = page_folder or was_removed is not null
            then coalesce(was_in, '{}') - page_folder::text
          else coalesce(was_in, '{}') - page_folder::text || jsonb_build_object(was_folder::text, was_round)
        end, '{}') as also_in
      from stored o
    ), updated as (
      update ${t.messages} m set remote_id = n.remote_id, folder_id = n.folder, seen_round = n.seen_round,
        also_in = n.also_in, removed_at = n.removed_at,
        removed_origin = case when n.removed_at is not null then ${origin} end,
        updated_at = case when n.fields <> '{}' or n.folder <> n.was_folder then now() else m.updated_at end,
        body_text = case when n.fields && ${sql.literal(ofBody)} then null else m.body_text end,
        body_html = case when n.fields && ${sql.literal(ofBody)} then null else m.body_html end,
        ${sql.literal(assignments)}
      from following n
      where m.account_id = ${account} and m.id = any (array(select id from following)) and m.id = n.id and (n.fields <> '{}' or n.folder <> n.was_folder or n.adopted
        or n.seen_round <> n.was_round or n.removed_at is distinct from n.was_removed
        or n.also_in is distinct from n.was_in)
    ), inserted as (
      insert into ${t.messages} (account_id, id, remote_id, folder_id, seen_round, ${sql.literal(columnsOfMessages)})
      select ${accountId}::uuid, p.new_id, p.remote_id, p.page_folder, ${round}, ${
    sql.literal(valuesOfMessages)
  } from page p
      where p.word = 'shown' and not p.if_known and not exists (select 1 from stored o where o.ord = p.ord)
        and ${isKept(database, settings, accountId)}
      order by p.ord
      returning id
    ), bodies as (
      insert into ${t.message_bodies} (account_id, message_id, body_text, body_html)
      select ${accountId}::uuid, n.id, ${sql.literal(bodyAfter)} from following n
      where n.fields && ${sql.literal(ofBody)}
      union all
      select ${accountId}::uuid, p.new_id, p.body_text, p.body_html from inserted i join page p on p.new_id = i.id
      where p.body_text is not null or p.body_html is not null
      on conflict (account_id, message_id) do update set body_text = excluded.body_text, body_html = excluded.body_html
    )
    select id, remote_id, was_folder, folder, fields, adopted, "left" from (
      select i.id, p.remote_id, null::uuid as was_folder, p.page_folder as folder, '{}'::text[] as fields,
        false as adopted, false as "left", p.ord
      from inserted i join page p on p.new_id = i.id
      union all
      select n.id, n.remote_id, n.was_folder, n.folder, n.fields, n.adopted,
        n.removed_at is not null and n.was_removed is null, n.ord
      from following n
      where n.fields <> '{}' or n.folder <> n.was_folder or (n.removed_at is not null and n.was_removed is null)
    ) merged order by ord`
}

/**
 * Takes out of a folder, and of those that follow it, what its listing from the start, number `round`, did not show: at most
 * `limit` messages. To be repeated until it answers fewer. Index: messages_of_folder.
 */
export const sweepFolder = (
  database: Database["Service"],
  place: Place,
  limit: number,
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> => {
  const { sql, tables: t } = database
  const { accountId, origin, round } = place
  const account = asAnyAccount(sql, accountId)
  return sql<Merged>`with stream as materialized (${streamOf(database, place)}), stored as materialized (
      select m.id, m.folder_id as was_folder, m.also_in, (select key from jsonb_each_text(m.also_in)
        where (select count(*) from stream) = 1 order by value::integer desc, key limit 1) as heir
      from stream s join ${t.messages} m on m.account_id = ${accountId} and m.folder_id = s.id
      where m.seen_round < ${round} and m.removed_at is null
      limit ${limit}
    )
    update ${t.messages} m set folder_id = coalesce(o.heir::uuid, m.folder_id),
      seen_round = coalesce((o.also_in ->> o.heir)::integer, m.seen_round), also_in = nullif(o.also_in - o.heir, '{}'),
      removed_at = case when o.heir is null then now() end,
      removed_origin = case when o.heir is null then ${origin} end, updated_at = now()
    from stored o where m.account_id = ${account} and m.id = o.id
    returning m.id, m.remote_id, o.was_folder, m.folder_id as folder, '{}'::text[] as fields, false as adopted,
      o.heir is null as "left"`
}

/** The same for messages that another folder has shown since. Index: messages_elsewhere. */
export const sweepElsewhere = (
  { sql, tables: t }: Database["Service"],
  { accountId, folderId, round }: Place,
): Effect.Effect<unknown, SqlError.SqlError> =>
  sql`update ${t.messages} set also_in = nullif(also_in - ${folderId}::text, '{}')
    where account_id = ${accountId} and also_in is not null and (also_in ->> ${folderId}::text)::integer < ${round}`

/**
 * Moves what lies in a folder that another one's pages tell of to that one, as when its label is gone: at most `limit`
 * messages. Index: messages_of_folder.
 */
export const handUp = (
  { sql, tables: t }: Database["Service"],
  { accountId, folderId }: Place,
  limit: number,
): Effect.Effect<ReadonlyArray<Merged>, SqlError.SqlError> =>
  sql<Merged>`with owner as materialized (
      select o.id from ${t.folders} f join ${t.folders} o on o.account_id = f.account_id and o.remote_id = f.followed_by
      where f.account_id = ${accountId} and f.id = ${folderId}
    ), stored as materialized (
      select m.id from ${t.messages} m
      where m.account_id = ${accountId} and m.folder_id = ${folderId} and m.removed_at is null limit ${limit}
    )
    update ${t.messages} m set folder_id = owner.id, updated_at = now()
    from stored o, owner where m.account_id = ${asAnyAccount(sql, accountId)} and m.id = o.id
    returning m.id, m.remote_id, ${folderId}::uuid as was_folder, m.folder_id as folder, '{}'::text[] as fields,
      false as adopted, false as "left"`
