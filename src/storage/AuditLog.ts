/** Writing to the audit log, in the writer's own transaction. Reading it is `Audit`. */
import { Clock, Effect } from "effect"
import { Buffer } from "node:buffer"
import type { SqlError } from "effect/sql"
import { type AuditHead, type AuditLink, linkHash } from "../domain/AuditChain.ts"
import type { AuditEntry } from "../domain/AuditEntry.ts"
import { type AccountId, isId } from "../domain/Ids.ts"
import { type AuditSubject, hideId } from "./AuditSubjects.ts"
import { column, type Database, notForLong } from "./Database.ts"

/** What is to be written. Ids that are none are left out: they are whatever a caller sent. */
export type NewAuditEntry = Omit<AuditEntry, "id" | "at" | "subject" | "hash">

/** The row of `meta` that says what the oldest entry follows, as `position:hash`. */
export const anchorName = "audit_anchor"

export const headOf = (anchor: string): AuditHead => {
  const [position, hash] = anchor.split(":") as [string, string]
  return { position, hash }
}

/** One chain for all processes: who writes to it waits for the commit of who did before. */
export const lockAudit = ({ auditLock, sql }: Database["Service"]) =>
  sql`select pg_advisory_xact_lock(${auditLock}), ${sql.literal(notForLong)}`

/** The last entry, or the anchor where there is none. To be asked under the lock. */
const newestHead = ({ sql, tables: t }: Database["Service"]): Effect.Effect<AuditHead, SqlError.SqlError> =>
  Effect.gen(function* () {
    const newest = yield* sql<{ id: bigint; hash: Uint8Array | null }>`
      select id, hash from ${t.audit} order by id desc limit 1`
    const last = newest[0]
    if (last !== undefined && last.hash !== null) {
      return { position: String(last.id), hash: Buffer.from(last.hash).toString("hex") }
    }
    const anchor = yield* sql<{ value: string }>`select value from ${t.meta} where name = ${anchorName}`
    return headOf(anchor[0]!.value)
  })

const idOrNone = (id: string | undefined) => id !== undefined && isId(id) ? id.toLowerCase() : undefined

/** Texts come from names of keys and from requests: the database takes no NUL, and no entry is longer than it need be. */
const text = (value: string): string => value.slice(0, 500).toWellFormed().replaceAll("\0", "")

const linked = (
  head: AuditHead,
  at: string,
  entry: NewAuditEntry,
  subjects: ReadonlyMap<string, AuditSubject>,
): AuditLink => {
  const subject = subjects.get(idOrNone(entry.accountId) ?? "")
  const hidden = (id: string | undefined) => id === undefined ? null : subject === undefined ? id : hideId(subject, id)
  const link = {
    position: String(BigInt(head.position) + 1n),
    at,
    actor: text(entry.actor),
    action: text(entry.action),
    subject: subject?.pseudonym ?? null,
    grant: hidden(idOrNone(entry.grantId)),
    object: hidden(idOrNone(entry.objectId)),
    resource: entry.resource ?? null,
    detail: entry.detail === undefined ? null : text(entry.detail),
    outcome: text(entry.outcome),
  }
  return { ...link, hash: linkHash(head.hash, link) }
}

/** The accounts whose names {@link appendAudit} needs. */
export const accountsOf = (entries: ReadonlyArray<NewAuditEntry>): ReadonlyArray<AccountId> =>
  entries.flatMap(({ accountId }) => idOrNone(accountId) ?? [])

/**
 * Appends entries as the last act of the caller's transaction: the lock is held until that commits, after that of the change
 * log where both are written.
 */
export const appendAudit = (
  database: Database["Service"],
  entries: ReadonlyArray<NewAuditEntry>,
  subjects: ReadonlyMap<string, AuditSubject>,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.gen(function* () {
    const { sql, tables: t } = database
    yield* lockAudit(database)
    let head = yield* newestHead(database)
    const at = new Date(yield* Clock.currentTimeMillis).toISOString()
    const links: Array<AuditLink> = []
    for (const entry of entries) {
      const link = linked(head, at, entry, subjects)
      links.push(link)
      head = link
    }
    yield* sql`insert into ${t.audit}
        (id, at, actor, action, subject, grant_object, object, resource, detail, outcome, hash)
      select * from unnest(${column("int8", links.map(({ position }) => BigInt(position)))},
        ${column("timestamptz", links.map(({ at }) => new Date(at)))},
        ${column("text", links.map(({ actor }) => actor))}, ${column("text", links.map(({ action }) => action))},
        ${column("uuid", links.map(({ subject }) => subject))}, ${column("uuid", links.map(({ grant }) => grant))},
        ${column("uuid", links.map(({ object }) => object))},
        ${column("text", links.map(({ resource }) => resource))},
        ${column("text", links.map(({ detail }) => detail))},
        ${column("text", links.map(({ outcome }) => outcome))},
        ${column("bytea", links.map(({ hash }) => Buffer.from(hash, "hex")))})`
  })
