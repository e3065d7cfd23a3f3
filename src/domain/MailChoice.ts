/** What is kept of the mail of an account. */
import { Schema } from "effect"

/** Days: a hundred years. */
export const longestChoice = 36_500

const days = (minimum: number) =>
  Schema.NullOr(
    Schema.Finite.check(
      Schema.makeFilter((value) => Number.isInteger(value) && value >= minimum && value <= longestChoice, {
        expected: `null or a whole number of days from ${minimum} to ${longestChoice}`,
      }),
    ),
  )

const FolderName = Schema.String.check(
  Schema.isPattern(/^[^\0]{1,500}$/, { expected: "a role, or the path of a folder, of at most 500 characters" }),
)

/** What is kept of the mail of an account. */
export const MailChoice = Schema.Struct({
  /** Older messages are not stored; null = all are. */
  windowDays: days(1),
  /** Bodies are fetched of messages of so many days: 0 = of none, null = of all. What is stored is kept as it ages. */
  bodyDays: days(0),
  /** Roles such as `inbox`, or paths of display names such as `Clients/North`; null = all folders. */
  folders: Schema.NullOr(
    Schema.Array(FolderName).check(
      Schema.makeFilter((names) => names.length >= 1 && names.length <= 500, { expected: "1 to 500 folders, or null" }),
    ),
  ),
  /** Messages are deleted from the store so many days after they were received, and not at the provider; null = never. */
  retentionDays: days(1),
})
export type MailChoice = typeof MailChoice.Type

/** What an account chooses for itself. */
export type OwnMailChoice = Partial<MailChoice>

/** Days back from now that messages are stored of; null = without end. */
export const horizonDays = ({ retentionDays, windowDays }: Pick<MailChoice, "retentionDays" | "windowDays">) =>
  retentionDays === null ? windowDays : windowDays === null ? retentionDays : Math.min(retentionDays, windowDays)
