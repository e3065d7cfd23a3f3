/**
 * What the programs have in common that an engineer would write by hand: read the accounts, redeem each, store what came with
 * one UPDATE of a plain table. The way of doing many at once is theirs.
 *
 * Left out, beside the product: encryption, leases (two of them would redeem the same account twice), compare-and-set on a
 * version, kept hashes of old tokens, status and change log, due times, classes of error (the first one ends the program).
 */
import pg from "pg"

/** The first argument of such a program, as JSON. */
export interface PlainOptions {
  readonly databaseUrl: string
  /** Schema and name of a table (id primary key, client_id, refresh_token, access_token, expires_at). */
  readonly table: string
  readonly origin: string
  readonly concurrency: number
  readonly connections: number
}

export interface PlainAccount {
  readonly id: number
  readonly client_id: string
  readonly refresh_token: string
}

interface Answer {
  readonly access_token: string
  readonly refresh_token: string
  readonly expires_in: number
}

const options: PlainOptions = JSON.parse(Deno.args[0] ?? "{}")

export const { concurrency } = options

const pool = new pg.Pool({
  connectionString: options.databaseUrl,
  max: options.connections,
  idleTimeoutMillis: 0,
  options: "-c synchronous_commit=on",
})

const redeem = async (account: PlainAccount): Promise<Answer> => {
  const response = await fetch(`${options.origin}/common/oauth2/v2.0/token`, {
    method: "POST",
    body: new URLSearchParams({
      client_id: account.client_id,
      grant_type: "refresh_token",
      refresh_token: account.refresh_token,
      scope: "https://graph.microsoft.com/.default offline_access",
    }),
  })
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`)
  return await response.json()
}

/** Redeems one account and stores its tokens. The statement is prepared once for each connection. */
export const refresh = async (account: PlainAccount): Promise<void> => {
  const answer = await redeem(account)
  await pool.query({
    name: "store",
    text: `update ${options.table} set refresh_token = $2, access_token = $3,
      expires_at = now() + make_interval(secs => $4) where id = $1`,
    values: [account.id, answer.refresh_token, answer.access_token, answer.expires_in],
  })
}

/** For each line on standard input, `work` is given all accounts; says when it has ended. Connections are open before. */
export const run = async (work: (accounts: ReadonlyArray<PlainAccount>) => Promise<unknown>): Promise<void> => {
  await Promise.all(Array.from({ length: options.connections }, () => pool.query("select pg_sleep(0.05)")))
  console.log("ready")
  const order = new Uint8Array(1)
  while (await Deno.stdin.read(order) !== null) {
    const { rows } = await pool.query<PlainAccount>(`select id, client_id, refresh_token from ${options.table}`)
    await work(rows)
    console.log("done")
  }
}
