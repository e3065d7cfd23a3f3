/**
 * What an engineer would write by hand to copy mailboxes: fetch the delta pages of each folder, parse them, one multi-row insert
 * for each page; the folders of a mailbox four at a time, as Graph allows. An order names accounts; where it says `again`, the
 * round is from the links at which the last one ended.
 *
 * Left out, beside the product: leases, cursors, change log, merging, text of HTML, search, errors, pauses, tokens that expire.
 */
import pg from "pg"
import { messageSelect } from "../../../src/mail/graph/GraphMessage.ts"
import { carryOut, optionsOf } from "./orders.ts"

export interface BareGraphOptions {
  readonly databaseUrl: string
  /** Schema and name of the table that it makes. */
  readonly table: string
  readonly origin: string
  readonly pageSize: number
  /** Mailboxes at once. */
  readonly concurrency: number
}

export interface BareGraphOrder {
  readonly accounts: ReadonlyArray<{ readonly email: string; readonly clientId: string; readonly refreshToken: string }>
  readonly again?: boolean
}

export interface BareGraphAnswer {
  readonly seconds: number
  readonly messages: number
  readonly requests: number
}

interface Address {
  readonly emailAddress?: { readonly name?: string; readonly address?: string }
}

interface Message {
  readonly id: string
  readonly subject?: string
  readonly from?: Address
  readonly toRecipients?: ReadonlyArray<Address>
  readonly ccRecipients?: ReadonlyArray<Address>
  readonly receivedDateTime?: string
  readonly isRead?: boolean
  readonly bodyPreview?: string
  readonly internetMessageId?: string
  readonly conversationId?: string
  readonly body?: { readonly content?: string }
}

const options = optionsOf<BareGraphOptions>()
const pool = new pg.Pool({ connectionString: options.databaseUrl, max: 4, idleTimeoutMillis: 0 })
await pool.query(`create table ${options.table} (account text, folder text, id text, subject text, sender jsonb,
  to_recipients jsonb, cc_recipients jsonb, received_at timestamptz, is_read boolean, preview text, message_id text,
  thread_id text, body text, primary key (account, id))`)

let requests = 0

const tokens = new Map<string, string>()
const links = new Map<string, string>()

const redeem = async ({ clientId, email, refreshToken }: BareGraphOrder["accounts"][number]): Promise<string> => {
  const known = tokens.get(email)
  if (known !== undefined) return known
  const response = await fetch(`${options.origin}/common/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      grant_type: "refresh_token",
      client_id: clientId,
      refresh_token: refreshToken,
      scope: "https://graph.microsoft.com/.default offline_access",
    }),
  })
  const { access_token } = await response.json()
  tokens.set(email, access_token)
  return access_token
}

const get = async (url: string, token: string) => {
  requests++
  const response = await fetch(url, {
    headers: {
      authorization: `Bearer ${token}`,
      prefer: `IdType="ImmutableId", odata.maxpagesize=${options.pageSize}`,
    },
  })
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`)
  return await response.json()
}

const foldersOf = async (url: string, token: string): Promise<ReadonlyArray<string>> => {
  const { value } = await get(`${url}?includeHiddenFolders=true&$top=250`, token) as {
    readonly value: ReadonlyArray<{ readonly id: string; readonly childFolderCount: number }>
  }
  const below = await Promise.all(
    value.filter(({ childFolderCount }) => childFolderCount > 0).map(({ id }) =>
      foldersOf(`${options.origin}/v1.0/me/mailFolders/${id}/childFolders`, token)
    ),
  )
  return [...value.map(({ id }) => id), ...below.flat()]
}

const insert =
  `insert into ${options.table} select $1, $2, * from unnest($3::text[], $4::text[], $5::jsonb[], $6::jsonb[],
  $7::jsonb[], $8::timestamptz[], $9::boolean[], $10::text[], $11::text[], $12::text[], $13::text[])`

const json = (value: unknown) => JSON.stringify(value ?? null)

const store = (email: string, folder: string, page: ReadonlyArray<Message>) =>
  pool.query({
    name: "insert",
    text: insert,
    values: [
      email,
      folder,
      page.map(({ id }) => id),
      page.map(({ subject }) => subject),
      page.map(({ from }) => json(from)),
      page.map(({ toRecipients }) => json(toRecipients)),
      page.map(({ ccRecipients }) => json(ccRecipients)),
      page.map(({ receivedDateTime }) => receivedDateTime),
      page.map(({ isRead }) => isRead),
      page.map(({ bodyPreview }) => bodyPreview),
      page.map(({ internetMessageId }) => internetMessageId),
      page.map(({ conversationId }) => conversationId),
      page.map(({ body }) => body?.content),
    ],
  })

const copyFolder = async (email: string, folder: string, token: string): Promise<number> => {
  const key = `${email} ${folder}`
  let count = 0
  let next: string | undefined = links.get(key) ??
    `${options.origin}/v1.0/me/mailFolders/${folder}/messages/delta?$select=${messageSelect}`
  while (next !== undefined) {
    const page: Record<string, string> & { readonly value: ReadonlyArray<Message> } = await get(next, token)
    if (page.value.length > 0) await store(email, folder, page.value)
    count += page.value.length
    if (page["@odata.deltaLink"] !== undefined) links.set(key, page["@odata.deltaLink"])
    next = page["@odata.nextLink"]
  }
  return count
}

/** As many at once, each in its turn. */
const each = async <A>(items: Iterable<A>, concurrency: number, work: (item: A) => Promise<void>): Promise<void> => {
  const left = items[Symbol.iterator]()
  const loop = async () => {
    for (let item = left.next(); item.done !== true; item = left.next()) await work(item.value)
  }
  await Promise.all(Array.from({ length: concurrency }, loop))
}

await carryOut(async ({ accounts, again = false }: BareGraphOrder): Promise<BareGraphAnswer> => {
  if (!again) {
    await pool.query(`truncate ${options.table}`)
    links.clear()
  }
  await each(accounts, options.concurrency, async (account) => void await redeem(account))
  requests = 0
  let messages = 0
  const begun = performance.now()
  await each(accounts, options.concurrency, async (account) => {
    const token = await redeem(account)
    const folders = await foldersOf(`${options.origin}/v1.0/me/mailFolders`, token)
    await each(folders, 4, async (folder) => void (messages += await copyFolder(account.email, folder, token)))
  })
  return { seconds: (performance.now() - begun) / 1_000, messages, requests }
})
