/** The mail part of Microsoft Graph v1.0: which path means what. */
import { Option, Schema } from "effect"
import { type Answer } from "./Answer.ts"
import { attachmentResources, badSelect, expandedSelect, oneAttachment } from "./Attachments.ts"
import { type Folder, root } from "./Folders.ts"
import { type GraphCall, readSelect } from "./GraphCall.ts"
import { messagesDelta } from "./GraphDelta.ts"
import { accessDenied, graphError, itemNotFound, jsonHeaders, malformedId } from "./GraphErrors.ts"
import { defaultId, immutableId, placeOf, userId } from "./Ids.ts"
import type { Mailbox, Message } from "./Mailbox.ts"
import { messageResource, mimeOf } from "./MessageResource.ts"
import type { World } from "./World.ts"

/** An answer and the name that its endpoint is counted under. */
export interface Routed {
  readonly endpoint: string
  readonly answer: Answer
}

export const routeMail = (world: World, call: GraphCall): Routed => {
  const [first = "me", second, third, fourth, fifth] = call.segments
  const at = (endpoint: string, answer: Answer): Routed => ({ endpoint: `${call.method} ${endpoint}`, answer })
  switch (first.toLowerCase()) {
    case "me":
      return at("me", me(call))
    case "translateexchangeids":
      return at("translateExchangeIds", translateIds(call))
    case "messages":
      noteDefaultIds(world, call)
      if (second === undefined) return at("messages", messageList(call, call.mailbox.messages(), "messages"))
      if (third === "attachments" && fourth !== undefined) {
        return at(
          `messages/id/attachments/id${fifth === undefined ? "" : `/${fifth}`}`,
          attachment(call, second, fourth, fifth),
        )
      }
      return at(`messages/id${third === undefined ? "" : `/${third}`}`, oneMessage(call, second, third))
    case "mailfolders": {
      if (second === undefined) return at("mailFolders", folderCollection(call, root))
      const folder = call.mailbox.folder(second)
      const path = `mailFolders/id${third === undefined ? "" : `/${third}`}${fourth === "delta" ? "/delta" : ""}`
      return at(path, folder === undefined ? itemNotFound(call.now) : withinFolder(world, call, folder, third, fourth))
    }
    default:
      return at("unknown", noSuchSegment(call, first))
  }
}

const withinFolder = (
  world: World,
  call: GraphCall,
  folder: Folder,
  part: string | undefined,
  item: string | undefined,
): Answer => {
  if (part === undefined) return oneFolder(call, folder)
  if (part.toLowerCase() === "childfolders") return folderCollection(call, folder.ordinal)
  if (part.toLowerCase() !== "messages") return noSuchSegment(call, part)
  noteDefaultIds(world, call)
  if (item?.toLowerCase() === "delta") return messagesDelta(world, call, folder)
  if (item !== undefined) return oneMessage(call, item, undefined)
  const path = `mailFolders('${call.mailbox.folderIdOf(folder.ordinal)}')/messages`
  return messageList(call, call.mailbox.messagesIn(folder.ordinal), path)
}

const noSuchSegment = (call: GraphCall, segment: string): Answer =>
  graphError(400, "BadRequest", `Resource not found for the segment '${segment}'.`, call.now)

const noteDefaultIds = (world: World, call: GraphCall): void => {
  if (call.prefer.immutableIds) return
  world.violations.add({
    kind: "missing-immutable-id",
    at: call.now,
    email: call.mailbox.email,
    detail: call.target.slice(0, 300),
  })
}

const json = (body: unknown, status = 200): Answer => ({
  status,
  headers: { ...jsonHeaders },
  body: JSON.stringify(body),
})

const badRequest = (call: GraphCall): Answer =>
  graphError(400, "BadRequest", "The request body is malformed.", call.now)

const me = (call: GraphCall): Answer => {
  const { email, index } = call.mailbox
  return json({
    "@odata.context": `${call.base}/$metadata#users/$entity`,
    ...userResource(index, email),
  })
}

export const userResource = (index: number, email: string) => ({
  id: userId(index),
  displayName: `Sim ${index + 1}`,
  mail: email,
  userPrincipalName: email,
})

// Folders

const Added = Schema.Struct({ displayName: Schema.String, isHidden: Schema.optionalKey(Schema.Boolean) })
const decodeAdded = Schema.decodeUnknownOption(Added)

const folderCollection = (call: GraphCall, parent: number): Answer => {
  if (call.method === "POST") {
    const added = decodeAdded(call.body)
    if (!call.mayWrite) return accessDenied(call.now)
    if (Option.isNone(added)) return badRequest(call)
    const folder = call.mailbox.addFolder(added.value.displayName, parent, added.value.isHidden)
    return json(folderResource(call, folder, call.mailbox.folders(), call.mailbox.counts()), 201)
  }
  const { mailbox, query } = call
  const all = mailbox.folders()
  const hidden = query.get("includeHiddenFolders")?.toLowerCase() === "true"
  const children = all.filter((folder) => folder.parent === parent && (hidden || !folder.hidden))
  const path = parent === root ? "mailFolders" : `mailFolders('${mailbox.folderIdOf(parent)}')/childFolders`
  const { nextLink, page } = cut(call, children, path)
  const counts = mailbox.counts()
  return json({
    "@odata.context": `${call.base}/$metadata#${call.owner}/mailFolders`,
    value: page.map((folder) => folderResource(call, folder, all, counts)),
    ...nextLink,
  })
}

const oneFolder = (call: GraphCall, folder: Folder): Answer => {
  const { mailbox, method } = call
  if (method === "GET") return json(folderResource(call, folder, mailbox.folders(), mailbox.counts()))
  if (!call.mayWrite) return accessDenied(call.now)
  if (method !== "DELETE") return graphError(405, "ErrorInvalidRequest", "The method is not allowed.", call.now)
  if (folder.wellKnown !== undefined) {
    return graphError(403, "ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted.", call.now)
  }
  mailbox.removeFolder(folder.ordinal)
  return { status: 204, headers: {}, body: "" }
}

const folderResource = (
  call: GraphCall,
  folder: Folder,
  all: ReadonlyArray<Folder>,
  counts: ReturnType<Mailbox["counts"]>,
): Record<string, unknown> => {
  const { mailbox } = call
  const count = counts.get(folder.ordinal)
  const full: Record<string, unknown> = {
    displayName: folder.name,
    parentFolderId: mailbox.folderIdOf(Math.max(root, folder.parent)),
    childFolderCount: all.filter((child) => child.parent === folder.ordinal && !child.hidden).length,
    unreadItemCount: count?.unread ?? 0,
    totalItemCount: count?.total ?? 0,
    sizeInBytes: (count?.total ?? 0) * 12_345,
    isHidden: folder.hidden,
  }
  const select = readSelect(call.query.get("$select"))
  const resource: Record<string, unknown> = { id: mailbox.folderIdOf(folder.ordinal) }
  for (const name of select ?? Object.keys(full)) resource[name] = full[name]
  return resource
}

// Messages

const messageList = (call: GraphCall, messages: Iterable<Message>, path: string): Answer => {
  if (call.method !== "GET") return graphError(405, "ErrorInvalidRequest", "The method is not allowed.", call.now)
  const order = /^receivedDateTime( desc| asc)?$/i.exec(call.query.get("$orderby") ?? "receivedDateTime desc")
  if (order === null) return graphError(400, "ErrorInvalidUrlQuery", "The order is not supported.", call.now)
  const isDescending = order[1]?.toLowerCase() === " desc"
  const ordered = call.query.has("$orderby")
    ? [...messages].sort((a, b) => isDescending ? b.receivedAt - a.receivedAt : a.receivedAt - b.receivedAt)
    : messages
  const { nextLink, page } = cut(call, ordered, path)
  const select = readSelect(call.query.get("$select"))
  return json({
    "@odata.context": `${call.base}/$metadata#${call.owner}/messages`,
    value: page.map((message) => messageResource(call.mailbox, message, call.prefer, select)),
    ...nextLink,
  })
}

const Patch = Schema.Struct({
  isRead: Schema.optionalKey(Schema.Boolean),
  subject: Schema.optionalKey(Schema.String),
  categories: Schema.optionalKey(Schema.Array(Schema.String)),
  importance: Schema.optionalKey(Schema.Literals(["low", "normal", "high"])),
  flag: Schema.optionalKey(Schema.Struct({ flagStatus: Schema.Literals(["notFlagged", "flagged", "complete"]) })),
})
const decodePatch = Schema.decodeUnknownOption(Patch)
const decodeMove = Schema.decodeUnknownOption(Schema.Struct({ destinationId: Schema.String }))

const oneMessage = (call: GraphCall, id: string, part: string | undefined): Answer => {
  const { mailbox, method, now } = call
  const message = mailbox.find(id)
  if (message === "malformed") return malformedId(now)
  if (message === undefined) return itemNotFound(now)
  const { ordinal } = message
  const whole = (shown: Message, status = 200) => {
    const select = readSelect(call.query.get("$select"))
    const context = { "@odata.context": `${call.base}/$metadata#${call.owner}/messages/$entity` }
    const expanded = expandedSelect(call.query.get("$expand"))
    const attachments = expanded === undefined ? undefined : attachmentResources(mailbox, shown, expanded)
    if (typeof attachments === "string") return badSelect(now, attachments)
    return json({
      ...context,
      ...messageResource(mailbox, shown, call.prefer, select),
      ...(attachments === undefined ? {} : { attachments }),
    }, status)
  }
  if (method === "GET") {
    if (part === undefined) return whole(message)
    if (part === "$value") {
      return { status: 200, headers: { "content-type": "text/plain" }, body: mimeOf(mailbox, message) }
    }
    if (part === "attachments") {
      const value = attachmentResources(mailbox, message, call.query.get("$select"))
      return typeof value === "string" ? badSelect(now, value) : json({ value })
    }
    return noSuchSegment(call, part)
  }
  if (!call.mayWrite) return accessDenied(now)
  if (method === "DELETE" && part === undefined) {
    mailbox.discard(ordinal)
    return { status: 204, headers: {}, body: "" }
  }
  if (method === "PATCH" && part === undefined) {
    const patch = decodePatch(call.body)
    if (Option.isNone(patch)) return badRequest(call)
    const { flag, ...change } = patch.value
    return whole(mailbox.edit(ordinal, flag === undefined ? change : { ...change, ...flag }) ?? message)
  }
  if (method === "POST" && part?.toLowerCase() === "move") {
    const move = decodeMove(call.body)
    if (Option.isNone(move)) return badRequest(call)
    const target = mailbox.folder(move.value.destinationId)
    return target === undefined ? itemNotFound(now) : whole(mailbox.move(ordinal, target.ordinal) ?? message, 201)
  }
  return graphError(405, "ErrorInvalidRequest", "The method is not allowed.", now)
}

const attachment = (call: GraphCall, id: string, attachmentId: string, part: string | undefined): Answer => {
  const { mailbox, method, now } = call
  const message = mailbox.find(id)
  if (message === "malformed") return malformedId(now)
  if (message === undefined) return itemNotFound(now)
  if (method !== "GET") return graphError(405, "ErrorInvalidRequest", "The method is not allowed.", now)
  const found = oneAttachment(mailbox, message, attachmentId, part, now)
  return "answer" in found ? found.answer : json(found.resource)
}

const decodeTranslation = Schema.decodeUnknownOption(Schema.Struct({
  inputIds: Schema.Array(Schema.String),
  sourceIdType: Schema.String,
  targetIdType: Schema.String,
}))

/** At most 1,000 ids, from one of the two forms into the other. */
const translateIds = (call: GraphCall): Answer => {
  const asked = decodeTranslation(call.body)
  if (call.method !== "POST" || Option.isNone(asked) || asked.value.inputIds.length > 1000) return badRequest(call)
  const { mailbox } = call
  const immutable = asked.value.targetIdType === "restImmutableEntryId"
  const value = asked.value.inputIds.flatMap((sourceId) => {
    const message = mailbox.find(sourceId)
    if (message === undefined || message === "malformed") return []
    const targetId = immutable
      ? immutableId(mailbox.index, message.ordinal)
      : defaultId(mailbox.index, message.ordinal, placeOf(message.folder, message.moves))
    return [{ sourceId, targetId }]
  })
  return json({ value })
}

/** A page of a list by `$top` and `$skip`; 10 items unless said otherwise. */
const cut = <A>(call: GraphCall, items: Iterable<A>, path: string) => {
  const { query } = call
  const top = Math.min(1000, Number(query.get("$top")) || call.prefer.pageSize || 10)
  const skip = Number(query.get("$skip")) || 0
  const page: Array<A> = []
  let seen = 0
  let more = false
  for (const item of items) {
    if (seen++ < skip) continue
    if (page.length === top) {
      more = true
      break
    }
    page.push(item)
  }
  if (!more) return { page, nextLink: {} }
  const next = new URLSearchParams(query)
  next.set("$top", String(top))
  next.set("$skip", String(skip + top))
  return { page, nextLink: { "@odata.nextLink": `${call.base}/${call.owner}/${path}?${next}` } }
}
