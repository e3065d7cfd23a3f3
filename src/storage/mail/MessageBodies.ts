/**
 * Texts and HTML of messages, apart from the messages: most of what mail takes on a disk, and read one at a time. The table is
 * in partitions by the month in which a message was first stored, which is the beginning of its id: see BodyMonths.ts.
 *
 * What releases before 0014 stored lies in the messages themselves until housekeeping has moved it, and a process of such a
 * release may still write there: what stands there is the newer one.
 */
import type { Statement } from "effect/sql"
import type { Database } from "../Database.ts"

/**
 * The body of `messages m` as a row (body_text, body_html), to be joined laterally on true. Index: the primary key of one
 * partition.
 *
 * @param where it is looked up where this is true, and null elsewhere
 */
export const bodyOf = (
  { sql, tables: t }: Database["Service"],
  where: Statement.Fragment,
): Statement.Fragment =>
  sql`(select coalesce(m.body_text, s.body_text) as body_text, coalesce(m.body_html, s.body_html) as body_html
    from (select) one
    left join ${t.message_bodies} s on s.account_id = m.account_id and s.message_id = m.id and ${where})`

/** The row of a body, as {@link bodyOf} reads it. */
export interface BodyRow {
  readonly body_text: string | null
  readonly body_html: string | null
}
