/** A simulator behind a real server, and the calls that a client would make. */
import { Effect, Schema } from "effect"
import { make, type Simulator, type SimulatorOptions } from "../../src/simulator/Simulator.ts"

export const mailScope = "https://graph.microsoft.com/Mail.ReadWrite offline_access"

const TokenAnswer = Schema.Struct({
  access_token: Schema.String,
  refresh_token: Schema.optionalKey(Schema.String),
  expires_in: Schema.Union([Schema.Number, Schema.String]),
  scope: Schema.optionalKey(Schema.String),
  token_type: Schema.Literal("Bearer"),
})

export const ErrorAnswer = Schema.Struct({
  error: Schema.String,
  error_description: Schema.String,
  error_codes: Schema.Array(Schema.Number),
  timestamp: Schema.String,
  trace_id: Schema.String,
  correlation_id: Schema.String,
  error_uri: Schema.optionalKey(Schema.String),
  suberror: Schema.optionalKey(Schema.String),
})

export const Page = Schema.Struct({
  "@odata.nextLink": Schema.optionalKey(Schema.String),
  "@odata.deltaLink": Schema.optionalKey(Schema.String),
  value: Schema.Array(Schema.Record(Schema.String, Schema.Unknown)),
})
export type Page = typeof Page.Type

/** What came back: status, headers and the text of the body. */
export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

export interface Provider {
  readonly simulator: Simulator
  readonly base: string
  readonly post: (form: Record<string, string>, headers?: HeadersInit, tenant?: string) => Promise<Reply>
  /** Redeems a refresh token of an account, the newest if none is given. */
  readonly redeem: (email: string, token?: string, form?: Record<string, string>) => Promise<Reply>
  /** Redeems the refresh token of a Google account with the secret of its app. */
  readonly redeemGoogle: (email: string, form?: Record<string, string>, headers?: HeadersInit) => Promise<Reply>
  readonly get: (path: string, accessToken: string, headers?: HeadersInit) => Promise<Reply>
  readonly call: (method: string, path: string, accessToken: string, body?: unknown) => Promise<Reply>
  readonly control: (method: string, path: string, body?: unknown) => Promise<Reply>
  readonly signedIn: (email: string) => Promise<string>
}

export const email = (n: number): string => `sim${String(n).padStart(5, "0")}@sim.example`
export const gmail = (n: number): string => `sim${String(n).padStart(5, "0")}@gmail.sim.example`

export const immutable = { prefer: 'IdType="ImmutableId"' }

const reply = async (response: Response): Promise<Reply> => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
})

export const json = <S extends Schema.Codec<unknown, unknown>>(schema: S, { text }: Reply): S["Type"] =>
  Schema.decodeUnknownSync(schema)(JSON.parse(text))

export const tokens = (answer: Reply) => json(TokenAnswer, answer)
export const failure = (answer: Reply) => json(ErrorAnswer, answer)
export const page = (answer: Reply): Page => json(Page, answer)

/** Serves a simulator on a free port until the scope closes. */
export const provider = Effect.fnUntraced(function* (options: Partial<SimulatorOptions> = {}) {
  const simulator = yield* make({ oddPages: 0, ...options })
  const server = yield* Effect.acquireRelease(
    Effect.sync(() => Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, simulator.handler)),
    (server) => Effect.promise(() => server.shutdown()),
  )
  const base = `http://127.0.0.1:${server.addr.port}`
  const post: Provider["post"] = async (form, headers = {}, tenant = "common") =>
    reply(
      await fetch(`${base}/${tenant}/oauth2/v2.0/token`, { method: "POST", body: new URLSearchParams(form), headers }),
    )
  const redeem: Provider["redeem"] = (email, token, form = {}) => {
    const account = simulator.account(email)
    return post({
      client_id: account.clientId,
      grant_type: "refresh_token",
      refresh_token: token ?? account.refreshToken,
      scope: mailScope,
      ...form,
    })
  }
  const it: Provider = {
    simulator,
    base,
    post,
    redeem,
    redeemGoogle: async (email, form = {}, headers = {}) => {
      const { clientId, clientSecret, refreshToken } = simulator.account(email)
      const fields = {
        client_id: clientId,
        client_secret: clientSecret ?? "",
        grant_type: "refresh_token",
        refresh_token: refreshToken,
        ...form,
      }
      const given = Object.entries(fields).filter(([, value]) => value !== "")
      return reply(await fetch(`${base}/google/token`, { method: "POST", body: new URLSearchParams(given), headers }))
    },
    get: async (path, accessToken, headers = {}) =>
      reply(
        await fetch(path.startsWith("http") ? path : `${base}/v1.0${path}`, {
          headers: { authorization: `Bearer ${accessToken}`, ...immutable, ...headers },
        }),
      ),
    call: async (method, path, accessToken, body) =>
      reply(
        await fetch(`${base}/v1.0${path}`, {
          method,
          headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json", ...immutable },
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      ),
    control: async (method, path, body) =>
      reply(
        await fetch(`${base}/_simulator/${path}`, {
          method,
          ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        }),
      ),
    signedIn: async (email) => tokens(await redeem(email)).access_token,
  }
  return it
})

/** One delta round to its end: all items in order, and the delta link. */
export const round = async (
  { get }: Provider,
  start: string,
  accessToken: string,
  headers: HeadersInit = {},
): Promise<{ items: Array<Record<string, unknown>>; deltaLink: string; pages: number; empty: number }> => {
  const items: Array<Record<string, unknown>> = []
  let link = start
  let empty = 0
  for (let pages = 1; pages < 1000; pages++) {
    const answer = await get(link, accessToken, headers)
    if (answer.status !== 200) throw new Error(`${answer.status} ${answer.text}`)
    const { "@odata.deltaLink": deltaLink, "@odata.nextLink": nextLink, value } = page(answer)
    if (value.length === 0) empty++
    items.push(...value)
    if (deltaLink !== undefined) return { items, deltaLink, pages, empty }
    if (nextLink === undefined) throw new Error("a page without a link")
    link = nextLink
  }
  throw new Error("the round never ends")
}
