/**
 * Messages that are known again under another remote id.
 *
 * Where ids do not outlive a move or a new numbering of the folder, and after a change of channel, a message that a page
 * shows under an id that is not stored may be one that is: the same twin key, and it left its folder without having been
 * seen elsewhere, or it lies in the folder that is being listed and the listing has not shown it yet. Pairs are one to one,
 * those of the same size first. What remains is new: a copy is a copy.
 */
import type { Statement } from "effect/sql"
import type { AccountId } from "../../domain/Ids.ts"
import { asAnyAccount, type Database } from "../Database.ts"

/**
 * CTEs over `page` and `stream`, the last of which is `twins (ord, id)`: rows of the page, and the stored messages that they
 * are. Indexes: message_index_twins, messages_pkey.
 */
export const twinsOf = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  round: number,
): Statement.Fragment => {
  const account = asAnyAccount(sql, accountId)
  return sql`lone as materialized (
      select p.ord, p.twin_key, p.size, row_number() over (partition by p.twin_key, p.size order by p.ord) as n
      from page p
      left join lateral (
        select m.id from ${t.messages} m where m.account_id = ${account} and m.remote_id = p.remote_id limit 1
      ) known on true
      where p.word = 'shown' and not p.if_known and p.twin_key is not null and known.id is null
    ), adoptable as materialized (
      select i.twin_key, m.id, m.size, row_number() over (partition by i.twin_key, m.size order by m.id) as n
      from (select distinct twin_key from lone) k
      cross join lateral (
        select * from ${t.message_index} i where i.account_id = ${account} and i.twin_key = k.twin_key offset 0) i
      cross join lateral (
        select * from ${t.messages} m where m.account_id = ${account} and m.id = i.message_id limit 1) m
      left join page p on p.remote_id = m.remote_id
      where p.word is distinct from 'shown' and (m.removed_at is not null or p.word = 'removed'
        or (m.folder_id in (select id from stream) and m.seen_round < ${round}))
    ), same_size as materialized (
      select l.ord, a.id from lone l
      join adoptable a on a.twin_key = l.twin_key and a.size is not distinct from l.size and a.n = l.n
    ), twins as materialized (
      select ord, id from same_size
      union all
      select l.ord, a.id
      from (
        select ord, twin_key, row_number() over (partition by twin_key order by ord) as n from lone
        where ord not in (select ord from same_size)
      ) l join (
        select id, twin_key, row_number() over (partition by twin_key order by id) as n from adoptable
        where id not in (select id from same_size)
      ) a on a.twin_key = l.twin_key and a.n = l.n
    )`
}

/** Fields that tell more of the channel than of the message: where a twin differs in them only, nothing happened to it. */
export const channelFields: ReadonlySet<string> = new Set([
  "threadId",
  "preview",
  "size",
  "importance",
  "categories",
  "hasAttachments",
  "attachments",
  "bodyState",
  "bodyReason",
  "text",
  "internetMessageId",
])
