/** What BODYSTRUCTURE tells of a message: which parts are its text, and which came with it. */
import type { MessageStructureObject } from "imapflow"
import type { RemoteAttachment } from "../Mailbox.ts"
import { storable } from "../mime/MimeText.ts"

/** A part without parts of its own. Attached messages count as such: they stay closed. */
export interface Leaf {
  /** As FETCH takes it: `1.2`. */
  readonly part: string
  readonly node: MessageStructureObject
  /** Beneath multipart/related: what HTML refers to. */
  readonly related: boolean
  readonly isText: boolean
}

/** Part numbers of a message that is nested deeper are as long as its lines: nobody asks for them. */
const deepest = 100

export const leavesOf = (structure: MessageStructureObject): ReadonlyArray<Leaf> => {
  const leaves: Array<Leaf> = []
  const walk = (node: MessageStructureObject, related: boolean, depth: number) => {
    if (node.type.startsWith("multipart/") && node.childNodes !== undefined) {
      if (depth < deepest) {
        for (const child of node.childNodes) walk(child, related || node.type === "multipart/related", depth + 1)
      }
      return
    }
    // A message that is one part has no number for it.
    leaves.push({ part: node.part ?? "1", node, related, isText: isText(node) })
  }
  walk(structure, false, 0)
  return leaves
}

const nameOf = (node: MessageStructureObject): string => {
  const name = node.dispositionParameters?.filename ?? node.parameters?.name ?? ""
  if (name !== "" || node.type !== "message/rfc822") return name
  const subject = node.envelope?.subject ?? ""
  return subject === "" ? "" : `${subject}.eml`
}

const isText = (node: MessageStructureObject): boolean =>
  (node.type === "text/plain" || node.type === "text/html") && node.disposition !== "attachment" && nameOf(node) === ""

/** Of the decoded content: four characters of base64 stand for three bytes, and lines of 76 end with two more. */
const sizeOf = ({ encoding, size }: MessageStructureObject): number | null =>
  size === undefined ? null : encoding === "base64" ? Math.floor(size * 76 / 78 * 3 / 4) : size

export const attachmentsOf = (structure: MessageStructureObject): ReadonlyArray<RemoteAttachment> =>
  leavesOf(structure).filter((leaf) => !leaf.isText).map(({ node, part, related }) => {
    const contentId = node.id?.replace(/^<|>$/g, "") ?? ""
    return {
      remoteId: part,
      name: storable(nameOf(node)),
      contentType: /^[^\s/]+\/[^\s/]+$/.test(node.type) ? storable(node.type) : "application/octet-stream",
      size: sizeOf(node),
      inline: node.disposition === "inline" || (related && contentId !== "" && node.disposition !== "attachment"),
      contentId: contentId === "" ? null : storable(contentId),
    }
  })
