/** Requests made from the document: some right, some nearly, some hostile. */
import { hostileTexts, mutated, type Random } from "./Random.ts"
import { allowsBody, type Operation, type Seen, validIsh } from "./OpenApi.ts"

export interface FuzzRequest {
  readonly operation: Operation
  readonly path: string
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
  /** False where the document does not allow the body. */
  readonly allowed: boolean
}

const importFile = `email,client_id,refresh_token,tags
fuzz1@example.com,11111111-2222-3333-4444-555555555555,CANARY-token-1,"a;b"
# a comment
fuzz2@example.com----11111111-2222-3333-4444-555555555555----CANARY-token-2
{"email":"fuzz3@example.com","clientId":"11111111-2222-3333-4444-555555555555","refreshToken":"CANARY-token-3"}
`

/** What a path may hold: a name that is not empty, in whatever encoding. */
const inPath = (text: string): string => {
  const encoded = encodeURIComponent(text.toWellFormed())
  return encoded === "" || encoded === "." || encoded === ".." ? "%20" : encoded
}

/** A header may hold bytes, and no end of line. */
const inHeader = (text: string): string => text.replace(/[^\t\x20-\x7e]/g, "?").slice(0, 2_000)

const asText = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value) ?? ""

/** Which values of answers a parameter called `id` takes, by the collection that the path begins with. */
export const collectionOf = (path: string): string => path.split("/")[2] ?? ""

export const makeRequest = (random: Random, operation: Operation, seen: Seen, key: string | null): FuzzRequest => {
  const headers: Record<string, string> = key === null ? {} : { authorization: `Bearer ${key}` }
  const query: Array<string> = []
  let path = operation.path
  for (const { in: place, name, schema } of operation.parameters ?? []) {
    if (place === "path") {
      const known = seen.get(`id of ${collectionOf(path)}`) ?? []
      const value = known.length > 0 && random.chance(0.85)
        ? random.pick(known)
        : random.chance(0.3)
        ? crypto.randomUUID()
        : random.pick(hostileTexts)
      path = path.replace(`{${name}}`, () => inPath(value))
    } else if (random.chance(0.45)) {
      const value = asText(validIsh(random, schema, name, seen))
      if (place === "header") headers[name] = inHeader(value)
      else {
        query.push(`${name}=${encodeURIComponent(value.toWellFormed())}`)
        if (random.chance(0.05)) {
          query.push(`${name}=${encodeURIComponent(asText(random.pick(hostileTexts)).toWellFormed())}`)
        }
      }
    }
  }
  if (random.chance(0.05)) query.push(random.pick(["%", "=&=", "a[b]=1", "__proto__=1", "limit=%FF%FE", "q=%zz"]))
  const types = Object.keys(operation.requestBody?.content ?? {})
  let body: string | undefined
  let allowed = true
  if (types.length > 0) {
    const schema = operation.requestBody!.content[types[0]!]!.schema
    if (types.length > 1) body = mutated(random, importFile)
    else {
      const value = validIsh(random, schema, "", seen)
      body = JSON.stringify(value) ?? "undefined"
      allowed = body !== "undefined" && allowsBody(operation, JSON.parse(body))
      if (random.chance(0.08)) {
        body = mutated(random, body)
        allowed = true
      }
    }
    headers["content-type"] = random.chance(0.93)
      ? random.pick(types)
      : random.pick(["text/html", "application/xml", "application/json; charset=utf-16", "a", "multipart/form-data"])
  } else if (random.chance(0.03) && operation.method !== "GET") {
    body = random.pick(hostileTexts)
    headers["content-type"] = "application/json"
  }
  return {
    operation,
    path: query.length === 0 ? path : `${path}?${query.join("&")}`,
    method: operation.method,
    headers,
    ...(body === undefined ? {} : { body }),
    allowed,
  }
}
