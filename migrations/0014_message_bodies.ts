import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/**
 * Bodies apart from their messages, in partitions by the month in which a message was first stored: retention drops a
 * partition where it would delete millions of rows.
 *
 * Nothing is copied here, so that a store of many millions of messages is locked for an instant only: bodies that are stored
 * stay in their messages until housekeeping has moved them.
 */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    yield* sql`create table ${t("message_bodies")} (
      account_id uuid not null references ${t("accounts")} on delete cascade,
      message_id uuid not null,
      body_text text,
      body_html text,
      primary key (account_id, message_id)
    ) partition by range (message_id)`
    // What outlives its month, and what has no month.
    yield* sql`create table ${t("message_bodies_rest")} partition of ${t("message_bodies")} default`

    // Index: messages_id. Ids that are no UUIDv7 tell no time: no more than the last twenty years are made.
    const [first] = yield* sql<{ id: string }>`select id from ${t("messages")} order by id limit 1`
    const [now] = yield* sql<{ millis: number }>`select (extract(epoch from now()) * 1000)::float8 as millis`
    const today = new Date(now!.millis)
    const month = (later: number) => Date.UTC(today.getUTCFullYear(), today.getUTCMonth() + later)
    const oldest = first === undefined ? now!.millis : Number.parseInt(first.id.replace("-", "").slice(0, 12), 16)
    let begin = 0
    while (begin > -240 && month(begin) > oldest) begin--
    const idAt = (millis: number) => {
      const hex = millis.toString(16).padStart(12, "0")
      return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
    }
    for (let later = begin; later <= 2; later++) {
      const name = new Date(month(later)).toISOString().slice(0, 7).replace("-", "_")
      yield* sql`create table ${t(`message_bodies_${name}`)} partition of ${t("message_bodies")}
        for values from (${sql.literal(`'${idAt(month(later))}'`)}) to (${sql.literal(`'${idAt(month(later + 1))}'`)})`
    }

    // The id up to which bodies of before are moved; gone = all are.
    yield* sql`insert into ${t("meta")} (name, value)
      select 'bodies_moved', '00000000-0000-0000-0000-000000000000' from ${t("messages")} limit 1`
  })
