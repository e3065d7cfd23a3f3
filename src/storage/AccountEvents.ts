/** Tells operators of single accounts: as a part of the transaction that changes their status, so none is lost or told twice. */
import type { Statement } from "effect/sql"
import type { AccountStatus } from "../domain/Account.ts"
import type { AccountId } from "../domain/Ids.ts"
import { column, type Database } from "./Database.ts"

/**
 * Events for the relation `changed (id, email, before, after, code, reason)`, one for each account that has to be told of.
 *
 * `pending` says only that a new token has not been tried: what was told before it still stands, and a first import that
 * succeeds is no recovery.
 */
export const tellStatuses = ({ sql, tables: t }: Database["Service"]): Statement.Fragment =>
  sql`insert into ${t.events} (kind, subject, code, message)
    select case after when 'active' then 'account.recovered' else 'account.' || after end, id::text, code,
      case after
        when 'needs_reauth' then email || case (select g.kind from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
            where a.id = changed.id)
          when 'client_credentials' then ' waits for an administrator: '
          when 'service_account' then ' waits for an administrator: '
          else ' must be signed in again: ' end
        when 'blocked' then email || ' is blocked, and looked at again by itself: '
        else email || ' is signed in again, and its mail goes on where it stood'
      end || case after when 'active' then '' else coalesce(reason, 'the provider refuses its token') end
    from changed
    where before <> after and (after in ('needs_reauth', 'blocked') or (after = 'active' and case before
      -- Index: events_subject.
      when 'pending' then (select e.kind from ${t.events} e where e.subject = changed.id::text order by e.id desc limit 1)
        in ('account.needs_reauth', 'account.blocked')
      else before in ('needs_reauth', 'blocked') end))`

export interface ToldStatus {
  readonly id: AccountId
  readonly email: string
  readonly before: AccountStatus
  readonly after: AccountStatus
  readonly code?: string | undefined
  readonly reason?: string | undefined
}

/** The same for accounts that the caller has changed in its transaction. */
export const tellChanged = (database: Database["Service"], changed: ReadonlyArray<ToldStatus>) =>
  database.sql`with changed as (
      select * from unnest(${column("uuid", changed.map(({ id }) => id))},
        ${column("text", changed.map(({ email }) => email))}, ${column("text", changed.map(({ before }) => before))},
        ${column("text", changed.map(({ after }) => after))}, ${
    column("text", changed.map(({ code }) => code ?? null))
  },
        ${column("text", changed.map(({ reason }) => reason ?? null))}) as c (id, email, before, after, code, reason)
    )
    ${tellStatuses(database)}`
