/** Mailboxes of Gmail and Google Workspace, read through the Gmail API: labels, and one history for all of them. */
import { Context, DateTime, Effect, Layer, Option, Predicate, Result, Stream } from "effect"
import type { HttpClient } from "effect/http"
import { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { MailboxLimiter } from "../../pacing/MailboxLimiter.ts"
import type { MailboxUnits } from "../../pacing/MailboxUnits.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { AttachmentReader } from "./GmailAttachment.ts"
import { type GmailClient, gmailServices, makeGmailClient } from "./GmailClient.ts"
import { type GmailCursor, readCursor, writeCursor } from "./GmailCursor.ts"
import { gmailError, type GmailRefusal, isInvalid, isNotFound } from "./GmailErrors.ts"
import {
  allMail,
  folderOf,
  foldersOf,
  GmailLabel,
  labelFields,
  type LabelNames,
  LabelPage,
  namesOf,
} from "./GmailFolders.ts"
import { GmailProfile, HistoryPage, lastWords, MessagePage } from "./GmailHistory.ts"
import { type Format, GmailMessage, messagePath, refusedBody, toBody, toUpsert, withoutBody } from "./GmailMessage.ts"
import { decodeBase64Url, findPart } from "./GmailParts.ts"
import { gmailUnits } from "./GmailUnits.ts"
import {
  CursorLost,
  FolderGone,
  type KnownFolder,
  type MailAccount,
  type Mailbox,
  MessageGone,
  type Page,
  type RemoteBody,
  type RemoteMessage,
  type Removed,
  type StoredMail,
  type Upsert,
} from "../Mailbox.ts"

type Failure = GmailRefusal | ProviderError

type Change = Upsert | Removed

/** Records of the history in a page: each may hold a message that is to be fetched. */
const historyPage = 100

/** Ids in a page where nothing else is wanted: the most that Gmail gives. */
const mostIds = 500

const asProviderError = (error: Failure): ProviderError => error._tag === "GmailRefusal" ? error.error : error

export class Gmail extends Context.Service<Gmail, {
  readonly open: (account: MailAccount, stored: StoredMail) => Effect.Effect<Mailbox, ProviderError>
}>()("mailfleet/mail/Gmail") {
  static readonly layer: Layer.Layer<
    Gmail,
    never,
    HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter | MailboxUnits
  > = Layer.effect(
    Gmail,
    Effect.map(gmailServices, (services) =>
      Gmail.of({
        open: (account) => Effect.sync(() => openMailbox(makeGmailClient(services, account), account)),
      })),
  )
}

const openMailbox = (client: GmailClient, account: MailAccount): Mailbox => {
  const { bodiesSince } = account
  const format: Format = bodiesSince === null ? "metadata" : "full"
  /** The labels as folders were told of them last, or as the first page found them. */
  let told: ReadonlyArray<GmailLabel> | undefined
  /** Where the history ended when the folders were told: a page that starts there has nothing to ask for. */
  let historyEnd: string | undefined

  const labels = Effect.map(client.get("/labels", LabelPage, gmailUnits.labelsList), (page) => page.labels ?? [])

  /** Messages under labels, counted where one is new and while the first listing is under way: else as they were. */
  const countsOf = Effect.fnUntraced(function* (
    found: ReadonlyArray<string>,
    known: ReadonlyArray<KnownFolder>,
  ) {
    const before = new Map(known.map(({ remoteId, totalItems }) => [remoteId, totalItems ?? null]))
    const cursor = Option.fromNullishOr(known.find(({ remoteId }) => remoteId === allMail)?.cursor)
    const isListed = Option.exists(Option.flatMap(cursor, readCursor), ({ listing }) => listing === undefined)
    if (isListed && found.every((id) => Predicate.isNotNullish(before.get(id)))) return before
    const paths = found.map((id) => `/labels/${encodeURIComponent(id)}`)
    const counts = new Map<string, number | null>()
    for (const label of yield* client.batch(paths, GmailLabel, gmailUnits.labelsGet)) {
      if (Result.isSuccess(label)) counts.set(label.success.id, label.success.messagesTotal ?? null)
    }
    return counts
  })

  /** A label that came up since the folders were told cannot be one of them: the next round lists it first. */
  const namesFor = Effect.fnUntraced(function* (used: ReadonlyArray<string>) {
    told ??= yield* labels
    const names = namesOf(told)
    const known = new Set(told.map(({ id }) => id))
    if (used.every((id) => known.has(id))) return names
    const fresh = namesOf(yield* labels)
    return used.some((id) => !known.has(id) && fresh.has(id)) ? yield* labelsChanged : names
  })

  /** Messages in the order of their ids; those that are gone by now are left out. */
  const fetched = Effect.fnUntraced(function* (ids: ReadonlyArray<string>, wanted: Format) {
    const answers = yield* client.batch(ids.map((id) => messagePath(id, wanted)), GmailMessage, gmailUnits.messagesGet)
    const messages: Array<
      { readonly message: GmailMessage; readonly format: Format; readonly refusal?: GmailRefusal }
    > = []
    for (const [index, answer] of answers.entries()) {
      if (Result.isSuccess(answer)) {
        messages.push({ message: answer.success, format: wanted })
      } else if (!isNotFound(answer.failure)) {
        // One message that Gmail cannot show must not keep all others back: its labels and its date are told at least.
        const minimal = yield* client.get(
          messagePath(ids[index] ?? "", "minimal"),
          GmailMessage,
          gmailUnits.messagesGet,
        )
          .pipe(
            Effect.asSome,
            Effect.catchIf(
              (error): error is GmailRefusal => error._tag === "GmailRefusal" && isNotFound(error),
              () => Effect.succeedNone,
            ),
          )
        if (Option.isSome(minimal)) {
          messages.push({ message: minimal.value, format: "minimal", refusal: answer.failure })
        }
      }
    }
    return messages
  })

  /** By its time, as far as that is known. */
  const isBodyWanted = ({ fields: { receivedAt } }: Upsert): boolean =>
    bodiesSince === undefined || receivedAt === undefined || receivedAt === null ||
    (bodiesSince !== null && DateTime.isGreaterThanOrEqualTo(receivedAt, bodiesSince))

  const upserts = Effect.fnUntraced(function* (ids: ReadonlyArray<string>, wanted: Format) {
    const messages = yield* fetched(ids, wanted)
    const names = yield* namesFor(messages.flatMap(({ message }) => message.labelIds ?? []))
    const changes: Array<Upsert> = []
    for (const { format, message, refusal } of messages) {
      const upsert = toUpsert(message, format, names)
      if (!isBodyWanted(upsert)) changes.push(withoutBody(upsert))
      // What could not be read just now is asked for with the bodies that are wanting.
      else if (refusal === undefined || isPassing(refusal)) changes.push(upsert)
      else changes.push({ ...upsert, fields: { ...upsert.fields, ...refusedFor(refusal) } })
      // Turning HTML into text takes milliseconds: other fibers have their turn in between.
      yield* Effect.yieldNow
    }
    return changes
  })

  /** One page of what happened since the cursor. */
  const follow = Effect.fnUntraced(function* (cursor: GmailCursor) {
    const history = (pageToken: string | undefined) =>
      client.get(
        `/history?startHistoryId=${cursor.historyId}&maxResults=${historyPage}${
          pageToken === undefined ? "" : `&pageToken=${encodeURIComponent(pageToken)}`
        }`,
        HistoryPage,
        gmailUnits.historyList,
      )
    const page = yield* history(cursor.historyPage).pipe(
      // A page token lives less long than an id of the history: the pages are told once more.
      Effect.catchIf(
        (error) => cursor.historyPage !== undefined && error._tag === "GmailRefusal" && isInvalid(error),
        () => history(undefined),
      ),
      Effect.mapError((error) =>
        error._tag === "GmailRefusal" && (isNotFound(error) || isInvalid(error)) ? new CursorLost() : error
      ),
    )
    const words = lastWords(page)
    const idsOf = (word: string) => [...words].flatMap(([id, said]) => said === word ? [id] : [])
    const names = yield* namesFor([...words.values()].flatMap((word) => typeof word === "string" ? [] : word))
    const found = new Map(
      [...yield* upserts(idsOf("added"), format), ...yield* upserts(idsOf("labels"), "minimal")]
        .map((upsert) => [upsert.remoteId, upsert]),
    )
    const changes: Array<Change> = []
    for (const [id, word] of words) {
      if (word === "gone") changes.push({ _tag: "Removed", remoteId: id })
      else if (typeof word !== "string") changes.push(relabelled(id, word, names))
      else {
        const upsert = found.get(id)
        if (upsert === undefined) continue
        changes.push(word === "labels" ? { ...upsert, ifKnown: true } : upsert)
      }
    }
    return { changes, historyId: page.historyId, next: page.nextPageToken ?? undefined }
  })

  /** The next page of the listing, behind what the history told before it. */
  const list = Effect.fnUntraced(
    function* (historyId: string, page: string | undefined, before: ReadonlyArray<Change>) {
      const listed = yield* client.get(
        listPath(client.batchSize(gmailUnits.messagesGet), page, since(account)),
        MessagePage,
        gmailUnits.messagesList,
      ).pipe(
        Effect.mapError((error) =>
          page !== undefined && error._tag === "GmailRefusal" && isInvalid(error) ? new CursorLost() : error
        ),
      )
      const done = new Set(
        before.flatMap((change) => change._tag === "Upsert" && change.ifKnown ? [] : [change.remoteId]),
      )
      const ids = new Set((listed.messages ?? []).map(({ id }) => id).filter((id) => !done.has(id)))
      const changes = [...before, ...yield* upserts([...ids], format)]
      const next = listed.nextPageToken ?? undefined
      return {
        changes,
        cursor: writeCursor(next === undefined ? { historyId } : { historyId, listing: next }),
        roundComplete: next === undefined,
      } satisfies Page
    },
  )

  const idsUnder = Effect.fnUntraced(function* (label: string | undefined) {
    const ids = new Set<string>()
    for (let page: string | undefined, first = true; first || page !== undefined; first = false) {
      const listed: typeof MessagePage.Type = yield* client.get(
        listPath(mostIds, page, label === undefined ? since(account) : `&labelIds=${encodeURIComponent(label)}`),
        MessagePage,
        gmailUnits.messagesList,
      )
      for (const { id } of listed.messages ?? []) ids.add(id)
      page = listed.nextPageToken ?? undefined
    }
    return [...ids]
  })

  return {
    // There is but one stream of pages.
    concurrency: 1,

    folders: Effect.fn("Gmail.folders")(function* (known) {
      const found = yield* labels
      told = found
      const ids = foldersOf(found, new Map()).map(({ remoteId }) => remoteId).filter((id) => id !== allMail)
      const counts = new Map(yield* countsOf(ids, known))
      const profile = yield* client.get("/profile", GmailProfile, gmailUnits.getProfile)
      historyEnd = profile.historyId
      return foldersOf(found, counts.set(allMail, profile.messagesTotal ?? null))
    }, Effect.mapError(asProviderError)),

    page: Effect.fn("Gmail.page")(
      function* (folderRemoteId, cursor) {
        if (folderRemoteId !== allMail) return { changes: [], cursor: cursor ?? allMail, roundComplete: true }
        if (cursor === null) {
          // Before the listing: what happens while it is under way is told by the history.
          const { historyId } = yield* client.get("/profile", GmailProfile, gmailUnits.getProfile)
          return yield* list(historyId, undefined, [])
        }
        const at = readCursor(cursor)
        if (Option.isNone(at)) return yield* new CursorLost()
        const isQuiet = at.value.historyId === historyEnd && at.value.listing === undefined &&
          at.value.historyPage === undefined
        // Asked again, it is to be told what has happened since.
        historyEnd = undefined
        if (isQuiet) return { changes: [], cursor, roundComplete: true }
        const { changes, historyId, next } = yield* follow(at.value)
        const { historyPage: _, ...from } = at.value
        if (next !== undefined) {
          return { changes, cursor: writeCursor({ ...from, historyPage: next }), roundComplete: false }
        }
        if (from.listing !== undefined) return yield* list(historyId, from.listing, changes)
        return { changes, cursor: writeCursor({ historyId }), roundComplete: true }
      },
      Effect.mapError((error) => error._tag === "CursorLost" ? error : asProviderError(error)),
    ),

    bodies: Effect.fn("Gmail.bodies")(function* (_folder, remoteIds) {
      const bodies = new Map<string, RemoteBody & Partial<RemoteMessage>>()
      let passing: GmailRefusal | undefined
      for (const { message, refusal } of yield* fetched(remoteIds, "full")) {
        // Not brought this time: whoever asked asks again.
        if (refusal !== undefined && isPassing(refusal)) passing = refusal
        else bodies.set(message.id, refusal === undefined ? toBody(message) : refusedFor(refusal))
        yield* Effect.yieldNow
      }
      // Where nothing at all comes, it is better known why.
      if (bodies.size === 0 && passing !== undefined) return yield* passing
      return bodies
    }, Effect.mapError(asProviderError)),

    /** Of "All Mail": everything, wherever it lies. Of a label: all that bear it, though some may lie in another folder. */
    ids: Effect.fn("Gmail.ids")(
      function* (folderRemoteId) {
        return yield* idsUnder(folderRemoteId === allMail ? undefined : folderRemoteId)
      },
      Effect.mapError((error) =>
        error._tag === "GmailRefusal" && (isNotFound(error) || isInvalid(error))
          ? new FolderGone()
          : asProviderError(error)
      ),
    ),

    attachment: (_folder, remoteId, attachmentRemoteId) =>
      Stream.unwrap(
        Effect.gen(function* () {
          const { payload } = yield* client.get(messagePath(remoteId, "full"), GmailMessage, gmailUnits.messagesGet)
          const body = Predicate.isNullish(payload) ? undefined : findPart(payload, attachmentRemoteId)?.body
          if (Predicate.isNotNullish(body?.data)) return Stream.succeed(decodeBase64Url(body.data))
          if (Predicate.isNullish(body?.attachmentId)) return yield* new MessageGone()
          const pieces = yield* client.stream(
            `/messages/${encodeURIComponent(remoteId)}/attachments/${encodeURIComponent(body.attachmentId)}`,
            gmailUnits.attachmentsGet,
          )
          return decodedPieces(pieces)
        }).pipe(
          Effect.mapError((error) =>
            error._tag === "GmailRefusal" ? isNotFound(error) ? new MessageGone() : error.error : error
          ),
        ),
      ),
  }
}

const decodedPieces = (pieces: Stream.Stream<Uint8Array, ProviderError>): Stream.Stream<Uint8Array, ProviderError> =>
  Stream.suspend(() => {
    const reader = new AttachmentReader()
    return pieces.pipe(
      Stream.map((piece): Uint8Array => reader.read(piece)),
      Stream.filter((piece) => piece.length > 0),
      Stream.concat(Stream.suspend(() => reader.isWhole ? Stream.empty : Stream.fail(gmailError("transient")))),
    )
  })

const relabelled = (remoteId: string, labels: ReadonlyArray<string>, names: LabelNames): Upsert => ({
  _tag: "Upsert",
  remoteId,
  folderRemoteId: folderOf(labels, names),
  ifKnown: true,
  fields: labelFields(labels, names),
})

const isPassing = ({ error }: GmailRefusal): boolean => error.class === "transient"

const refusedFor = ({ error }: GmailRefusal): RemoteBody =>
  refusedBody(`Gmail does not give the content of this message (${error.providerCode ?? error.code})`)

const listPath = (maxResults: number, page: string | undefined, more: string): string =>
  `/messages?includeSpamTrash=true&maxResults=${maxResults}${more}${
    page === undefined ? "" : `&pageToken=${encodeURIComponent(page)}`
  }`

/** Gmail takes seconds since 1970 as a time. */
const since = ({ since }: MailAccount): string =>
  since === undefined ? "" : `&q=after:${Math.floor(DateTime.toEpochMillis(since) / 1_000)}`

const labelsChanged = new ProviderError({
  ...gmailError("transient"),
  message: "a label was made while the mailbox was read; the next round lists it",
})
