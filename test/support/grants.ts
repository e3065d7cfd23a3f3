/** Grants as rows, with the times that the refresh lag is told from. */
import { Effect } from "effect"
import type { RefreshPolicy } from "../../src/domain/Account.ts"
import { Database } from "../../src/storage/Database.ts"

/** Seconds before now, or, below 0, after it. Without `attempt` that is as `due`; `null` = none. */
export interface Times {
  readonly due: number | null
  readonly attempt?: number | null
  readonly claimed?: number
  readonly policy?: RefreshPolicy
  readonly failure?: string
}

/** An app at the tenant `common`. Answers with its id. */
export const addApp = Effect.fnUntraced(function* (clientId: string) {
  const { sql, tables: t } = yield* Database
  const rows = yield* sql<{ id: string }>`insert into ${t.apps} (id, provider, client_id, tenant)
    values (gen_random_uuid(), 'microsoft', ${clientId}, 'common') returning id`
  return rows[0]!.id
})

export const addGrant = Effect.fnUntraced(function* (appId: string, times: Times) {
  const { sql, tables: t } = yield* Database
  const { attempt = times.due, claimed = null, due, failure = null, policy = "keep-alive" } = times
  const ago = (seconds: number | null) => sql`now() - make_interval(secs => ${seconds}::float8)`
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash, policy, due_at, attempt_at, claimed_until, failure_class)
    values (gen_random_uuid(), ${appId}, '\\x00', '\\x00', ${policy}, ${ago(due)}, ${ago(attempt)}, ${
    ago(claimed)
  }, ${failure})`
})

export const noGrants = Effect.gen(function* () {
  const { sql, tables: t } = yield* Database
  yield* sql`truncate ${t.grants}, ${t.apps} cascade`
})
