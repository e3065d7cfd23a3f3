/** Delta rounds over the messages of one folder (Graph documentation, message: delta; delta query overview). */
import type { Answer } from "./Answer.ts"
import { type DeltaToken, readDeltaToken, writeDeltaToken } from "./DeltaToken.ts"
import type { Folder } from "./Folders.ts"
import { type GraphCall, readSelect } from "./GraphCall.ts"
import { graphError, jsonHeaders } from "./GraphErrors.ts"
import { defaultId, immutableId } from "./Ids.ts"
import type { Message } from "./Mailbox.ts"
import type { Change } from "./MailboxLog.ts"
import { messageResource } from "./MessageResource.ts"
import { hash, share } from "./Random.ts"
import type { World } from "./World.ts"

const defaultPageSize = 10

export const messagesDelta = (world: World, call: GraphCall, folder: Folder): Answer => {
  const { mailbox, now, query } = call
  const { seed } = world.settings
  const skip = query.get("$skiptoken")
  const given = skip ?? query.get("$deltatoken")
  if (given === null || given === "") return firstPage(world, call, folder)
  const token = readDeltaToken(seed, given)
  if (token === undefined || token.index !== mailbox.index) {
    return graphError(400, "SyncStateInvalid", "The sync state is invalid.", now)
  }
  if (link(call, token, given) !== call.base.replace("/v1.0", "") + call.target) {
    world.violations.add({
      kind: "rebuilt-delta-url",
      at: now,
      email: mailbox.email,
      detail: call.target.slice(0, 300),
    })
  }
  const forgotten = token.epoch !== mailbox.deltaEpoch || now - token.issuedAt > world.settings.deltaLifetime ||
    token.to > mailbox.log.position
  if (forgotten) return lost(call, token, seed)
  return page(
    world,
    call,
    token.kind === "skip"
      ? token
      : { ...token, kind: "skip", from: token.to, to: mailbox.log.position, next: 0, emptied: false },
  )
}

const firstPage = (world: World, call: GraphCall, folder: Folder): Answer => {
  const { mailbox, now, query } = call
  const filter = query.get("$filter") ?? ""
  const unsupported = query.has("$search") ||
    (query.get("$orderby") ?? "receivedDateTime desc") !== "receivedDateTime desc"
  if (unsupported || (filter !== "" && readFilter(filter) === undefined)) {
    return graphError(400, "ErrorInvalidUrlQuery", "The query is not supported by change tracking.", now)
  }
  return page(world, call, {
    kind: "skip",
    index: mailbox.index,
    folder: folder.ordinal,
    from: -1,
    to: mailbox.log.position,
    next: Number.MAX_SAFE_INTEGER,
    emptied: false,
    issuedAt: now,
    epoch: mailbox.deltaEpoch,
    select: query.get("$select") ?? "",
    filter,
    changeType: query.get("changeType") ?? "",
    top: query.get("$top") ?? "",
  })
}

/** One page from where the token stands, with the link to the next page or to the next round. */
const page = (world: World, call: GraphCall, token: DeltaToken): Answer => {
  const { oddPages, seed } = world.settings
  const { mailbox, now } = call
  const size = call.prefer.pageSize ?? (Number(token.top) || defaultPageSize)
  const isFirst = token.next === 0 || token.next === Number.MAX_SAFE_INTEGER
  const salt = hash(seed, token.to, token.folder, token.next % 0x7fff_ffff)
  const odd = oddPages > 0 && share(salt, 0x0dd, mailbox.index) < oddPages
  const empty = odd && !token.emptied && salt % 2 === 0
  const repeat = odd && !empty && !token.emptied && !isFirst && size > 1
  const { items, more, next } = empty
    ? { items: [], more: true, next: token.next }
    : token.from < 0
    ? listing(call, token, size, repeat)
    : round(call, token, size, repeat)
  const following: DeltaToken = more
    ? { ...token, next, emptied: empty, issuedAt: now }
    : { ...token, kind: "delta", next: 0, emptied: false, issuedAt: now }
  return {
    status: 200,
    headers: { ...jsonHeaders },
    body: JSON.stringify({
      "@odata.context": `${call.base}/$metadata#Collection(message)`,
      [more ? "@odata.nextLink" : "@odata.deltaLink"]: link(call, following, writeDeltaToken(seed, following)),
      value: items,
    }),
  }
}

interface Page {
  readonly items: Array<unknown>
  readonly more: boolean
  readonly next: number
}

/** A page of the first round: what is in the folder, newest first. */
const listing = (call: GraphCall, token: DeltaToken, size: number, repeat: boolean): Page => {
  const { mailbox } = call
  const select = readSelect(token.select)
  const isWanted = wanted(token)
  const messages: Array<Message> = []
  const before = repeat ? mailbox.message(token.next) : undefined
  if (before !== undefined && before.folder === token.folder) messages.push(before)
  let more = false
  let next = token.next
  for (const message of mailbox.messagesIn(token.folder, token.next)) {
    if (!isWanted(message)) continue
    if (messages.length >= size) {
      more = true
      break
    }
    messages.push(message)
    next = message.ordinal
  }
  return { items: messages.map((message) => item(call, message, select)), more, next }
}

/** A page of a later round: what changed since. */
const round = (call: GraphCall, token: DeltaToken, size: number, repeat: boolean): Page => {
  const { mailbox, prefer } = call
  const changes = mailbox.log.changes(token.folder, token.from, token.to)
  const select = readSelect(token.select)
  const kinds = token.changeType === "" ? undefined : new Set(token.changeType.split(","))
  const isWanted = wanted(token)
  const start = repeat ? Math.max(0, token.next - 1) : token.next
  const end = Math.min(changes.length, start + size)
  const items: Array<unknown> = []
  for (const change of changes.slice(start, end)) {
    if (kinds !== undefined && !kinds.has(change.kind === "removed" ? "deleted" : change.kind)) continue
    if (change.kind === "removed") {
      const { ordinal, place, reason } = change
      const id = prefer.immutableIds ? immutableId(mailbox.index, ordinal) : defaultId(mailbox.index, ordinal, place)
      items.push({ "@odata.type": "#microsoft.graph.message", id, "@removed": { reason } })
      continue
    }
    // What has left since the round began will be told as removed by the next one.
    const message = mailbox.message(change.ordinal)
    if (message === undefined || message.folder !== token.folder || !isWanted(message)) continue
    items.push(item(call, message, fieldsOf(change, select)))
  }
  return { items, more: end < changes.length, next: end }
}

const item = (call: GraphCall, message: Message, fields: Iterable<string> | undefined) => ({
  "@odata.type": "#microsoft.graph.message",
  ...messageResource(call.mailbox, message, call.prefer, fields),
})

/** A new message comes whole, a changed one with the changed fields only. */
const fieldsOf = (change: Change, select: ReadonlyArray<string> | undefined): ReadonlyArray<string> | undefined => {
  if (change.kind !== "updated") return select
  const { fields } = change
  return select === undefined ? [...fields] : select.filter((name) => fields.has(name))
}

const wanted = (token: DeltaToken): (message: Message) => boolean =>
  (token.filter === "" ? undefined : readFilter(token.filter)) ?? (() => true)

/** `receivedDateTime ge` or `gt` a time: the only filter that change tracking knows. */
const readFilter = (text: string): ((message: Message) => boolean) | undefined => {
  const match = /^receivedDateTime\s+(ge|gt)\s+'?([0-9T:.Z+-]+)'?$/.exec(text.trim())
  const time = Date.parse(match?.[2] ?? "")
  if (match === null || Number.isNaN(time)) return undefined
  return match[1] === "ge" ? (message) => message.receivedAt >= time : (message) => message.receivedAt > time
}

const link = (call: GraphCall, token: DeltaToken, value: string): string =>
  `${call.base}/${call.owner}/mailFolders('${call.mailbox.folderIdOf(token.folder)}')/messages/delta` +
  `?$${token.kind === "skip" ? "skiptoken" : "deltatoken"}=${value}`

/** The delta state is gone: told as 410 with the way to start again, or as a coded error without one. */
const lost = (call: GraphCall, token: DeltaToken, seed: number): Answer => {
  const { mailbox, now } = call
  const form = mailbox.lostAs ?? (hash(seed, 0x410, mailbox.index, token.folder) % 2 === 0 ? "410" : "code")
  if (form === "code") return graphError(400, "syncStateNotFound", "The sync state generation is not found.", now)
  const select = token.select === "" ? "" : `$select=${encodeURIComponent(token.select)}&`
  return graphError(410, "SyncStateNotFound", "The sync state generation is not found; resync.", now, {
    location: `${call.base}/${call.owner}/mailFolders('${mailbox.folderIdOf(token.folder)}')/messages/delta?${select}` +
      "$deltatoken=",
  })
}
