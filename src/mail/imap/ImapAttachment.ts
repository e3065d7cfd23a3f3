/** The content of one part of a message, a piece at a time. */
import { Effect, Stream } from "effect"
import { type ImapRefusal, refusalOf } from "./ImapErrors.ts"
import type { ImapSession } from "./ImapSession.ts"
import { leavesOf } from "./ImapStructure.ts"
import { uidOf } from "./ImapUids.ts"
import { MessageGone } from "../Mailbox.ts"

/** Bytes that are asked for at a time, before they are decoded. The next ones are asked for when these were taken. */
const chunkSize = 256 * 1024

const isPart = (part: string) => /^[1-9]\d{0,4}(?:\.[1-9]\d{0,4}){0,99}$/.test(part)

/** Without its transfer encoding; a text keeps the charset that it came in. */
export const attachmentOf = (
  session: ImapSession,
  path: string,
  remoteId: string,
  part: string,
): Stream.Stream<Uint8Array, ImapRefusal | MessageGone> =>
  Stream.unwrap(Effect.gen(function* () {
    const mailbox = yield* session.examine(path)
    const uid = uidOf(remoteId, String(mailbox.uidValidity))
    if (uid === undefined || !isPart(part)) return yield* new MessageGone()
    const [row] = yield* Stream.runCollect(session.rows(`${uid}`, { uid: true, bodyStructure: true }))
    // Of a part that does not exist a server sends nothing, as of one that is empty.
    if (row?.bodyStructure !== undefined && !leavesOf(row.bodyStructure).some((leaf) => leaf.part === part)) {
      return yield* new MessageGone()
    }
    const { content } = yield* session.run((client) =>
      client.download(`${uid}`, part, { uid: true, chunkSize, decodeText: false })
    )
    if (content === undefined) return yield* new MessageGone()
    yield* Effect.addFinalizer(() => Effect.sync(() => content.destroy()))
    return Stream.fromAsyncIterable<Uint8Array, ImapRefusal>(content, refusalOf)
  }))
