/** The whole service over a simulated provider, and a browser without a window. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer, Logger, Option, Redacted, References, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { Account } from "../../../src/domain/Account.ts"
import { App } from "../../../src/domain/App.ts"
import { ConnectSession } from "../../../src/domain/ConnectSession.ts"
import { newId } from "../../../src/domain/Ids.ts"
import { Settings, type SettingsValues } from "../../../src/domain/Settings.ts"
import { layerEngine } from "../../../src/schedules/Engine.ts"
import { makeHandler } from "../../../src/server/Http.ts"
import { Shutdown } from "../../../src/server/Shutdown.ts"
import type { SimulatorOptions } from "../../../src/simulator/Simulator.ts"
import { Provider } from "../../support/simulator.ts"

export const here = "https://mailfleet.test"
const adminKey = "an-admin-key"

export class Service extends Context.Service<Service, {
  readonly handler: (request: Request) => Promise<Response>
}>()("test/ConnectService") {}

const lines: Array<string> = []
export const logged = Effect.sync((): ReadonlyArray<string> => lines)
const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => {
  lines.push(line)
})])

const settingsOver = (overrides: Partial<SettingsValues>) =>
  Layer.unwrap(Effect.map(Provider, ({ origin }) =>
    Layer.orDie(Settings.layerWith({
      databaseUrl: Option.none(),
      adminKey: Option.some(Redacted.make(adminKey)),
      encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
      schedules: false,
      publicUrl: Option.some(here),
      microsoftAuthority: origin,
      graphUrl: `${origin}/v1.0`,
      googleAuthority: `${origin}/google`,
      googleTokenUrl: `${origin}/google/token`,
      ...overrides,
    }))))

export const service = (
  options: { readonly settings?: Partial<SettingsValues>; readonly simulator?: Partial<SimulatorOptions> } = {},
) =>
  Layer.effect(Service, Effect.map(makeHandler, (handler) => ({ handler }))).pipe(
    Layer.provideMerge(Layer.mergeAll(layerEngine, Shutdown.layer)),
    Layer.provide(FetchHttpClient.layer),
    Layer.provideMerge(settingsOver(options.settings ?? {})),
    Layer.provideMerge(Provider.layer({ accounts: 20, personal: 0, ...options.simulator })),
    Layer.provideMerge(capture),
    Layer.provideMerge(Layer.succeed(References.MinimumLogLevel, "Debug")),
    Layer.orDie,
  )

export const address = (n: number): string => `sim${String(n).padStart(5, "0")}@sim.example`

export interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

const reply = async (response: Response): Promise<Reply> => ({
  status: response.status,
  headers: response.headers,
  text: await response.text(),
})

/** A call of the API. */
export const api = (path: string, json?: unknown, method?: string) =>
  Effect.flatMap(Service, ({ handler }) =>
    Effect.promise(async () =>
      reply(
        await handler(
          new Request(here + path, {
            method: method ?? (json === undefined ? "GET" : "POST"),
            headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
            ...(json === undefined ? {} : { body: JSON.stringify(json) }),
          }),
        ),
      )
    ))

const decoded =
  <S extends Schema.Top & { readonly DecodingServices: never }>(schema: S, status: number) => (reply: Reply) => {
    assert.strictEqual(reply.status, status, reply.text)
    return Schema.decodeUnknownSync(Schema.toCodecJson(schema))(JSON.parse(reply.text), { onExcessProperty: "error" })
  }

export const newSession = (request: Record<string, unknown>) =>
  Effect.map(api("/v1/connect-sessions", request), decoded(ConnectSession, 201))
export const sessionOf = (id: string) => Effect.map(api(`/v1/connect-sessions/${id}`), decoded(ConnectSession, 200))
export const accountOf = (id: string) => Effect.map(api(`/v1/accounts/${id}`), decoded(Account, 200))

/** An app at the provider and here. */
export const newApp = Effect.fnUntraced(function* (
  here: Record<string, unknown> = {},
  there: Record<string, unknown> = {},
) {
  const { simulator } = yield* Provider
  const clientId = newId()
  const secret = "an app's secret"
  simulator.registerApp({ clientId, secret, redirectUris: [callback], ...there })
  return decoded(App, 201)(yield* api("/v1/apps", { provider: "microsoft", clientId, secret, ...here }))
})

export const callback = `${here}/connect/callback`

/** Cookies of this server, kept as a browser does, and pages followed by hand. */
export class Browser {
  readonly cookies = new Map<string, string>()

  constructor(private readonly service: Service["Service"], private readonly headers: Record<string, string> = {}) {}

  readonly go = (url: string, init: RequestInit = {}): Effect.Effect<Reply> =>
    Effect.promise(async () => {
      const isHere = url.startsWith(here)
      const headers = new Headers({ ...this.headers, ...init.headers as Record<string, string> })
      if (isHere && this.cookies.size > 0) {
        headers.set("cookie", [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; "))
      }
      const request = new Request(url, { redirect: "manual", ...init, headers })
      const response = await (isHere ? this.service.handler(request) : fetch(request))
      for (const cookie of isHere ? response.headers.getSetCookie() : []) {
        const [pair = "", ...options] = cookie.split(";")
        const name = pair.slice(0, pair.indexOf("="))
        if (options.some((option) => /^\s*max-age=0\b/i.test(option))) this.cookies.delete(name)
        else this.cookies.set(name, pair.slice(name.length + 1))
      }
      return reply(response)
    })

  /** Sends the form of a page with its hidden fields. */
  readonly submit = (url: string, page: Reply, fields: Record<string, string> = {}): Effect.Effect<Reply> => {
    const hidden = [...page.text.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) => [
      unescape(name ?? ""),
      unescape(value ?? ""),
    ])
    const target = url.includes("?") ? url.slice(0, url.indexOf("?")) : url
    return this.go(target, { method: "POST", body: new URLSearchParams({ ...Object.fromEntries(hidden), ...fields }) })
  }
}

const unescape = (text: string) =>
  text.replaceAll("&quot;", '"').replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")

export const newBrowser = (headers: Record<string, string> = {}) =>
  Effect.map(Service, (service) => new Browser(service, headers))

export const locationOf = (reply: Reply): string => {
  assert.include([302, 303], reply.status, reply.text)
  return reply.headers.get("location") ?? ""
}

/** Opens a link and presses its button: where the provider is to be asked. */
export const departing = (browser: Browser, link: string) =>
  Effect.map(browser.go(link, { method: "POST" }), locationOf)

/** Signs in at the provider and consents: where the answer is to be taken. */
export const answering = Effect.fnUntraced(function* (browser: Browser, url: string, who: string) {
  const page = yield* browser.go(url)
  assert.strictEqual(page.status, 200, page.text)
  let answer = yield* browser.submit(url, page, { login: who, decision: "sign-in" })
  if (answer.status === 200) answer = yield* browser.submit(url, answer, { decision: "accept" })
  return locationOf(answer)
})

/** From the link to the page, or the redirect, at the end. */
export const signingIn = Effect.fnUntraced(function* (link: string, who: string, browser?: Browser) {
  const used = browser ?? (yield* newBrowser())
  return yield* used.go(yield* answering(used, yield* departing(used, link), who))
})
