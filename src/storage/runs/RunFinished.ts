/** Tells operators that a run has ended: as a part of the transaction that ends it, so that none is lost or told twice. */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import type { RunId } from "../../domain/Ids.ts"
import type { Database } from "../Database.ts"

export const tellFinished = (
  { sql, tables: t }: Database["Service"],
  id: RunId,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.asVoid(sql`insert into ${t.events} (kind, subject, code, message)
    select 'run.finished', id::text, state, 'the ' || kind || ' is ' || case state when 'failed' then 'broken off'
        else state end || ': of ' || total || case total when 1 then ' item ' else ' items ' end || succeeded
        || ' succeeded, ' || failed || ' failed and ' || skipped || ' were skipped'
        || case when failed > 0 then '; mailfleet runs show ' || id || ' --failed says why' else '' end
    from ${t.runs} where id = ${id}`)
