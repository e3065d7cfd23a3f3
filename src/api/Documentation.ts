/** What the OpenAPI document says beyond the schemas: parameters in words, and components under their plain names. */
import type { OpenApi } from "effect/http-api"
import { examples } from "./Examples.ts"
import { defaultLimit, maxLimit } from "./Parameters.ts"
import { scopeOf } from "./Scopes.ts"

/** Parameters mean the same wherever they occur, so each is described once. */
const parameters: Readonly<
  Record<string, { readonly description: string; readonly schema?: Record<string, unknown> }>
> = {
  id: { description: "The id. One that names nothing answers 404." },
  limit: {
    description: "How many items a page has at most.",
    schema: { type: "integer", minimum: 1, maximum: maxLimit, default: defaultLimit },
  },
  cursor: { description: "`nextCursor` of the page before." },
  after: { description: "A `position`, or `nextCursor` of the page before: only what came later is listed." },
  "last-event-id": { description: "The position of the last entry that was read; browsers send it by themselves." },
  "idempotency-key": {
    description: "Makes the call safe to repeat: the same key with the same request answers with the same run.",
    schema: { type: "string", pattern: "^[!-~]{1,255}$" },
  },
  onDuplicate: { description: "What happens to a row whose account exists. `skip` unless given." },
  dryRun: {
    description: "Check the file only: no account is stored, no provider contacted.",
    schema: { type: "boolean", default: false },
  },
  verify: {
    description:
      "Redeem each refresh token once. Otherwise accounts stay `pending` until their first scheduled refresh.",
    schema: { type: "boolean", default: true },
  },
  provider: { description: "The provider." },
  channel: { description: "How the mailboxes are read." },
  tags: { description: "Tags for every row, separated by commas." },
  tag: { description: "A tag that accounts carry." },
  status: { description: "Accounts of this status." },
  search: { description: "Case-insensitive substring of the address." },
  endsBefore: { description: "Accounts whose refresh token ends before this time, unless it is used." },
  since: { description: "Samples after this time." },
  subject: { description: "Events about this account, grant or client: what `subject` of an event says." },
  appId: { description: "Grants of this app." },
  kind: { description: "Runs, grants, or events, of this kind." },
  state: { description: "Runs in this state." },
  outcome: { description: "Items with this outcome." },
  accountId: { description: "Entries that concern this account." },
  folder: { description: "A folder's id, or a role such as `inbox`." },
  validationToken: { description: "The token of a handshake, which is answered with it." },
  token: { description: "What the sender proves itself by." },
  attachmentId: { description: "What the message calls the attachment." },
  threadId: { description: "Messages of one thread." },
  from: { description: "The sender's address, or `@` and its domain." },
  unread: { description: "`true`: messages that are not read; `false`: those that are." },
  hasAttachments: { description: "`true`: messages with attachments; `false`: those without." },
  receivedAfter: { description: "Messages received at this time or later." },
  receivedBefore: { description: "Messages received before this time." },
  q: { description: 'Words of subject, addresses, names of attachments or text; `"in quotes"`: in that order.' },
  resource: { description: "What the token opens. That of the account's channel unless given." },
  minValidity: {
    description: "For how long the token must stay valid, such as `5 minutes`; at most 1 hour. " +
      "One that was issued within the last minute is given in any case: see its `expiresAt`.",
  },
}

const prefix = "#/components/schemas/"

/**
 * The encoded side of a schema is all that the document shows, so its name needs no ending that says so. Beside the plain name
 * it is the text of its JSON, as event streams carry it.
 */
const plainNames = (names: ReadonlySet<string>) => (name: string): string =>
  name.replace(/Encoded$/, names.has(name.replace(/Encoded$/, "")) ? "Json" : "")

/** The generator's notes to itself on how a stream is encoded say nothing to others. */
const notes = "x-effect-stream"

const withPlainNames = (spec: OpenApi.OpenAPISpec): OpenApi.OpenAPISpec => {
  const plainName = plainNames(new Set(Object.keys(spec.components.schemas)))
  const renamed: OpenApi.OpenAPISpec = JSON.parse(JSON.stringify(spec), (key: string, value: unknown) => {
    if (key === notes) return undefined
    return key === "$ref" && typeof value === "string" && value.startsWith(prefix)
      ? prefix + plainName(value.slice(prefix.length))
      : value
  })
  renamed.components.schemas = Object.fromEntries(
    Object.entries(renamed.components.schemas)
      .map(([name, schema]) => [plainName(name), schema] as const)
      .sort(([one], [other]) => one < other ? -1 : 1),
  )
  return renamed
}

const ifNoneMatch = {
  name: "if-none-match",
  in: "header" as const,
  required: false,
  description: "The `ETag` of the answer that the caller has: an unchanged one is answered with 304.",
  schema: { type: "string" as const },
}

const retryAfter = {
  description: "Seconds until the call may be repeated.",
  schema: { type: "integer", minimum: 1 },
}

/** The transformation of the generated document. */
export const documented = (generated: OpenApi.OpenAPISpec): OpenApi.OpenAPISpec => {
  const spec = withPlainNames(generated)
  // Wherever the document came from.
  spec.servers = [{ url: "/" }]
  for (const [name, example] of Object.entries(examples)) {
    const schema: { examples?: ReadonlyArray<unknown> } | undefined = spec.components.schemas[name]
    if (schema !== undefined) schema.examples = [example]
  }
  for (const item of Object.values(spec.paths)) {
    for (const [method, operation] of Object.entries(item)) {
      if (!("parameters" in operation)) continue
      if (method === "get" && operation.responses[200]?.content?.["application/json"] !== undefined) {
        operation.parameters = [...operation.parameters, ifNoneMatch]
        operation.responses[304] = { description: "Nothing has changed." }
      }
      for (const status of [429, 503]) {
        const response: { headers?: Record<string, unknown> } | undefined = operation.responses[status]
        if (response !== undefined) response.headers = { "retry-after": retryAfter }
      }
      if (operation.security.some((requirement) => "apiKey" in requirement)) {
        const [group, endpoint] = operation.operationId.split(".")
        const scope = scopeOf(group!, endpoint!)
        operation.security = [{ apiKey: [scope] }]
        operation.description = `${operation.description ?? ""}\n\nScope: \`${scope}\`.`.trim()
      }
      operation.parameters = operation.parameters.map((parameter) => ({
        ...parameter,
        ...parameters[parameter.name],
      }))
    }
  }
  return spec
}
