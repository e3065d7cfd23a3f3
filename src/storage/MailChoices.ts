/** An account's mail choice: its own, and for the rest the one of the settings. */
import type { Statement } from "effect/sql"
import type { MailChoice, OwnMailChoice } from "../domain/MailChoice.ts"
import type { SettingsValues } from "../domain/Settings.ts"
import type { Database } from "./Database.ts"

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
