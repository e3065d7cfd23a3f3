/** An account's mail choice: its own, and for the rest the one of the settings. */
import { Effect } from "effect"
import type { SqlError, Statement } from "effect/sql"
import type { AccountId } from "../../domain/Ids.ts"
import { horizonDays, type MailChoice, type OwnMailChoice } from "../../domain/MailChoice.ts"
import type { SettingsValues } from "../../domain/Settings.ts"
import type { Database } from "../Database.ts"
import { postgresJson } from "../PostgresText.ts"

export const mailChoice = (settings: Pick<SettingsValues, "mail">, own: OwnMailChoice): MailChoice => ({
  ...settings.mail,
  ...own,
})

/** A number of days of the choice of `accounts a`; null = without end. */
export const choiceDays = (
  { sql }: Database["Service"],
  settings: Pick<SettingsValues, "mail">,
  name: "windowDays" | "bodyDays" | "retentionDays",
): Statement.Fragment => sql`((${JSON.stringify(settings.mail)}::jsonb || a.mail) ->> ${name}::text)::integer`

/** Days back from now that messages of `accounts a` are stored of; null = without end. */
export const horizon = (database: Database["Service"], settings: Pick<SettingsValues, "mail">): Statement.Fragment =>
  database.sql`least(${choiceDays(database, settings, "windowDays")}, ${
    choiceDays(database, settings, "retentionDays")
  })`

const isMore = (after: number | null, before: number | null): boolean =>
  before !== null && (after === null || after > before)

/**
 * Stores an account's own choice, and sees to it that the store follows, as part of the caller's transaction: more mail is
 * listed afresh, more bodies are the backlog of the next round, and fewer are erased by housekeeping.
 */
export const changeMailChoice = (
  { sql, tables: t }: Database["Service"],
  accountId: AccountId,
  own: OwnMailChoice,
  before: MailChoice,
  after: MailChoice,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    const erases = isMore(before.bodyDays, after.bodyDays)
    const limit = after.bodyDays === 0
      ? sql`'infinity'::timestamptz`
      : sql`now() - make_interval(days => ${after.bodyDays}::integer)`
    yield* sql`update ${t.accounts} set mail = ${postgresJson(own)}::jsonb,
        sync_due_at = case when status = 'active' and sync_due_at is not null then now() else sync_due_at end,
        erase_bodies_before = case when ${erases} or erase_bodies_before is not null then ${limit} end
      where id = ${accountId}`
    if (!isMore(horizonDays(after), horizonDays(before))) return
    yield* sql`update ${t.folders} set cursor = null, cursor_at = null, in_round = false, listed = false,
        round = round + 1, origin = case when synced_at is null then origin else 'reconcile' end
      where account_id = ${accountId}`
  })
