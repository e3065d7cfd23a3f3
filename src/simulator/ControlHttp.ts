/** The control calls over HTTP, under `/_simulator/`: JSON in, JSON out. */
import { Option, Schema } from "effect"
import { NotFound, Unfit } from "./ControlErrors.ts"
import * as Payload from "./ControlPayloads.ts"
import { googleBase } from "./GoogleToken.ts"
import type { ImportOptions } from "./ImportFile.ts"
import type { Simulator } from "./Simulator.ts"

/** The pieces of a matched path, and the query. */
interface Place {
  readonly at: (name: string) => string
  readonly query: URLSearchParams
  readonly origin: string
}

interface Route {
  readonly method: string
  readonly path: ReadonlyArray<string>
  readonly run: (simulator: Simulator, place: Place, body: unknown) => unknown
}

const get = (path: string, run: (simulator: Simulator, place: Place) => unknown, method = "GET"): Route => ({
  method,
  path: path.split("/"),
  run,
})

const send = <S extends Schema.Codec<unknown, unknown>>(
  method: string,
  path: string,
  schema: S,
  run: (simulator: Simulator, body: S["Type"], place: Place) => unknown,
): Route => {
  const decode = Schema.decodeUnknownOption(schema)
  return {
    method,
    path: path.split("/"),
    run: (simulator, place, body) => {
      const payload = decode(body)
      if (Option.isNone(payload)) throw new Unfit({ message: `the body does not fit ${method} ${path}` })
      return run(simulator, payload.value, place)
    },
  }
}

const decodeEndpoint = Schema.decodeUnknownOption(Payload.CountedEndpoint)

const countedEndpoint = (text: string | null) => {
  const endpoint = decodeEndpoint(text ?? "token")
  if (Option.isNone(endpoint)) throw new Unfit({ message: "endpoint is token, googleToken, graph or gmail" })
  return endpoint.value
}

const optionalNumber = (text: string | null): number | undefined => text === null ? undefined : Number(text)

const routes: ReadonlyArray<Route> = [
  get("options", (sim) => sim.configure({})),
  send("PATCH", "options", Payload.Configuration, (sim, change) => sim.configure(change)),
  get("counters", (sim) => sim.counters()),
  get("counters/reset", (sim) => sim.resetCounters(), "POST"),
  get("answers-per-second", (sim, { query }) => sim.answersPerSecond(countedEndpoint(query.get("endpoint")))),
  get("violations", (sim) => sim.violations()),
  get("lost-answers", (sim) => sim.lostAnswers()),
  get("wire", (sim, { query }) => sim.onTheWire(optionalNumber(query.get("at")), optionalNumber(query.get("slack")))),
  get(
    "grants",
    (sim, { query }) => sim.grants(query.has("revoked") ? { revoked: query.get("revoked") === "true" } : {}),
  ),
  get("apps", (sim) => sim.apps()),
  send("POST", "apps", Payload.NewApp, (sim, registration) => sim.registerApp(registration)),
  get("service-accounts", (sim) => sim.serviceAccounts()),
  send(
    "POST",
    "service-accounts",
    Payload.NewServiceAccount,
    (sim, account, { origin }) => sim.registerServiceAccount(account, `${origin}${googleBase}/token`),
  ),
  send(
    "POST",
    "apps/:clientId/fault",
    Payload.CodeOrNull,
    (sim, { code }, { at }) => sim.failApp(at("clientId"), code),
  ),
  send(
    "POST",
    "apps/:clientId/secret",
    Payload.Secret,
    (sim, { secret }, { at }) => ({ clientSecret: sim.changeSecret(at("clientId"), secret) }),
  ),
  send("POST", "scripts", Payload.Script, (sim, script) => sim.script(script)),
  get("scripts", (sim) => sim.clearScripts(), "DELETE"),
  get("accounts/:email", (sim, { at }) => sim.account(at("email"))),
  send("POST", "accounts/:email/lock", Payload.Code, (sim, { code }, { at }) => sim.lock(at("email"), code)),
  get("accounts/:email/lock", (sim, { at }) => sim.unlock(at("email")), "DELETE"),
  send("POST", "accounts/:email/revoke", Payload.Code, (sim, { code }, { at }) => sim.revoke(at("email"), code)),
  get("accounts/:email/sign-in", (sim, { at }) => ({ refreshToken: sim.signIn(at("email")) }), "POST"),
  send(
    "POST",
    "accounts/:email/consent",
    Payload.Consent,
    (sim, { scopes }, { at }) => sim.consent(at("email"), scopes),
  ),
  get("accounts/:email/withdraw-access-tokens", (sim, { at }) => sim.withdrawAccessTokens(at("email")), "POST"),
  get("mailboxes/:email", (sim, { at }) => sim.mailbox(at("email"))),
  get("mailboxes/:email/readers/:reader", (sim, { at }) => sim.share(at("email"), at("reader"), true), "PUT"),
  get("mailboxes/:email/readers/:reader", (sim, { at }) => sim.share(at("email"), at("reader"), false), "DELETE"),
  send(
    "POST",
    "mailboxes/:email/refusal",
    Payload.Refusal,
    (sim, { refusal }, { at }) => sim.refuseMailbox(at("email"), refusal),
  ),
  send(
    "POST",
    "mailboxes/:email/messages",
    Payload.NewMessages,
    (sim, message, { at }) => sim.deliver(at("email"), message),
  ),
  send(
    "PATCH",
    "mailboxes/:email/messages/:id",
    Payload.MessageEdit,
    (sim, change, { at }) => sim.editMessage(at("email"), at("id"), change),
  ),
  send(
    "POST",
    "mailboxes/:email/messages/:id/move",
    Payload.Move,
    (sim, { folder }, { at }) => sim.moveMessage(at("email"), at("id"), folder),
  ),
  get("mailboxes/:email/messages/:id", (sim, { at }) => sim.removeMessage(at("email"), at("id")), "DELETE"),
  send(
    "POST",
    "mailboxes/:email/folders",
    Payload.NewFolder,
    (sim, folder, { at }) => sim.addFolder(at("email"), folder),
  ),
  send(
    "PATCH",
    "mailboxes/:email/folders/:id",
    Payload.NewName,
    (sim, { displayName }, { at }) => sim.renameFolder(at("email"), at("id"), displayName),
  ),
  send(
    "POST",
    "mailboxes/:email/messages/:id/labels",
    Payload.Labels,
    (sim, labels, { at }) => sim.relabel(at("email"), at("id"), labels),
  ),
  get("mailboxes/:email/push", (sim, { at }) => sim.push(at("email"))),
  get("mailboxes/:email/folders/:id", (sim, { at }) => sim.removeFolder(at("email"), at("id")), "DELETE"),
  send(
    "POST",
    "mailboxes/:email/expire-cursors",
    Payload.Expiry,
    (sim, { form }, { at }) => sim.expireCursors(at("email"), form),
  ),
  get("mailboxes/:email/subscriptions", (sim, { at }) => sim.subscriptions(at("email"))),
  get("mailboxes/:email/subscriptions", (sim, { at }) => sim.dropSubscriptions(at("email")), "DELETE"),
  send(
    "POST",
    "mailboxes/:email/lifecycle",
    Payload.Lifecycle,
    (sim, { event }, { at }) => sim.sendLifecycle(at("email"), event),
  ),
  get("notifications", (sim) => sim.notifications()),
  send(
    "POST",
    "mailboxes/:email/spend-requests",
    Payload.Spent,
    (sim, { requests }, { at }) => sim.spendRequests(at("email"), requests),
  ),
]

/** Answers a request whose path begins with `/_simulator/`. */
export const control = async (simulator: Simulator, request: Request): Promise<Response> => {
  const url = new URL(request.url)
  const path = url.pathname.split("/").slice(2).map(decodeURIComponent)
  if (request.method === "GET" && path[0] === "import") {
    return new Response(simulator.importStream(importOptions(url.searchParams)), {
      headers: { "content-type": "text/plain; charset=utf-8" },
    })
  }
  const text = request.method === "GET" ? "" : await request.text()
  const body = parse(text === "" ? "{}" : text)
  for (const route of routes) {
    const names = match(route, request.method, path)
    if (names === undefined) continue
    const place = { at: (name: string) => names.get(name) ?? "", query: url.searchParams, origin: url.origin }
    return answer(() => route.run(simulator, place, body))
  }
  return Response.json({ error: "no such control call" }, { status: 404 })
}

const answer = (run: () => unknown): Response => {
  try {
    const result = run()
    return result === undefined ? new Response(null, { status: 204 }) : Response.json(result)
  } catch (error) {
    if (error instanceof NotFound) return Response.json({ error: error.message }, { status: 404 })
    if (error instanceof Unfit) return Response.json({ error: error.message }, { status: 422 })
    throw error
  }
}

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const match = (route: Route, method: string, path: ReadonlyArray<string>): Map<string, string> | undefined => {
  if (route.method !== method || route.path.length !== path.length) return undefined
  const names = new Map<string, string>()
  for (const [i, piece] of route.path.entries()) {
    const actual = path[i] ?? ""
    if (piece.startsWith(":")) names.set(piece.slice(1), actual)
    else if (piece !== actual) return undefined
  }
  return names
}

const decodeFormat = Schema.decodeUnknownOption(Schema.Literals(["csv", "ndjson", "lines"]))

const importOptions = (query: URLSearchParams): ImportOptions => {
  const from = optionalNumber(query.get("from"))
  const count = optionalNumber(query.get("count"))
  const format = Option.getOrUndefined(decodeFormat(query.get("format")))
  return {
    ...(from === undefined ? {} : { from }),
    ...(count === undefined ? {} : { count }),
    ...(format === undefined ? {} : { format }),
  }
}
