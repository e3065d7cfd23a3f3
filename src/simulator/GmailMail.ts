/** The Gmail API v1: which path means what. */
import { Option, Schema } from "effect"
import type { Answer } from "./Answer.ts"
import { gmailError, gmailHeaders, insufficientScope, invalidArgument, notFound } from "./GmailErrors.ts"
import type { GmailItem, GmailLabel, GmailMailbox, HistoryRecord } from "./GmailMailbox.ts"
import { attachmentOf, type Format, formats, gmailMessage } from "./GmailResource.ts"
import { googleMaskOf } from "./GoogleScopes.ts"
import { hash, seal, share } from "./Random.ts"
import type { World } from "./World.ts"

export interface GmailCall {
  readonly mailbox: GmailMailbox
  readonly method: string
  /** After `users/me`, decoded. */
  readonly segments: ReadonlyArray<string>
  readonly query: URLSearchParams
  readonly body: unknown
  /** Scopes of the token. */
  readonly mask: number
  readonly now: number
}

const scope = (...names: ReadonlyArray<string>): number =>
  googleMaskOf(
    names.map((name) => name === "mail" ? "https://mail.google.com/" : `https://www.googleapis.com/auth/gmail.${name}`),
  )

/** Which scopes let do what (Gmail API, choose scopes; the pages of the methods). */
const may = {
  read: scope("mail", "modify", "readonly"),
  look: scope("mail", "modify", "readonly", "metadata"),
  readLabels: scope("mail", "modify", "readonly", "metadata", "labels"),
  writeLabels: scope("mail", "modify", "labels"),
  modify: scope("mail", "modify"),
  delete: scope("mail"),
}

export const routeGmail = (world: World, call: GmailCall): Answer => {
  const { method, segments } = call
  const [first, second, third, fourth] = segments
  const allowed = (mask: number, run: () => Answer): Answer => (call.mask & mask) === 0 ? insufficientScope() : run()
  switch (`${method} ${first}${segments.length > 1 ? "/" : ""}${third ?? ""}`) {
    case "GET profile":
      return allowed(may.look, () => profile(call))
    case "GET labels":
      return allowed(may.readLabels, () => json({ labels: call.mailbox.labels().map(listedLabel) }))
    case "POST labels":
      return allowed(may.writeLabels, () => addLabel(call))
    case "GET labels/":
      return allowed(may.readLabels, () => oneLabel(call, second))
    case "PATCH labels/":
    case "PUT labels/":
    case "DELETE labels/":
      return allowed(may.writeLabels, () => changeLabel(call, second ?? ""))
    case "GET history":
      return allowed(may.look, () => history(world, call))
    case "GET messages":
      return allowed(may.look, () => messages(world, call))
    case "GET messages/":
      return allowed(may.look, () => found(call, second, (message) => oneMessage(call, message)))
    case "DELETE messages/":
      return allowed(may.delete, () =>
        found(call, second, ({ ordinal }) => {
          call.mailbox.remove(ordinal)
          return empty
        }))
    case "POST messages/modify":
    case "POST messages/trash":
    case "POST messages/untrash":
      return allowed(may.modify, () => found(call, second, (message) => modify(call, message, third ?? "")))
    case "GET messages/attachments":
      return allowed(may.read, () =>
        found(call, second, (message) => {
          const attachment = attachmentOf(call.mailbox, message, fourth ?? "")
          return attachment === undefined ? invalidArgument("Invalid attachment token") : json(attachment)
        }))
    case "POST watch":
      return allowed(may.look, () => watch(call))
    case "POST stop":
      return allowed(may.look, () => {
        call.mailbox.watch = undefined
        return empty
      })
    default:
      return notFound()
  }
}

const json = (body: unknown): Answer => ({ status: 200, headers: { ...gmailHeaders }, body: JSON.stringify(body) })

const empty: Answer = { status: 204, headers: {}, body: "" }

const profile = ({ mailbox }: GmailCall): Answer => {
  const ordinals = [...mailbox.messages()].map(({ ordinal }) => ordinal)
  return json({
    emailAddress: mailbox.email,
    messagesTotal: ordinals.length,
    threadsTotal: new Set(ordinals.map((ordinal) => mailbox.threadIdOf(ordinal))).size,
    historyId: String(mailbox.historyId),
  })
}

// Labels

const listedLabel = ({ id, name, type }: GmailLabel) => ({
  id,
  name,
  ...(type === "user" ? { messageListVisibility: "show", labelListVisibility: "labelShow" } : {}),
  type,
})

const oneLabel = ({ mailbox }: GmailCall, id = ""): Answer => {
  const label = mailbox.label(id)
  if (label === undefined) return notFound()
  const count = mailbox.counts().get(id)
  return json({
    ...listedLabel(label),
    messagesTotal: count?.total ?? 0,
    messagesUnread: count?.unread ?? 0,
    threadsTotal: count?.total ?? 0,
    threadsUnread: count?.unread ?? 0,
  })
}

const decodeLabel = Schema.decodeUnknownOption(Schema.Struct({ name: Schema.String }))

const addLabel = ({ body, mailbox }: GmailCall): Answer => {
  const given = decodeLabel(body)
  if (Option.isNone(given) || given.value.name.trim() === "") return invalidArgument("Invalid label name")
  const label = mailbox.addLabel(given.value.name)
  return label === undefined ? gmailError(409, "aborted", "Label name exists or conflicts") : json(listedLabel(label))
}

const changeLabel = (call: GmailCall, id: string): Answer => {
  const { body, mailbox, method } = call
  const label = mailbox.label(id)
  if (label === undefined) return notFound()
  if (label.type === "system") return invalidArgument("Invalid update request")
  if (method === "DELETE") {
    mailbox.removeLabel(id)
    return empty
  }
  const given = decodeLabel(body)
  const renamed = Option.isNone(given) ? label : mailbox.renameLabel(id, given.value.name) ?? label
  return json(listedLabel(renamed))
}

// History

const kinds: Readonly<Record<string, HistoryRecord["kind"]>> = {
  messageAdded: "messagesAdded",
  messageDeleted: "messagesDeleted",
  labelAdded: "labelsAdded",
  labelRemoved: "labelsRemoved",
}

const history = (world: World, { mailbox, query }: GmailCall): Answer => {
  const { oddPages, seed } = world.settings
  const start = query.get("startHistoryId") ?? ""
  if (!/^\d{1,20}$/.test(start)) return invalidArgument("Missing or invalid startHistoryId")
  const token = query.has("pageToken") ? readToken(seed, `h${start}`, query.get("pageToken")) : { at: 0n, odd: false }
  if (token === undefined) return invalidArgument("Invalid pageToken")
  const records = mailbox.history(BigInt(start))
  if (records === undefined) return notFound()
  const wanted = query.getAll("historyTypes").map((type) => kinds[type])
  const label = query.get("labelId")
  const all = records.filter(({ changed, id, kind, labels }) =>
    id > token.at && (wanted.length === 0 || wanted.includes(kind)) &&
    (label === null || labels.has(label) || changed.includes(label))
  )
  const size = sizeOf(query)
  const isEmpty = isOdd(seed, oddPages, token, mailbox.index) && all.length > 0
  const page = isEmpty ? [] : all.slice(0, size)
  const last = page.at(-1)?.id ?? token.at
  const more = isEmpty || all.length > page.length
  return json({
    // Left out where there is nothing.
    ...(page.length === 0 ? {} : { history: page.map((record) => historyEntry(mailbox, record)) }),
    ...(more ? { nextPageToken: writeToken(seed, `h${start}`, { at: last, odd: isEmpty }) } : {}),
    historyId: String(mailbox.historyId),
  })
}

const historyEntry = (mailbox: GmailMailbox, { changed, id, kind, labels, ordinal }: HistoryRecord) => {
  const ids = { id: mailbox.idOf(ordinal), threadId: mailbox.threadIdOf(ordinal) }
  const message = { ...ids, ...(labels.size === 0 ? {} : { labelIds: [...labels] }) }
  const isOfLabels = kind === "labelsAdded" || kind === "labelsRemoved"
  return {
    id: String(id),
    messages: [ids],
    [kind]: [{ message, ...(isOfLabels ? { labelIds: changed } : {}) }],
  }
}

// Messages

const messages = (world: World, { mask, mailbox, query }: GmailCall): Answer => {
  const { oddPages, seed } = world.settings
  const q = query.get("q") ?? ""
  const after = /^after:(\d{1,12})$/.exec(q)?.[1]
  if (q !== "" && (mask & may.read) === 0) {
    return gmailError(403, "forbidden", "Metadata scope does not support 'q' parameter")
  }
  if (q !== "" && after === undefined) return invalidArgument("The simulator knows no search but after:SECONDS")
  const labels = query.getAll("labelIds")
  const unknown = labels.find((label) => mailbox.label(label) === undefined)
  if (unknown !== undefined) return invalidArgument(`Invalid label: ${unknown}`)
  const binned = query.get("includeSpamTrash") === "true" || labels.includes("SPAM") || labels.includes("TRASH")
  const token = query.has("pageToken") ? readToken(seed, "m", query.get("pageToken")) : { at: -1n, odd: false }
  if (token === undefined) return invalidArgument("Invalid pageToken")
  const size = sizeOf(query)
  const odd = isOdd(seed, oddPages, token, mailbox.index)
  const isEmpty = odd && hash(seed, 0x0de, Number(token.at)) % 2 === 0
  // Begins one too early: its first item came at the end of the page before.
  const below = token.at < 0n ? undefined : Number(token.at) + (odd && !isEmpty ? 1 : 0)
  const page: Array<GmailItem> = []
  let more = isEmpty
  for (const message of isEmpty ? [] : mailbox.messages(below)) {
    if (!binned && (message.labels.has("SPAM") || message.labels.has("TRASH"))) continue
    if (!labels.every((label) => message.labels.has(label))) continue
    if (after !== undefined && message.receivedAt <= Number(after) * 1000) continue
    if (page.length >= size) {
      more = true
      break
    }
    page.push(message)
  }
  const at = isEmpty ? token.at : BigInt(page.at(-1)?.ordinal ?? 0)
  return json({
    ...(page.length === 0 ? {} : {
      messages: page.map(({ ordinal }) => ({ id: mailbox.idOf(ordinal), threadId: mailbox.threadIdOf(ordinal) })),
    }),
    ...(more ? { nextPageToken: writeToken(seed, "m", { at, odd: isEmpty }) } : {}),
    resultSizeEstimate: page.length + (more ? 201 : 0),
  })
}

const decodeFormat = Schema.decodeUnknownOption(Schema.Literals(formats))

const oneMessage = ({ mailbox, mask, query }: GmailCall, message: GmailItem): Answer => {
  const format: Format | undefined = Option.getOrUndefined(decodeFormat(query.get("format") ?? "full"))
  if (format === undefined) return invalidArgument("The simulator knows no such format")
  if (format === "full" && (mask & may.read) === 0) {
    return gmailError(403, "forbidden", "Metadata scope doesn't allow format FULL")
  }
  return json(gmailMessage(mailbox, message, format, query.getAll("metadataHeaders")))
}

const found = ({ mailbox }: GmailCall, id: string | undefined, run: (message: GmailItem) => Answer): Answer => {
  if (!/^[0-9a-f]{1,16}$/.test(id ?? "")) return invalidArgument("Invalid id value")
  const message = mailbox.find(id ?? "")
  return message === undefined ? notFound() : run(message)
}

const decodeChange = Schema.decodeUnknownOption(Schema.Struct({
  addLabelIds: Schema.optionalKey(Schema.Array(Schema.String)),
  removeLabelIds: Schema.optionalKey(Schema.Array(Schema.String)),
}))

const modify = ({ body, mailbox }: GmailCall, message: GmailItem, how: string): Answer => {
  const given = decodeChange(body ?? {})
  if (Option.isNone(given)) return invalidArgument("Invalid label")
  const { addLabelIds = [], removeLabelIds = [] } = given.value
  const unknown = [...addLabelIds, ...removeLabelIds].find((label) => mailbox.label(label) === undefined)
  if (unknown !== undefined) return invalidArgument(`Invalid label: ${unknown}`)
  const changed = how === "trash"
    ? mailbox.modify(message.ordinal, ["TRASH"], ["INBOX"])
    : how === "untrash"
    ? mailbox.modify(message.ordinal, [], ["TRASH"])
    : mailbox.modify(message.ordinal, addLabelIds, removeLabelIds)
  return json(gmailMessage(mailbox, changed ?? message, "minimal", []))
}

// Push

const decodeWatch = Schema.decodeUnknownOption(Schema.Struct({
  topicName: Schema.String,
  labelIds: Schema.optionalKey(Schema.Array(Schema.String)),
}))

const week = 7 * 86_400_000

const watch = ({ body, mailbox, now }: GmailCall): Answer => {
  const given = decodeWatch(body)
  if (Option.isNone(given) || !/^projects\/[^/]+\/topics\/[^/]+$/.test(given.value.topicName)) {
    return invalidArgument("Invalid topicName does not match projects/*/topics/*")
  }
  const { labelIds = [], topicName } = given.value
  mailbox.watch = { topicName, labelIds, expiresAt: now + week }
  return json({ historyId: String(mailbox.historyId), expiration: String(now + week) })
}

// Pages

interface PageToken {
  readonly at: bigint
  /** Whether the page before was an odd one: two in a row would go on for ever. */
  readonly odd: boolean
}

const sizeOf = (query: URLSearchParams): number => Math.min(500, Math.max(1, Number(query.get("maxResults")) || 100))

const isOdd = (seed: number, oddPages: number, token: PageToken, index: number): boolean =>
  oddPages > 0 && !token.odd && token.at > 0n && share(seed, 0x0dd, Number(token.at % 1_000_003n), index) < oddPages

const writeToken = (seed: number, of: string, { at, odd }: PageToken): string => {
  const text = `${at.toString(36)}${odd ? "~" : ""}`
  return `${text}.${seal(seed, `${of} ${text}`)}`
}

const readToken = (seed: number, of: string, token: string | null): PageToken | undefined => {
  const [text = "", mark] = (token ?? "").split(".")
  if (mark !== seal(seed, `${of} ${text}`)) return undefined
  let at = 0n
  for (const digit of text.replace("~", "")) at = at * 36n + BigInt(parseInt(digit, 36))
  return { at, odd: text.endsWith("~") }
}
