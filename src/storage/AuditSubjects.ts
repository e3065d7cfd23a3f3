/**
 * Under which names the audit log speaks of accounts. Each account has a random pseudonym, and a key under which the ids of what
 * belongs to it are written. An erasure deletes both: the entries stay as they are, and lead to nobody.
 */
import { Effect } from "effect"
import type { SqlError } from "effect/sql"
import { Buffer } from "node:buffer"
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto"
import type { AccountId } from "../domain/Ids.ts"
import { column, type Database } from "./Database.ts"

export interface AuditSubject {
  readonly accountId: AccountId
  readonly pseudonym: string
  readonly key: Uint8Array
}

interface SubjectRow {
  readonly account_id: string
  readonly pseudonym: string
  readonly key: Uint8Array
}

export const toSubject = ({ account_id, key, pseudonym }: SubjectRow): AuditSubject => ({
  accountId: account_id,
  pseudonym,
  key,
})

/** Accounts whose names a process keeps at hand. */
const atHand = 10_000

const toUuid = (bytes: Buffer): string =>
  bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5")

const toBytes = (uuid: string): Buffer => Buffer.from(uuid.replaceAll("-", ""), "hex")

/** An id is one block of AES: the same one always looks the same under one key, and without the key like any other. */
const block = (cipher: ReturnType<typeof createCipheriv>, uuid: string): string =>
  toUuid(Buffer.concat([cipher.setAutoPadding(false).update(toBytes(uuid)), cipher.final()]))

export const hideId = ({ key }: AuditSubject, id: string): string => block(createCipheriv("aes-256-ecb", key, null), id)

export const showId = ({ key }: AuditSubject, hidden: string): string =>
  block(createDecipheriv("aes-256-ecb", key, null), hidden)

/** Gives accounts that are there, and have no name yet, theirs. */
export const nameSubjects = (
  { sql, tables: t }: Database["Service"],
  ids: ReadonlyArray<AccountId>,
): Effect.Effect<void, SqlError.SqlError> =>
  Effect.asVoid(sql`insert into ${t.audit_subjects} (account_id, pseudonym, key)
    select new.id, gen_random_uuid(), new.key
    from unnest(${column("uuid", ids)}, ${column("bytea", ids.map(() => randomBytes(32)))}) as new (id, key)
    join ${t.accounts} a on a.id = new.id order by new.id on conflict (account_id) do nothing`)

/** The names of accounts, by their ids in lower case. Those that are gone, or were never there, are left out. */
export const makeSubjects = (database: Database["Service"]) => {
  const { sql, tables: t } = database
  const known = new Map<string, AuditSubject>()

  return Effect.fnUntraced(function* (ids: ReadonlyArray<AccountId>) {
    const wanted = [...new Set(ids.map((id) => id.toLowerCase()))]
    const missing = wanted.filter((id) => !known.has(id))
    if (missing.length > 0) {
      yield* nameSubjects(database, missing)
      const rows = yield* sql<SubjectRow>`select account_id, pseudonym, key from ${t.audit_subjects}
        where account_id = any(${column("uuid", missing)})`
      if (known.size + rows.length > atHand) known.clear()
      for (const row of rows) known.set(row.account_id, toSubject(row))
    }
    return new Map(wanted.flatMap((id) => known.has(id) ? [[id, known.get(id)!]] : []))
  })
}
