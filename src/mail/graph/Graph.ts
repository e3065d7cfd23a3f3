/** Mailboxes of Microsoft 365 and Outlook.com, read through Microsoft Graph: folders, and a delta query for each of them. */
import { Context, Effect, Layer, Stream } from "effect"
import type { HttpClient } from "effect/http"
import type { FolderRole } from "../../domain/Mail.ts"
import { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { MailboxLimiter, MailLane } from "../../pacing/MailboxLimiter.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { makeGraphReader } from "./GraphBatch.ts"
import { makeBodyReader } from "./GraphBodies.ts"
import { type GraphClient, graphServices, makeGraphClient } from "./GraphClient.ts"
import { type GraphRefusal, isCursorLost, isInvalid, isNotFound, ofNamedMailbox, strangeAnswer } from "./GraphErrors.ts"
import {
  DeltaPage,
  FolderPage,
  GraphFolder,
  IdOnly,
  IdPage,
  MessagePage,
  messageSelect,
  toChange,
} from "./GraphMessage.ts"
import {
  CursorLost,
  FolderGone,
  type MailAccount,
  type Mailbox,
  MessageGone,
  type Page,
  type RemoteFolder,
  type Removed,
  type Upsert,
} from "../Mailbox.ts"

/** Well-known names serve as ids in whatever language the mailbox is (Microsoft Graph, mailFolder resource type). */
const wellKnown: ReadonlyArray<readonly [name: string, role: FolderRole]> = [
  ["inbox", "inbox"],
  ["sentitems", "sent"],
  ["drafts", "drafts"],
  ["junkemail", "junk"],
  ["deleteditems", "trash"],
  ["archive", "archive"],
]

const folderFields = Object.keys(GraphFolder.fields).filter((field) => !field.startsWith("@")).join(",")

/** Folders in a page of a listing. */
const folderPage = 250

/** Messages that are looked at before the first listing of a folder is through. */
const newestMessages = 50

/** Ids in a page: the most that Graph gives (Microsoft Graph, list messages). */
const idPage = 1_000

/** A search folder shows messages that lie elsewhere. */
const isReal = (folder: typeof GraphFolder.Type): boolean => !folder["@odata.type"]?.endsWith("mailSearchFolder")

/** A refusal that the caller has no better word for. */
const toProviderError = (error: GraphRefusal | ProviderError): ProviderError =>
  error._tag === "GraphRefusal" ? error.error : error

export class Graph extends Context.Service<Graph, {
  readonly open: (account: MailAccount) => Effect.Effect<Mailbox>
}>()("mailfleet/mail/Graph") {
  static readonly layer: Layer.Layer<
    Graph,
    never,
    HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter
  > = Layer.effect(
    Graph,
    Effect.gen(function* () {
      const services = yield* graphServices
      return Graph.of({
        open: (account) => Effect.sync(() => openMailbox(makeGraphClient(services, account), account)),
      })
    }),
  )
}

/** Where a mailbox is, after the version. */
export const mailboxPath = ({ byName, email }: Pick<MailAccount, "byName" | "email">): string =>
  byName ? `/users/${encodeURIComponent(email)}` : "/me"

/** Attempting to get the `$value` of a reference attachment returns HTTP 405 (Microsoft Graph, get attachment). */
const isLink = ({ status }: GraphRefusal): boolean => status === 405

const onlyALink = new ProviderError({
  class: "blocked",
  code: "attachment_is_a_link",
  message: "the attachment is a link to a file in the cloud (OneDrive, SharePoint): its content is not in the mailbox",
})

const openMailbox = (client: GraphClient, account: MailAccount): Mailbox => {
  const { byName } = account
  const path = mailboxPath(account)
  const mailFolders = `${client.graphUrl}${path}/mailFolders`
  const asProviderError = (error: GraphRefusal | ProviderError) =>
    toProviderError(byName && error._tag === "GraphRefusal" ? ofNamedMailbox(error) : error)
  const folderUrl = (id: string) => `${mailFolders}/${encodeURIComponent(id)}`
  const query = `includeHiddenFolders=true&$top=${folderPage}&$select=${folderFields}`

  /** The folders at `url` and all below them. */
  const listing = (url: string): Effect.Effect<ReadonlyArray<typeof GraphFolder.Type>, GraphRefusal | ProviderError> =>
    Effect.gen(function* () {
      const here: Array<typeof GraphFolder.Type> = []
      for (let next: string | undefined = url; next !== undefined;) {
        const page: typeof FolderPage.Type = yield* client.get(next, FolderPage)
        here.push(...page.value.filter(isReal))
        next = page["@odata.nextLink"]
      }
      const below = yield* Effect.forEach(
        here.filter(({ childFolderCount }) => (childFolderCount ?? 0) > 0),
        ({ id }) =>
          listing(`${folderUrl(id)}/childFolders?${query}`).pipe(
            // Gone since it was listed, with all below it.
            Effect.catchIf((error) => error._tag === "GraphRefusal" && isNotFound(error), () => Effect.succeed([])),
          ),
        { concurrency: "unbounded" },
      )
      return [...here, ...below.flat()]
    })

  /** Asked only when a folder has come up that no listing showed before: else the roles are known. */
  const rolesOf = Effect.fnUntraced(function* (
    found: ReadonlyArray<typeof GraphFolder.Type>,
    known: ReadonlyArray<Pick<RemoteFolder, "remoteId" | "role">>,
  ) {
    const ids = new Set(found.map(({ id }) => id))
    const roles = new Map<string, FolderRole>()
    for (const { remoteId, role } of known) if (role !== null && ids.has(remoteId)) roles.set(remoteId, role)
    const before = new Set(known.map(({ remoteId }) => remoteId))
    if (found.every(({ id }) => before.has(id))) return roles
    const taken = new Set(roles.values())
    yield* Effect.forEach(
      wellKnown.filter(([, role]) => !taken.has(role)),
      ([name, role]) =>
        client.get(`${mailFolders}/${name}?$select=id`, IdOnly).pipe(
          Effect.map(({ id }) => roles.set(id, role)),
          // Many mailboxes have no archive.
          Effect.catchIf((error) => error._tag === "GraphRefusal" && isNotFound(error), () => Effect.void),
        ),
      { concurrency: "unbounded", discard: true },
    )
    return roles
  })

  /**
   * Pages of a first listing fill up the past, all others bring what is new: the latter go first. How far a folder is, only its
   * links tell; that they are right about it is a matter of order and of nothing else.
   */
  const lanes = new Map<string, MailLane>()
  const laneOf = (folder: string, cursor: string | null): MailLane =>
    cursor === null ? "backfill" : /deltatoken=/i.test(cursor) ? "fresh" : lanes.get(folder) ?? "backfill"
  const newest = new Set<string>()

  const readBodies = makeBodyReader(makeGraphReader(client), `${path}/messages`)

  const orGone = (error: GraphRefusal | ProviderError) =>
    error._tag === "GraphRefusal" && isNotFound(error) ? new FolderGone() : asProviderError(error)

  return {
    concurrency: 4,

    folders: Effect.fn("Graph.folders")(function* (known) {
      const found = yield* listing(`${mailFolders}?${query}`)
      const roles = yield* rolesOf(found, known)
      return found.map((folder): RemoteFolder => ({
        remoteId: folder.id,
        parentRemoteId: folder.parentFolderId ?? null,
        displayName: folder.displayName ?? "",
        role: roles.get(folder.id) ?? null,
        totalItems: folder.totalItemCount ?? null,
      }))
    }, Effect.mapError(asProviderError)),

    page: Effect.fn("Graph.page")(
      function* (folderRemoteId, cursor) {
        const first = `${
          folderUrl(folderRemoteId)
        }/messages/delta?$select=${messageSelect}&$orderby=receivedDateTime%20desc`
        // Of another Graph than the one that the settings name by now: nothing of it is known here.
        if (cursor !== null && !client.isOurs(cursor)) return yield* new CursorLost()
        const lane = laneOf(folderRemoteId, cursor)
        const page = yield* client.get(cursor ?? first, DeltaPage, { lane }).pipe(
          // A request that is wrong by its cursor alone would be wrong in each round.
          Effect.catchIf(
            (error) => cursor !== null && error._tag === "GraphRefusal" && isInvalid(error),
            () => Effect.fail(new CursorLost()),
          ),
        )
        const changes: Array<Upsert | Removed> = []
        for (const message of page.value) {
          changes.push(toChange(message))
          // Turning HTML into text takes milliseconds: other fibers have their turn in between.
          if (message.body !== undefined) yield* Effect.yieldNow
        }
        const deltaLink = page["@odata.deltaLink"]
        const next = deltaLink ?? page["@odata.nextLink"]
        // A link to another host would be stored, and refused in each round.
        if (next === undefined || !client.isOurs(next)) return yield* strangeAnswer(200)
        // Its bodies and the page after it are as urgent as it is.
        lanes.set(folderRemoteId, lane)
        return { changes, cursor: next, roundComplete: deltaLink !== undefined } satisfies Page
      },
      Effect.mapError((error) => {
        if (error._tag === "CursorLost") return error
        if (error._tag === "GraphRefusal" && isCursorLost(error)) return new CursorLost()
        return orGone(error)
      }),
    ),

    bodies: Effect.fn("Graph.bodies")(function* (folderRemoteId, remoteIds) {
      const lane = remoteIds.some((id) => newest.has(id)) ? "fresh" : lanes.get(folderRemoteId) ?? "backfill"
      return yield* readBodies(remoteIds, lane)
    }, Effect.mapError(asProviderError)),

    newest: Effect.fn("Graph.newest")(function* (folderRemoteId) {
      const query = `?$select=${messageSelect}&$orderby=receivedDateTime%20desc&$top=${newestMessages}`
      const { value } = yield* client.get(`${folderUrl(folderRemoteId)}/messages${query}`, MessagePage, {
        pageSize: newestMessages,
      })
      newest.clear()
      return value.flatMap((message): ReadonlyArray<Upsert> => {
        const change = toChange(message)
        if (change._tag === "Removed") return []
        newest.add(change.remoteId)
        return [change]
      })
    }, Effect.mapError(orGone)),

    ids: Effect.fn("Graph.ids")(function* (folderRemoteId) {
      // A page may repeat what was on the one before, where mail came or went in between.
      const ids = new Set<string>()
      const first = `${folderUrl(folderRemoteId)}/messages?$select=id&$top=${idPage}`
      for (let next: string | undefined = first; next !== undefined;) {
        const page: typeof IdPage.Type = yield* client.get(next, IdPage, { lane: "backfill", pageSize: idPage })
        for (const { id } of page.value) ids.add(id)
        next = page["@odata.nextLink"]
      }
      return [...ids]
    }, Effect.mapError(orGone)),

    attachment: (_folderRemoteId, remoteId, attachmentRemoteId) =>
      client.stream(
        `${client.graphUrl}${path}/messages/${encodeURIComponent(remoteId)}/attachments/${
          encodeURIComponent(attachmentRemoteId)
        }/$value`,
      ).pipe(
        Stream.mapError((error) => {
          if (error._tag === "GraphRefusal" && isLink(error)) return onlyALink
          return error._tag === "GraphRefusal" && isNotFound(error) ? new MessageGone() : asProviderError(error)
        }),
      ),
  }
}
