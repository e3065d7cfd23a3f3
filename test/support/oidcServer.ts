/**
 * The process that `oidcProvider.ts` starts: `oidc-provider` with its tokens in memory, asked by Microsoft's paths.
 *
 * `deno run -A test/support/oidcServer.ts '{"grants":30,"latency":20,"accessTokenLife":60,"file":"accounts.csv"}'`
 */
import { Schema } from "effect"
import { createServer } from "node:http"
import { text } from "node:stream/consumers"
import { setTimeout } from "node:timers/promises"
import Provider, { type Adapter, type AdapterPayload } from "oidc-provider"
import { Options, type Report, scope } from "./oidcProvider.ts"

const options = Schema.decodeUnknownSync(Schema.fromJsonString(Options))(Deno.args[0])

const clientId = "5d0a7c8e-3b0f-4f0e-9d57-1f3c2a6b8e40"

/** Forgets nothing, where the adapter that comes with `oidc-provider` keeps the newest 1,000 entries. */
const memory = (): Adapter => {
  const entries = new Map<string, AdapterPayload>()
  const ofGrant = new Map<string, Array<string>>()
  return {
    upsert: (id, payload) => {
      entries.set(id, payload)
      if (payload.grantId !== undefined) {
        const ids = ofGrant.get(payload.grantId) ?? []
        ids.push(id)
        ofGrant.set(payload.grantId, ids)
      }
      return Promise.resolve()
    },
    find: (id) => Promise.resolve(entries.get(id)),
    consume: (id) => {
      const entry = entries.get(id)
      if (entry !== undefined) entry.consumed = Math.floor(Date.now() / 1_000)
      return Promise.resolve()
    },
    destroy: (id) => {
      entries.delete(id)
      return Promise.resolve()
    },
    revokeByGrantId: (grantId) => {
      for (const id of ofGrant.get(grantId) ?? []) entries.delete(id)
      return Promise.resolve()
    },
    // Sign-in pages and devices: nobody signs in here.
    findByUid: () => Promise.resolve(),
    findByUserCode: () => Promise.resolve(),
  }
}

const day = 86_400

const provider = new Provider("http://127.0.0.1", {
  adapter: memory,
  clients: [{
    client_id: clientId,
    token_endpoint_auth_method: "none",
    grant_types: ["authorization_code", "refresh_token"],
    redirect_uris: ["https://app.example/signed-in"],
  }],
  scopes: scope.split(" "),
  issueRefreshToken: () => Promise.resolve(true),
  rotateRefreshToken: true,
  ttl: { AccessToken: options.accessTokenLife, RefreshToken: day, Grant: day },
})

const email = (n: number) => `user${String(n).padStart(5, "0")}@oidc.example`
const seen = {
  requests: 0,
  statuses: {} as Record<string, number>,
  errors: {} as Record<string, number>,
  peak: 0,
  peakOfGrant: 0,
  presentedAgain: 0,
  unheard: 0,
  rotations: Object.fromEntries(Array.from({ length: options.grants }, (_, n) => [email(n + 1), 0])),
  revoked: [] as Array<string>,
} satisfies Report
const count = (counts: Record<string, number>, key: string) => void (counts[key] = (counts[key] ?? 0) + 1)

/** Whose each refresh token is, dead ones included. */
const owners = new Map<string, string>()
provider.on("refresh_token.saved", (token) => void owners.set(token.jti, token.accountId))
provider.on("refresh_token.consumed", (token) => count(seen.rotations, token.accountId))
provider.on("grant.error", (_ctx, error) => count(seen.errors, `${error.error}: ${error.error_detail ?? ""}`))
provider.on("grant.revoked", (ctx) => void seen.revoked.push(ctx.oidc.account?.accountId ?? "unknown"))
provider.on("server_error", (_ctx, error) => count(seen.errors, `server_error: ${error.message}`))

const client = await provider.Client.find(clientId)
const rows = ["email,client_id,refresh_token"]
for (const accountId of Object.keys(seen.rotations)) {
  const grant = new provider.Grant({ clientId, accountId })
  grant.addOIDCScope(scope)
  const grantId = await grant.save()
  const token = new provider.RefreshToken({ client: client!, accountId, grantId, scope, gty: "authorization_code" })
  rows.push(`${accountId},${clientId},${await token.save()}`)
}
await Deno.writeTextFile(options.file, `${rows.join("\n")}\n`)

const presented = new Set<string>()
const inFlight = new Map<string, number>()
let allInFlight = 0

provider.use(async (ctx, next) => {
  if (ctx.path === "/report") {
    ctx.body = seen
    return
  }
  if (!ctx.path.endsWith("/oauth2/v2.0/token")) return await next()
  ctx.path = "/token"
  const form = Object.fromEntries(new URLSearchParams(await text(ctx.req)))
  // What `oidc-provider` takes where the request has been read already.
  Object.assign(ctx.req, { body: form })
  const token = form["refresh_token"] ?? ""
  const owner = owners.get(token) ?? "unknown"

  seen.requests++
  if (presented.has(token)) seen.presentedAgain++
  presented.add(token)
  inFlight.set(owner, (inFlight.get(owner) ?? 0) + 1)
  allInFlight++
  seen.peak = Math.max(seen.peak, allInFlight)
  seen.peakOfGrant = Math.max(seen.peakOfGrant, inFlight.get(owner) ?? 0)
  ctx.res.once("close", () => {
    if (!ctx.res.writableFinished) seen.unheard++
  })
  await setTimeout(options.latency)
  await next()
  // The answer is ready, and has not left: whoever comes from now on was sent after it.
  inFlight.set(owner, (inFlight.get(owner) ?? 0) - 1)
  allInFlight--
  count(seen.statuses, String(ctx.status))
})

const server = createServer(provider.callback())
// A connection that is closed in the moment it is used again would be a lost answer.
server.keepAliveTimeout = 60_000
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  if (typeof address === "object") console.log(`listening on http://127.0.0.1:${address?.port}`)
})
