/**
 * A reader that pages through a log by position from where it begins to `until` entries, while others write. Tells how many it
 * was given, and how many of all that are there in the end it has skipped.
 */
import pg from "pg"
import { carryOut, optionsOf } from "./orders.ts"

export interface ChangeReaderOptions {
  readonly databaseUrl: string
  /** Schema and name. */
  readonly table: string
  /** Of the API; the reader asks the table itself if left out. */
  readonly api?: { readonly url: string; readonly key: string }
}

export interface ChangeReaderOrder {
  readonly until: number
}

export interface ChangeReaderAnswer {
  readonly seconds: number
  readonly entries: number
  readonly pages: number
  readonly skipped: number
  readonly disordered: number
}

const limit = 500
const options = optionsOf<ChangeReaderOptions>()
const pool = new pg.Pool({ connectionString: options.databaseUrl, max: 1 })

type Read = (after: string | undefined) => Promise<ReadonlyArray<{ readonly at: string; readonly message: string }>>

const readTable: Read = async (after) => {
  const { rows } = await pool.query({
    name: "page",
    text: `select id::text as at, message_id as message, account_id, folder_id, kind, origin from ${options.table}
      where id > $1 order by id limit ${limit}`,
    values: [after ?? "0"],
  })
  return rows
}

const readApi: Read = async (after) => {
  const { api } = options
  const query = after === undefined ? "" : `&after=${after}`
  const response = await fetch(`${api!.url}/v1/changes?limit=${limit}${query}`, {
    headers: { authorization: `Bearer ${api!.key}` },
  })
  const { items } = await response.json() as { items: ReadonlyArray<{ position: string; messageId: string }> }
  return items.map(({ messageId, position }) => ({ at: position, message: messageId }))
}

await carryOut(async ({ until }: ChangeReaderOrder): Promise<ChangeReaderAnswer> => {
  const read = options.api === undefined ? readTable : readApi
  const seen = new Set<string>()
  let after: string | undefined
  let pages = 0
  let disordered = 0
  let quietSince = performance.now()
  const begun = performance.now()
  // What was skipped never comes: a reader that waits for it would wait for ever.
  while (seen.size < until && performance.now() - quietSince < 3_000) {
    const page = await read(after)
    pages++
    for (const { at, message } of page) {
      if (after !== undefined && options.api !== undefined && at <= after) disordered++
      after = at
      seen.add(message)
    }
    if (page.length > 0) quietSince = performance.now()
    else await new Promise((resolve) => setTimeout(resolve, 1))
  }
  const seconds = ((seen.size < until ? quietSince : performance.now()) - begun) / 1_000
  const { rows } = await pool.query<{ message: string }>(`select message_id as message from ${options.table}`)
  return {
    seconds,
    entries: seen.size,
    pages,
    skipped: rows.filter(({ message }) => !seen.has(message)).length,
    disordered,
  }
})
