/** The texts of messages: the beginning of each, parsed while the next ones arrive. */
import { Effect, Result, Stream } from "effect"
import type { FetchMessageObject, FetchQueryObject, MessageStructureObject } from "imapflow"
import type { ImapSession } from "./ImapSession.ts"
import { attachmentsOf, type Leaf, leavesOf } from "./ImapStructure.ts"
import { uidOf, uidSets } from "./ImapUids.ts"
import type { RemoteBody, RemoteMessage } from "../Mailbox.ts"
import type { MimeParser, Parsed } from "../mime/MimeParser.ts"
import { previewOf } from "../mime/MimeText.ts"

/** Bytes of a message that are read. What is longer has attachments in nearly all cases, and its texts before them. */
const beginning = 1024 * 1024

/** Left for the headers of the parts, which BODYSTRUCTURE does not count. */
const headersOfPart = 4 * 1024

const query = (bodyStructure: boolean): FetchQueryObject => ({
  uid: true,
  size: true,
  bodyStructure,
  source: { start: 0, maxLength: beginning },
})

type Body = RemoteBody & Partial<RemoteMessage>

const isCut = ({ size, source }: FetchMessageObject): boolean =>
  source !== undefined && source.byteLength >= beginning && (size ?? Infinity) > source.byteLength

/** Rows are parsed together until they are so many, or so large. */
const batchSize = 32
const batchBytes = 256 * 1024

interface Rows {
  readonly rows: ReadonlyArray<FetchMessageObject>
  readonly bytes: number
}

const noRows: Rows = { rows: [], bytes: 0 }

const addRow = (batch: Rows, row: FetchMessageObject): readonly [Rows, ReadonlyArray<Rows["rows"]>] => {
  const rows = [...batch.rows, row]
  const bytes = batch.bytes + row.source!.byteLength
  return rows.length >= batchSize || bytes >= batchBytes ? [noRows, [rows]] : [{ rows, bytes }, []]
}

/** The text parts that the beginning does not hold to their end. */
const beyond = (leaves: ReadonlyArray<Leaf>): ReadonlyArray<Leaf> => {
  let end = 0
  return leaves.filter(({ isText, node }) => {
    end += (node.size ?? 0) + headersOfPart
    return isText && end > beginning
  })
}

/** A message made of one part: the parser reads it as it would read it in its place. */
const asMessage = ({ node }: Leaf, content: Uint8Array): Uint8Array => {
  const charset = node.parameters?.charset?.replace(/[^\w.:-]/g, "") ?? ""
  const encoding = node.encoding?.replace(/[^\w-]/g, "") ?? ""
  const head = new TextEncoder().encode(
    `Content-Type: ${node.type}${charset === "" ? "" : `; charset=${charset}`}\r\n` +
      `Content-Transfer-Encoding: ${encoding}\r\n\r\n`,
  )
  const message = new Uint8Array(head.byteLength + content.byteLength)
  message.set(head)
  message.set(content, head.byteLength)
  return message
}

/**
 * @param uidValidity the folder's UIDVALIDITY; ids under another one are of messages that are no longer there
 * @param structures by UID, as far as they are known: the others are asked for
 */
export const bodiesOf = Effect.fn("Imap.bodies")(function* (
  session: ImapSession,
  parser: MimeParser["Service"],
  uidValidity: string,
  remoteIds: ReadonlyArray<string>,
  structures: ReadonlyMap<number, MessageStructureObject>,
) {
  const names = new Map<number, string>()
  for (const remoteId of remoteIds) {
    const uid = uidOf(remoteId, uidValidity)
    if (uid !== undefined) names.set(uid, remoteId)
  }
  const bodies = new Map<string, Body>()
  const cut: Array<{ readonly uid: number; readonly leaves: ReadonlyArray<Leaf> }> = []

  const keep = (row: FetchMessageObject, parsed: Parsed) => {
    const structure = structures.get(row.uid) ?? row.bodyStructure
    const attachments = structure === undefined ? [] : attachmentsOf(structure)
    const leaves = isCut(row) && structure !== undefined ? beyond(leavesOf(structure)) : []
    if (leaves.length > 0 || (isCut(row) && structure === undefined)) cut.push({ uid: row.uid, leaves })
    bodies.set(
      names.get(row.uid)!,
      Result.isFailure(parsed)
        ? { text: null, html: null, attachments, bodyState: "refused", bodyReason: parsed.failure.reason }
        : {
          text: parsed.success.text,
          html: parsed.success.html,
          preview: parsed.success.preview,
          attachments,
          bodyState: "complete",
          bodyReason: null,
        },
    )
  }

  const fetch = (set: string, bodyStructure: boolean) =>
    session.rows(set, query(bodyStructure)).pipe(
      // Rows without a source tell of another client's changes.
      Stream.filter(({ source, uid }) => source !== undefined && names.has(uid)),
      Stream.mapAccum(() => noRows, addRow, { onHalt: ({ rows }) => rows.length === 0 ? [] : [rows] }),
      Stream.mapEffect((rows) =>
        Effect.map(
          parser.parseAll(rows.map(({ source }) => source!)),
          (parsed) => rows.forEach((row, index) => keep(row, parsed[index]!)),
        ), { concurrency: parser.concurrency, unordered: true }),
      Stream.runDrain,
    )

  const [known, unknown] = [
    [...names.keys()].filter((uid) => structures.has(uid)),
    [...names.keys()].filter((uid) => !structures.has(uid)),
  ]
  for (const set of uidSets(known)) yield* fetch(set, false)
  for (const set of uidSets(unknown)) yield* fetch(set, true)
  // Of these the server's structure could not be read; or they are gone.
  const missing = [...names].filter(([, remoteId]) => !bodies.has(remoteId)).map(([uid]) => uid)
  for (const set of uidSets(missing)) yield* fetch(set, false)

  for (const { leaves, uid } of cut) yield* readParts(session, parser, uid, names.get(uid)!, leaves, bodies)
  return bodies as ReadonlyMap<string, Body>
})

/** Texts that lie behind attachments, or that are themselves longer than what is read. */
const readParts = Effect.fnUntraced(function* (
  session: ImapSession,
  parser: MimeParser["Service"],
  uid: number,
  remoteId: string,
  leaves: ReadonlyArray<Leaf>,
  bodies: Map<string, Body>,
) {
  const before = bodies.get(remoteId)
  if (before === undefined || before.bodyState === "refused") return
  let { html, text } = before
  let truncated = leaves.length === 0
  for (const type of ["text/plain", "text/html"]) {
    const leaf = leaves.find(({ node }) => node.type === type)
    if (leaf === undefined) continue
    const [row] = yield* Stream.runCollect(
      session.rows(`${uid}`, { uid: true, bodyParts: [{ key: leaf.part, start: 0, maxLength: beginning }] }).pipe(
        Stream.filter(({ bodyParts }) => bodyParts !== undefined),
      ),
    )
    const content = row?.bodyParts?.get(leaf.part)
    if (content === undefined) return
    if (content.byteLength >= beginning && (leaf.node.size ?? Infinity) > content.byteLength) truncated = true
    const parsed = yield* Effect.result(parser.parse(asMessage(leaf, content)))
    if (Result.isFailure(parsed)) continue
    if (type === "text/html") html = parsed.success.html
    if (type === "text/plain" || !leaves.some(({ node }) => node.type === "text/plain")) text = parsed.success.text
  }
  bodies.set(remoteId, {
    ...before,
    text,
    html,
    preview: previewOf(text ?? ""),
    bodyState: truncated ? "truncated" : "complete",
    bodyReason: truncated ? `only the first ${beginning} bytes of the text are kept` : null,
  })
})
