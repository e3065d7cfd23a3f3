/**
 * Mailboxes read over IMAP: one connection each, folders opened with EXAMINE and messages peeked at, so that nothing changes.
 *
 * A message is named by the path of its folder, UIDVALIDITY and UID; `ImapPages` tells how a folder is followed.
 */
import { Context, Effect, Layer, type Scope, Stream } from "effect"
import type { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { ConnectionLimiter } from "../../pacing/ConnectionLimiter.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { attachmentOf } from "./ImapAttachment.ts"
import { bodiesOf } from "./ImapBodies.ts"
import { type ImapOptions, imapServices, makeConnection } from "./ImapConnection.ts"
import { type ImapRefusal, isRefusal } from "./ImapErrors.ts"
import { listFolders } from "./ImapFolders.ts"
import { nextPage } from "./ImapPages.ts"
import { type Memory, structuresOf } from "./ImapReader.ts"
import type { ImapTransport } from "./ImapTransport.ts"
import { remoteIdOf, uidOf } from "./ImapUids.ts"
import {
  type CursorLost,
  FolderGone,
  type MailAccount,
  type Mailbox,
  MessageGone,
  type Page,
  type StoredMail,
} from "../Mailbox.ts"
import { MimeParser } from "../mime/MimeParser.ts"

export class Imap extends Context.Service<Imap, {
  /** Connects when something is first asked of it. The connection ends with the scope. */
  readonly open: (account: MailAccount, stored: StoredMail) => Effect.Effect<Mailbox, ProviderError, Scope.Scope>
}>()("mailfleet/mail/Imap") {
  static readonly layerWith = (
    options: ImapOptions,
  ): Layer.Layer<Imap, never, Tokens | Throttle | ConnectionLimiter | ImapTransport | Settings | MimeParser> =>
    Layer.effect(
      Imap,
      Effect.gen(function* () {
        const services = yield* imapServices
        const parser = yield* MimeParser
        return Imap.of({
          open: Effect.fn("Imap.open")(function* (account, stored) {
            const connection = yield* makeConnection(services, account, options)
            return openMailbox(connection, parser, stored)
          }),
        })
      }),
    )

  static readonly layer = Imap.layerWith({})
}

type Connection = Effect.Success<ReturnType<typeof makeConnection>>

const toProviderError = <E>(error: E | ImapRefusal): Exclude<E, ImapRefusal> | ProviderError =>
  isRefusal(error) ? error.error : error as Exclude<E, ImapRefusal>

/** Of work in one folder. */
const orGone = <E>(error: E | ImapRefusal): Exclude<E, ImapRefusal> | ProviderError | FolderGone =>
  isRefusal(error) && error.reason === "missing" ? new FolderGone() : toProviderError(error)

const openMailbox = (connection: Connection, parser: MimeParser["Service"], stored: StoredMail): Mailbox => {
  const memory: Memory = { folders: new Map(), listing: undefined, changed: undefined, structures: undefined }

  /** A message that left one folder may be in another since that one's STATUS: it must be asked again. */
  const forgetStatuses = () => {
    for (const folder of memory.folders.values()) folder.status = undefined
  }

  return {
    concurrency: 1,

    folders: Effect.fn("Imap.folders")(function* (known) {
      const listed = yield* connection.use((session) => listFolders(session, known))
      memory.folders = listed.memory
      return listed.folders
    }, Effect.mapError(toProviderError)),

    page: Effect.fn("Imap.page")(function* (path, cursor) {
      const page = yield* connection.use<Page, CursorLost>((session) =>
        nextPage({ session, memory, parser, stored, path }, cursor)
      )
      if (page.changes.some(({ _tag }) => _tag === "Removed")) forgetStatuses()
      return page
    }, Effect.mapError(orGone)),

    bodies: (path, remoteIds) =>
      connection.use(Effect.fnUntraced(function* (session) {
        const uidValidity = String((yield* session.opened(path)).uidValidity)
        return yield* bodiesOf(session, parser, uidValidity, remoteIds, structuresOf(memory, path, uidValidity))
      })).pipe(Effect.mapError(orGone)),

    present: Effect.fn("Imap.present")(function* (path, remoteIds) {
      const present = yield* connection.use(Effect.fnUntraced(function* (session) {
        const uidValidity = String((yield* session.examine(path)).uidValidity)
        const uids = remoteIds.flatMap((remoteId) => uidOf(remoteId, uidValidity) ?? [])
        const found = yield* session.among(uids)
        return new Set(remoteIds.filter((remoteId) => found.has(uidOf(remoteId, uidValidity) ?? 0)))
      }))
      if (present.size < remoteIds.length) forgetStatuses()
      return present
    }, Effect.mapError(orGone)),

    ids: Effect.fn("Imap.ids")(function* (path) {
      const { uidValidity, uids } = yield* connection.use(Effect.fnUntraced(function* (session) {
        const uidValidity = String((yield* session.examine(path)).uidValidity)
        return { uidValidity, uids: yield* session.search("1:*") }
      }))
      // Messages of a folder that was renamed are stored under the path that it had.
      const names = new Map<number, string>()
      for (const remoteId of yield* stored.ids(path)) {
        const uid = uidOf(remoteId, uidValidity)
        if (uid !== undefined) names.set(uid, remoteId)
      }
      return uids.map((uid) => names.get(uid) ?? remoteIdOf({ key: path, uidValidity }, uid))
    }, Effect.mapError(orGone)),

    attachment: (path, remoteId, part) =>
      Stream.unwrap(Effect.map(connection.session, (session) => attachmentOf(session, path, remoteId, part))).pipe(
        Stream.mapError((error) =>
          isRefusal(error) && error.reason === "missing" ? new MessageGone() : toProviderError(error)
        ),
      ),
  }
}
