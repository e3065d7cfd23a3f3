/** The accounts as a file that an operator would import. */
import type { World } from "./World.ts"

/** Which accounts, and in which form. */
export interface ImportOptions {
  /** Number of the first account, from 0. Default 0. */
  readonly from?: number
  /** How many. Default: all. */
  readonly count?: number
  /**
   * `csv`: with a header `email,client_id,refresh_token`. `ndjson`: one object of those names a line. Both name the
   * `provider` too where there are Google accounts. `lines`: `email----password----client_id----refresh_token`, as old
   * scripts write them; Microsoft accounts only, the others are left out. Default `csv`.
   */
  readonly format?: "csv" | "ndjson" | "lines"
}

/** The rows of an import file, each with its line end. The refresh tokens are the newest ones. */
export function* importLines(world: World, options: ImportOptions = {}): Generator<string> {
  const { count = world.population.size, format = "csv", from = 0 } = options
  const end = Math.min(world.population.size, from + count)
  const isMixed = world.settings.googleAccounts > 0
  if (format === "csv") yield `email,client_id,refresh_token${isMixed ? ",provider" : ""}\n`
  for (let index = from; index < end; index++) {
    const email = world.population.email(index)
    const { clientId, provider } = world.grants.appOf(index)
    if (format === "lines" && provider === "google") continue
    const refreshToken = newestRefreshToken(world, index)
    if (format === "csv") yield `${email},${clientId},${refreshToken}${isMixed ? `,${provider}` : ""}\n`
    else if (format === "lines") yield `${email}----Secret-${index}!----${clientId}----${refreshToken}\n`
    else {
      const row = { email, client_id: clientId, refresh_token: refreshToken, ...(isMixed ? { provider } : {}) }
      yield `${JSON.stringify(row)}\n`
    }
  }
}

export const newestRefreshToken = (world: World, index: number): string => {
  const grant = world.grants.peek(index)
  return world.grants.refreshToken(index, grant?.family ?? 0, grant?.generation ?? 0)
}

/** The same as a stream of bytes, a thousand rows at a time. */
export const importStream = (world: World, options: ImportOptions): ReadableStream<Uint8Array<ArrayBuffer>> => {
  const rows = importLines(world, options)
  const encoder = new TextEncoder()
  return new ReadableStream({
    pull(controller) {
      let chunk = ""
      for (let i = 0; i < 1000; i++) {
        const row = rows.next()
        if (row.done === true) {
          if (chunk !== "") controller.enqueue(encoder.encode(chunk))
          return controller.close()
        }
        chunk += row.value
      }
      controller.enqueue(encoder.encode(chunk))
    },
  })
}
