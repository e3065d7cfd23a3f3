/**
 * Secrets that go in through every door come out of none: not in logs, spans, answers, the database or what a process says
 * of its faults.
 *
 * All of ours hold one marker, and all tokens of the simulator a text of their own; so a search finds tokens that nobody
 * thought of, rotated ones included.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Inspectable, Layer, Logger, Option, Redacted, References, Schema, Tracer } from "effect"
import { FetchHttpClient } from "effect/http"
import { Buffer } from "node:buffer"
import { Account } from "../../src/domain/Account.ts"
import { App } from "../../src/domain/App.ts"
import { Message } from "../../src/domain/Mail.ts"
import { Run } from "../../src/domain/Run.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { layerEngine } from "../../src/schedules/Engine.ts"
import { makeHandler } from "../../src/server/Http.ts"
import { Shutdown } from "../../src/server/Shutdown.ts"
import { make, type Simulator } from "../../src/simulator/Simulator.ts"
import { privateKey } from "../simulator/certificate.ts"
import { certified } from "../support/certificates.ts"
import { databaseLayer, type Engine, usableEngines } from "../support/databases.ts"
import {
  type Answered,
  eventually,
  found,
  hasEnded,
  install,
  type Installation,
  runToEnd,
  serveSimulator,
} from "../support/processes.ts"

const marker = `Kanari${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`
let made = 0
/** A secret that holds the marker. */
const canary = (what: string): string => `${what}.${marker}.${made++}`

/**
 * What the simulator's refresh tokens, access tokens and client secrets hold: Microsoft's, then Google's. Then what the
 * private key of apps holds.
 */
const simulated = ["_SIM.0.U.", "EwB4A8l6BAAU", "1//0eSIM", "ya29.a0SIM", "GOCSPX-", privateKey.split("\n")[5] ?? ""]

/** A secret as it is, and as it looks where somebody encoded it. */
const forms = (secret: string): ReadonlyArray<string> => {
  const base64 = [0, 1, 2].map((shift) =>
    // The characters at both ends depend on what stands beside the secret.
    Buffer.from(" ".repeat(shift) + secret).toString("base64").slice(shift === 0 ? 0 : 4, -4)
    // What is left of a short one comes up by chance.
  ).filter((form) => form.length >= 8)
  return [secret, secret.toLowerCase(), encodeURIComponent(secret), Buffer.from(secret).toString("hex"), ...base64]
}

const assertClean = (where: string, text: string, secrets: ReadonlyArray<string>) => {
  for (const secret of secrets) {
    for (const form of new Set(forms(secret))) {
      const at = text.indexOf(form)
      if (at >= 0) assert.fail(`${where} holds a secret: …${text.slice(Math.max(0, at - 300), at + 100)}…`)
    }
  }
}

const clientId = "11111111-2222-3333-4444-555555555555"

/** Answers of a token endpoint that repeat the token that they refuse, and the client's secret, in every place. */
const echoes: ReadonlyArray<(token: string) => Response> = [
  (token) =>
    Response.json({
      error: "invalid_grant",
      error_description: `AADSTS70000: the provided value ${token} is not valid`,
      error_codes: [70000],
      trace_id: token,
      correlation_id: token,
      error_uri: `https://login.example/?token=${token}`,
      suberror: token,
      claims: token,
    }, { status: 400 }),
  (token) => Response.json({ error: token, error_description: token }, { status: 400 }),
  (token) => Response.json({ error: "server_error", error_codes: [token], error_description: token }, { status: 400 }),
  (token) => new Response(`slow down, ${token}`, { status: 429, headers: { "retry-after": token } }),
  (token) => new Response(`<html>${token}</html>`, { status: 500, headers: { "content-type": "text/html" } }),
  (token) => Response.json({ refresh_token: token, token_type: token }),
  (token) => new Response(`{"access_token": ${token}`),
  (token) => Response.json({ access_token: token, expires_in: "soon", scope: token }),
  (token) => new Response(null, { status: 302, headers: { location: `http://127.0.0.1:1/?token=${token}` } }),
  (token) => new Response(token, { status: 400, headers: { "retry-after": "1", "www-authenticate": token } }),
  (token) =>
    Response.json({ error: "invalid_request", error_codes: [987654], error_description: token }, { status: 400 }),
  (token) => Response.json([token], { status: 401 }),
]

/** A token that the provider answers with echo number `n` to. */
const echoing = (n: number): string => canary(`echo-${n}`)

/** Answers of Graph that repeat the access token, one after another. */
const graphEchoes: ReadonlyArray<(token: string) => Response> = [
  (token) =>
    Response.json({ error: { code: token, message: `no ${token}`, innerError: { "request-id": token } } }, {
      status: 400,
    }),
  (token) => new Response(token, { status: 401, headers: { "www-authenticate": `Bearer claims="${token}"` } }),
  (token) => Response.json({ value: token, "@odata.nextLink": `http://127.0.0.1:1/${token}` }),
  (token) => new Response(`<html>${token}</html>`, { status: 403 }),
]

/** A provider that gives away whatever it is given: the simulator behind echoes. */
const provider = Effect.fnUntraced(function* () {
  const simulator = yield* make({ accounts: 23, googleAccounts: 3, messages: 5 })
  let graphCalls = 0
  let storming = true
  const origin = yield* serveSimulator(simulator, async (request, next) => {
    if (request.method === "POST") {
      const form = new URLSearchParams(await request.clone().text())
      const token = form.get("refresh_token") ?? ""
      const echo = echoes[Number(/^echo-(\d+)\./.exec(token)?.[1] ?? NaN)]
      if (echo !== undefined) return echo(`${token}${form.get("client_secret") ?? ""}`)
    } else if (request.url.includes("/v1.0/") && storming) {
      const token = request.headers.get("authorization") ?? ""
      return found(graphEchoes[graphCalls++ % graphEchoes.length])(token)
    }
    return next()
  })
  return { origin, simulator, calm: () => void (storming = false) }
})

type Provider = Effect.Success<ReturnType<typeof provider>>

type Send = (path: string, init?: RequestInit) => Effect.Effect<Answered, unknown>

const decode = <S extends Schema.Top & { readonly DecodingServices: never }>(
  schema: S,
  { text }: Answered,
): S["Type"] => Schema.decodeUnknownSync(Schema.toCodecJson(schema))(JSON.parse(text))

const post = (type: string, body: string): RequestInit => ({
  method: "POST",
  headers: { "content-type": type },
  body,
})

const json = (body: unknown, method = "POST"): RequestInit => ({
  ...post("application/json", JSON.stringify(body)),
  method,
})

/** Files of each format: good rows, rows that are bad in each place where a secret may stand, and what cannot be read. */
const files = (simulator: Simulator): ReadonlyArray<readonly [type: string, body: string]> => {
  const account = (n: number) => simulator.account(`sim${String(n).padStart(5, "0")}@sim.example`)
  const [csv, ndjson, json, lines] = [account(1), account(2), account(3), account(4)] as const
  const bad = () => canary("row")
  const objects = (good: ReturnType<typeof account>) => [
    { email: good.email, clientId: good.clientId, refreshToken: good.refreshToken, password: bad() },
    { email: bad(), clientId, refreshToken: bad() },
    { email: "a@canary.example", clientId: bad(), refreshToken: bad() },
    { email: "b@canary.example", clientId, refreshToken: `${bad()} ${bad()}` },
    { email: "c@canary.example", clientId, refreshToken: { secret: bad() } },
    { email: "d@canary.example", clientId, refreshToken: bad(), provider: bad(), channel: bad() },
    { email: "e@canary.example", clientId, refreshToken: bad(), tenant: `/${bad()}` },
    { email: "f@canary.example", clientId, refreshToken: bad(), tags: [`${bad()}${"x".repeat(80)}`] },
    ...[0, 1, 10].map((n) => ({ email: `echo${n}@${good.email}`, clientId, refreshToken: echoing(n) })),
  ]
  return [
    [
      "text/csv",
      [
        "email,client_id,refresh_token",
        `${csv.email},${csv.clientId},${csv.refreshToken}`,
        `${bad()},${clientId},${bad()}`,
        `g@canary.example,${bad()},${bad()}`,
        `h@canary.example,${clientId},${bad()},${bad()}`,
        `i@canary.example,${clientId}`,
        `j@canary.example,${clientId},"${bad()}"${bad()}`,
        `echo1@csv.example,${clientId},${echoing(1)}`,
        `k@canary.example,${clientId},"${bad()}`,
      ].join("\n"),
    ],
    ["application/x-ndjson", [...objects(ndjson).map((row) => JSON.stringify(row)), `{"email": ${bad()}`].join("\n")],
    ["application/json", JSON.stringify([...objects(json), bad(), [bad()]])],
    [
      "text/plain",
      [
        `${lines.email}----${bad()}----${lines.clientId}----${lines.refreshToken}`,
        `l@canary.example----${bad()}----${bad()}----${bad()}`,
        `m@canary.example----${bad()}`,
        `${bad()}----${bad()}----${clientId}----${bad()}`,
        `n@canary.example----${bad()}----${clientId}----${bad()}----${bad()}`,
        `o@canary.example----${bad()}----${echoing(0)}----${clientId}`,
        bad(),
      ].join("\n"),
    ],
    // What cannot be read as a whole.
    ["text/csv", `${bad()},${bad()}\n${bad()},${bad()}\n`],
    ["application/json", `{"accounts": "${bad()}"}`],
    ["application/json", bad()],
    ["text/csv", `${bad()}\0`],
    [`text/${bad()}`, bad()],
  ]
}

/** Puts secrets in through every door of the API, and reads everything that comes out. Only `issued` may hold any. */
const drive = Effect.fnUntraced(function* (send: Send, { calm, simulator }: Provider) {
  const answers: Array<string> = []
  const ask = (path: string, init?: RequestInit) =>
    Effect.tap(send(path, init), (answer) =>
      Effect.sync(() => {
        answers.push(`${path.split("?", 1)[0]} ${answer.status} ${JSON.stringify([...answer.headers])} ${answer.text}`)
      }))
  const runs: Array<string> = []
  const follow = Effect.fnUntraced(function* (answer: Answered) {
    if (answer.status !== 202) return
    const { id } = decode(Run, answer)
    runs.push(id)
    yield* eventually("the run ends", send(`/v1/runs/${id}`), (seen) => hasEnded(decode(Run, seen)))
  })

  for (const [type, body] of files(simulator)) {
    yield* Effect.flatMap(ask("/v1/imports?dryRun=true", post(type, body)), follow)
    yield* Effect.flatMap(ask("/v1/imports?onDuplicate=update", post(type, body)), follow)
  }
  const good = simulator.account("sim00005@sim.example")
  const account = (refreshToken: unknown, more = {}) =>
    post("application/json", JSON.stringify({ email: `${made++}@one.example`, clientId, refreshToken, ...more }))
  yield* Effect.forEach(
    [
      account(good.refreshToken, { email: "sim00005@sim.example", clientId: good.clientId }),
      ...echoes.map((_, n) => account(echoing(n), { clientId: crypto.randomUUID() })),
      account(`${canary("blank")} `.repeat(2)),
      account({ secret: canary("object") }),
      account(canary("more"), { password: canary("password"), tags: [1, canary("tag")] }),
      account(canary("email"), { email: canary("email") }),
      account(canary("id"), { clientId: canary("id") }),
      post("application/json", `{"refreshToken": "${canary("broken")}`),
      post("text/plain", canary("type")),
    ],
    (init) => ask("/v1/accounts", init),
    { concurrency: 4 },
  )
  yield* ask("/v1/accounts", { headers: { authorization: `Bearer ${canary("key")}` } })
  yield* ask(`/v1/imports?refresh_token=${canary("query")}`, post("text/csv", "email,client_id,refresh_token\n"))
  for (const kind of ["refreshes", "syncs"]) {
    yield* Effect.flatMap(ask(`/v1/${kind}`, post("application/json", `{"filter":{"search":"@sim.example"}}`)), follow)
  }
  // The first sync met the echoes, this one meets the mail.
  calm()
  yield* Effect.flatMap(ask("/v1/syncs", post("application/json", `{"filter":{"search":"@sim.example"}}`)), follow)

  // Confidential clients: secrets that are right, wrong, senseless, and repeated by the provider.
  const google = found(simulator.apps().find(({ provider }) => provider === "google"))
  const { id: app } = decode(
    App,
    yield* ask("/v1/apps", json({ provider: "google", clientId: google.clientId, secret: canary("secret") })),
  )
  for (const n of [21, 22, 23]) {
    const { clientId, email, refreshToken } = simulator.account(`sim000${n}@gmail.sim.example`)
    yield* ask("/v1/accounts", account(refreshToken, { email, clientId, tags: ["google"] }))
  }
  const events = yield* ask("/v1/events?kind=app.faulted")
  assert.include(events.text, `google:${google.clientId}`)
  yield* Effect.forEach(
    [
      { secret: { value: canary("object") } },
      { secret: `${canary("form")}\n${canary("form")}` },
      { secret: canary("long").repeat(60) },
      { secret: canary("field"), [canary("name")]: 1 },
      canary("text"),
    ],
    (body) => ask(`/v1/apps/${app}`, json(body, "PATCH")),
  )
  yield* ask(`/v1/apps/${app}`, { ...post("application/json", `{"secret": "${canary("broken")}`), method: "PATCH" })
  yield* ask(`/v1/apps/${crypto.randomUUID()}`, json({ secret: canary("missing") }, "PATCH"))
  for (
    const body of [
      { provider: canary("provider"), clientId: google.clientId, secret: canary("provider") },
      { provider: "google", clientId: `${canary("client")} `.repeat(2), secret: canary("client") },
      { provider: "microsoft", clientId, tenant: `/${canary("tenant")}`, secret: canary("tenant") },
      { provider: "google", clientId: google.clientId, secret: canary("twice") },
    ]
  ) yield* ask("/v1/apps", json(body))
  // Keys are told by what stands beside them as well: a comment in a PEM file, the id of a service account's key.
  const pem = `${canary("comment")}\n${certified}`
  const keyFile = (more: Record<string, string>) =>
    JSON.stringify({ type: "service_account", client_email: "a@b.example", private_key: privateKey, ...more })
  const keyed = [
    { provider: "microsoft", clientId: crypto.randomUUID(), certificate: pem },
    { provider: "google", clientId: "key", serviceAccountKey: keyFile({ private_key_id: canary("key id") }) },
  ]
  for (const body of keyed) decode(App, yield* ask("/v1/apps", json(body)))
  for (
    const body of [
      { certificate: canary("certificate") },
      { certificate: `${certified}-----BEGIN PRIVATE KEY-----\n${canary("key")}\n-----END PRIVATE KEY-----` },
      { certificate: pem, secret: canary("both") },
      { serviceAccountKey: keyFile({ private_key: canary("key") }) },
      { authority: `https://${canary("user")}@login.example` },
      { redirectUri: `https://mail.example/#${canary("fragment")}` },
      { scopes: { graph: `"${canary("scope")}"`, [canary("channel")]: "" } },
      { secretExpiresAt: canary("time") },
    ]
  ) {
    yield* ask(`/v1/apps/${app}`, json(body, "PATCH"))
    yield* ask("/v1/apps", json({ provider: "microsoft", clientId: crypto.randomUUID(), ...body }))
  }
  yield* Effect.forEach(echoes, (_, n) =>
    Effect.gen(function* () {
      const clientId = `${crypto.randomUUID()}.apps.googleusercontent.com`
      yield* ask("/v1/apps", json({ provider: "google", clientId, secret: canary("repeated") }))
      yield* ask("/v1/accounts", account(echoing(n), { clientId }))
    }), { concurrency: 4 })
  yield* ask(`/v1/apps/${app}`, json({ secret: google.clientSecret }, "PATCH"))
  yield* Effect.flatMap(ask("/v1/refreshes", json({ filter: { tag: "google" } })), follow)
  yield* ask("/v1/tag-policies/google", json({ policy: "warm" }, "PUT"))
  yield* ask("/v1/tag-policies/google", json({ policy: canary("policy") }, "PUT"))

  const list = yield* ask("/v1/accounts?limit=500")
  const { items } = decode(Schema.Struct({ items: Schema.Array(Account) }), list)
  const active = items.filter(({ status }) => status === "active")
  assert.isAtLeast(active.length, 5)
  assert.isAtLeast(items.length, 20)
  const mail = decode(Schema.Struct({ items: Schema.Array(Message) }), yield* ask("/v1/messages?limit=5"))
  yield* Effect.forEach(
    [
      "/",
      "/docs",
      "/openapi.json",
      "/health/live",
      "/health/ready",
      "/metrics",
      "/v1/stats",
      "/v1/changes?limit=500",
      "/v1/events?limit=500",
      "/v1/apps?limit=500",
      `/v1/apps/${app}`,
      "/v1/tag-policies",
      "/v1/runs",
      ...runs.flatMap((id) => [`/v1/runs/${id}`, `/v1/runs/${id}/items?limit=500`, `/v1/runs/${id}/events`]),
      ...items.flatMap(({ id }) => [`/v1/accounts/${id}`, `/v1/accounts/${id}/folders`, `/v1/accounts/${id}/messages`]),
      `/v1/messages/${found(mail.items[0]).id}`,
    ],
    (path) => ask(path),
    { concurrency: 4, discard: true },
  )
  // What is refused is a problem; what is handed out is the one answer that may hold a token.
  for (const { id, status } of items) {
    if (status !== "active") yield* ask(`/v1/accounts/${id}/access-token?resource=graph`)
  }
  for (const [provider, mark] of [["microsoft", "EwB4A8l6BAAU"], ["google", "ya29.a0SIM"]] as const) {
    const { id } = found(active.find((account) => account.provider === provider))
    yield* ask(`/v1/accounts/${id}/access-token?minValidity=${canary("validity")}`)
    yield* ask(`/v1/accounts/${id}`, json({ refreshPolicy: canary("policy") }, "PATCH"))
    yield* ask(`/v1/accounts/${id}`, json({ refreshPolicy: "warm" }, "PATCH"))
    const issued = yield* send(`/v1/accounts/${id}/access-token?minValidity=5%20minutes`)
    assert.include(issued.text, mark)
    const audit = yield* ask(`/v1/audit?accountId=${id}`)
    assert.include(audit.text, `"outcome":"issued"`)
  }
  yield* ask("/v1/audit?limit=500")
  return answers
})

/** All rows of all tables as text: bytes are in hex there. */
const dump = (installation: Installation) =>
  installation.query((sql) =>
    Effect.gen(function* () {
      const tables = yield* sql<{ name: string }>`select table_name as name from information_schema.tables
        where table_schema = ${installation.schema}`
      const rows = yield* Effect.forEach(
        tables,
        ({ name }) => sql<{ row: string }>`select t::text as row from ${sql(`${installation.schema}.${name}`)} t`,
      )
      assert.isAtLeast(tables.length, 10)
      return rows.flat().map(({ row }) => row).join("\n")
    })
  )

/** The files of the embedded database: what was there once and has been overwritten since is there still. */
const filesOf = Effect.fnUntraced(function* (folder: string) {
  const read = async (folder: string): Promise<Array<Uint8Array>> => {
    const found: Array<Uint8Array> = []
    for await (const { isDirectory, name } of Deno.readDir(folder)) {
      const path = `${folder}/${name}`
      if (isDirectory) found.push(...await read(path))
      else if (name !== "postmaster.pid") found.push(await Deno.readFile(path))
    }
    return found
  }
  const all = yield* Effect.promise(() => read(folder))
  return all.map((bytes) => Buffer.from(bytes).toString("latin1"))
})

const trace = ["--log-level", "trace"]

const engines = await usableEngines

const throughProcess = Effect.fnUntraced(function* (engine: Engine) {
  const outside = yield* provider()
  const { origin, simulator } = outside
  const installation = yield* install(engine, origin, {
    MAILFLEET_SYNC_SPACING: "0 seconds",
    MAILFLEET_GOOGLE_TOKEN_URL: `${origin}/google/token`,
  })
  const secrets = [marker, ...simulated, installation.adminKey, found(installation.encryptionKeys.split(":")[1])]

  const first = yield* installation.start({}, trace)
  for (const answer of yield* drive(first.send, outside)) assertClean("an answer", answer, secrets)
  // The command line is a door as well.
  const file = `${installation.folder}/more.txt`
  yield* Effect.promise(() => Deno.writeTextFile(file, found(files(simulator)[3])[1].replaceAll("@canary", "@command")))
  const other = `${crypto.randomUUID()}.apps.googleusercontent.com`
  const commands = [
    [1, ["import", file], ""],
    [0, ["apps", "add", "google", other, "--confidential"], canary("added")],
    [0, ["apps", "set-secret", other], canary("set")],
    [2, ["apps", "set-secret", other], canary("ü")],
    [0, ["apps"], ""],
  ] as const
  for (const [code, args, secret] of commands) {
    const command = yield* runToEnd([...args, ...trace], {
      MAILFLEET_URL: first.url,
      MAILFLEET_API_KEY: installation.adminKey,
      MAILFLEET_APP_SECRET: secret,
    })
    assert.strictEqual(command.code, code, command.output)
    assertClean("the output of a command", command.output, secrets)
  }
  yield* Effect.promise(() => Deno.remove(file))
  assert.strictEqual(yield* first.stop, 0)
  assert.match(first.output(), /level=DEBUG/)
  assertClean("the log", first.output(), secrets)

  const rows = yield* dump(installation)
  assert.include(rows, "sim00005@sim.example")
  assertClean("the database", rows, secrets)
  if (engine === "embedded") {
    for (const bytes of yield* filesOf(`${installation.folder}/database`)) {
      for (const secret of secrets) assert.isFalse(bytes.includes(secret), "a file of the database holds a secret")
    }
  }

  return { installation, secrets, simulator }
})

/** A database that refuses rows says which ones; a start without a key that is needed; and secrets that cannot be decrypted. */
const throughFaults = Effect.fnUntraced(function* (engine: Engine) {
  const { installation, secrets, simulator } = yield* throughProcess(engine)
  yield* installation.query((sql, table) =>
    Effect.all([
      sql`alter table ${table("grant_tokens")} add constraint refuses check (false) not valid`,
      sql`alter table ${table("import_blocks")} add constraint refuses check (false) not valid`,
    ])
  )
  const second = yield* installation.start({ MAILFLEET_SCHEDULES: "off" }, trace)
  const refused = yield* second.send("/v1/imports", post("text/csv", [...simulator.importLines({ from: 10 })].join("")))
  assert.strictEqual(refused.status, 500)
  assertClean("a problem", refused.text, secrets)
  yield* second.send("/v1/refreshes", post("application/json", `{"filter":{"status":"active"}}`))
  yield* eventually("the fault is logged", Effect.sync(second.output), (output) => /refuses/.test(output))
  yield* second.kill
  assertClean("the log of a fault", second.output(), secrets)

  const withoutKey = yield* Effect.flip(
    installation.start({ MAILFLEET_ENCRYPTION_KEYS: `k2:${btoa(marker.padEnd(32).slice(0, 32))}` }, trace),
  )
  assert.include(withoutKey.message, "MAILFLEET_ENCRYPTION_KEYS lacks k1")
  assertClean("the refusal of a start without the key", withoutKey.message, secrets)

  yield* installation.query((sql, table) =>
    sql`update ${table("grants")} set secret = set_byte(secret, 30, get_byte(secret, 30) # 1)`
  )
  const third = yield* installation.start({ MAILFLEET_SCHEDULES: "off" }, trace)
  const started = yield* third.send("/v1/refreshes", post("application/json", `{"filter":{"search":"sim00005"}}`))
  const { id } = decode(Run, started)
  yield* eventually("the run ends", third.send(`/v1/runs/${id}`), (seen) => hasEnded(decode(Run, seen)))
  const items = yield* third.send(`/v1/runs/${id}/items`)
  assert.match(items.text, /"outcome":"failed"/)
  assertClean("an item that cannot be read", items.text, secrets)
  yield* third.kill
  assertClean("the log of what cannot be read", third.output(), secrets)
})

/** Writes down what a tracer is told: names, attributes, events, and how spans end. */
const recorder = (told: Array<string>): Tracer.Tracer => {
  const tell = (...what: ReadonlyArray<unknown>) => {
    told.push(what.map((one) => Inspectable.toStringUnknown(one)).join(" "))
  }
  class RecordedSpan extends Tracer.NativeSpan {
    override attribute(key: string, value: unknown): void {
      tell(key, value)
      super.attribute(key, value)
    }
    override event(name: string, startTime: bigint, attributes?: Record<string, unknown>): void {
      tell(name, attributes)
      super.event(name, startTime, attributes)
    }
    override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
      if (Exit.isFailure(exit)) tell(Cause.pretty(exit.cause), exit.cause)
      super.end(endTime, exit)
    }
  }
  return Tracer.make({
    span: (options) => {
      tell(options.name, options.links)
      return new RecordedSpan(options)
    },
  })
}

const throughHandler = Effect.fnUntraced(function* (engine: Engine) {
  const outside = yield* provider()
  const { origin } = outside
  const adminKey = canary("admin")
  const encryptionKey = btoa(marker.padEnd(32).slice(0, 32))
  const secrets = [marker, ...simulated, encryptionKey]
  const spans: Array<string> = []
  const lines: Array<string> = []
  const settings = Layer.orDie(Settings.layerWith({
    databaseUrl: Option.none(),
    adminKey: Option.some(Redacted.make(adminKey)),
    encryptionKeys: Option.some(Redacted.make(`k1:${encryptionKey}`)),
    microsoftAuthority: origin,
    graphUrl: `${origin}/v1.0`,
    googleTokenUrl: `${origin}/google/token`,
  }))
  const answers = yield* Effect.gen(function* () {
    const handler = yield* makeHandler
    const send: Send = (path, init) =>
      Effect.tryPromise(async () => {
        const request = new Request(`http://mailfleet.test${path}`, init)
        if (!request.headers.has("authorization")) request.headers.set("authorization", `Bearer ${adminKey}`)
        const response = await handler(request)
        return { status: response.status, headers: response.headers, text: await response.text() }
      })
    return yield* drive(send, outside)
  }).pipe(
    Effect.provide(
      Layer.mergeAll(layerEngine, Shutdown.layer).pipe(
        Layer.provideMerge(databaseLayer(engine)),
        Layer.provideMerge(settings),
        Layer.provide(FetchHttpClient.layer),
      ),
    ),
    Effect.provideService(Tracer.Tracer, recorder(spans)),
    Effect.provideService(References.MinimumLogLevel, "Trace"),
    Effect.provide(Logger.layer([Logger.map(Logger.formatStructured, (entry) => {
      lines.push(Inspectable.toStringUnknown(entry))
    })])),
    Effect.scoped,
  )
  for (const answer of answers) assertClean("an answer", answer, secrets)
  for (
    const name of [
      "Tokens.refresh",
      "Google.redeem",
      "AppRequests.patch",
      "Import.stage",
      "Graph.page",
      "db.query.text",
    ]
  ) {
    assert.isTrue(spans.some((span) => span.includes(name)), `no span ${name}`)
  }
  assertClean("a span", spans.join("\n"), secrets)
  assert.isAbove(lines.length, 10)
  assertClean("a log entry", lines.join("\n"), secrets)
})

describe("no secret comes out", () => {
  for (const [index, engine] of engines.entries()) {
    // What does not differ from engine to engine is looked at on one.
    const first = index === 0
    const options = { concurrent: true, timeout: 240_000 }
    it.live(
      `of a process, its database or its commands (${engine})`,
      () => first ? throughFaults(engine) : throughProcess(engine),
      options,
    )
    if (first) it.live(`of spans and log entries (${engine})`, () => throughHandler(engine), options)
  }

  it.live("of settings that are wrong", () =>
    Effect.gen(function* () {
      const key = `k1:${Buffer.from(marker.padEnd(32).slice(0, 32)).toString("base64")}`
      const wrong: ReadonlyArray<Record<string, string>> = [
        { DATABASE_URL: `postgres://mailfleet:${canary("password")}@127.0.0.1:1/mailfleet` },
        { DATABASE_URL: `mysql://mailfleet:${canary("password")}@127.0.0.1/mailfleet` },
        { MAILFLEET_ENCRYPTION_KEYS: `${key},${canary("encryption")}` },
      ]
      yield* Effect.forEach(wrong, (one) =>
        Effect.gen(function* () {
          const folder = yield* Effect.promise(() => Deno.makeTempDir({ prefix: "mailfleet-test-" }))
          const { code, output } = yield* runToEnd(["serve", "--log-level", "trace"], {
            MAILFLEET_DATA_DIR: folder,
            MAILFLEET_ADMIN_KEY: canary("admin"),
            MAILFLEET_ENCRYPTION_KEYS: key,
            ...one,
          })
          yield* Effect.promise(() => Deno.remove(folder, { recursive: true }))
          assert.strictEqual(code, 2, output)
          assertClean("what is said of a setting", output, [marker, key])
        }), { concurrency: 2, discard: true })
    }), { concurrent: true, timeout: 120_000 })
})
