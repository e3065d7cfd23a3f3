/** `resourceOf` in SQL. */
import type { Statement } from "effect/sql"
import type { Database } from "./Database.ts"

/** The resource that `accounts a` reads through. */
export const resourceOfAccount = (sql: Database["Service"]["sql"]): Statement.Fragment =>
  sql`case when a.provider = 'google' then 'gmail' when a.channel = 'imap' then 'outlook-imap' else 'graph' end`
