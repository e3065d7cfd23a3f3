/** What somebody asks for when they ask for an import, and why it may be refused. */
import { Schema } from "effect"
import type { Channel, Provider } from "../domain/Account.ts"
import type { OnDuplicate } from "../domain/Run.ts"

/** The body of an import cannot be taken as a whole: empty, binary, not of its format. `code` is stable. */
export class ImportRefused extends Schema.TaggedError<ImportRefused>()("ImportRefused", {
  code: Schema.String,
  message: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  /** The value that is to be mended, of one account. */
  field: Schema.optionalKey(Schema.String),
}) {}

export interface ImportOptions {
  readonly format: "lines" | "csv" | "ndjson" | "json"
  readonly onDuplicate: OnDuplicate
  readonly dryRun: boolean
  /** Redeem each refresh token once. Where false, accounts stay `pending` until their first scheduled refresh. */
  readonly verify: boolean
  readonly provider?: Provider | undefined
  readonly channel?: Channel | undefined
  readonly tags: ReadonlyArray<string>
}

export interface Requested {
  readonly trigger: string
  readonly idempotencyKey?: string | undefined
}
