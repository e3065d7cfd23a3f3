/** Mailboxes of Microsoft 365 and Outlook.com, read through Microsoft Graph: folders, and a delta query for each of them. */
import { Context, Effect, Layer } from "effect"
import type { HttpClient } from "effect/http"
import type { FolderRole } from "../domain/Mail.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import type { Settings } from "../domain/Settings.ts"
import type { Tokens } from "../oauth/Tokens.ts"
import type { MailboxLimiter } from "../pacing/MailboxLimiter.ts"
import type { Throttle } from "../pacing/Throttle.ts"
import { type GraphClient, graphServices, makeGraphClient } from "./GraphClient.ts"
import { type GraphRefusal, isCursorLost, isNotFound, ofNamedMailbox, strangeAnswer } from "./GraphErrors.ts"
import { DeltaPage, FolderIdOnly, FolderPage, GraphFolder, messageSelect, toChange } from "./GraphMessage.ts"
import {
  CursorLost,
  FolderGone,
  type MailAccount,
  type Mailbox,
  type Page,
  type RemoteFolder,
  type Removed,
  type Upsert,
} from "./Mailbox.ts"

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
        open: (account) =>
          Effect.sync(() => openMailbox(makeGraphClient(services, account), account, services.graphUrl)),
      })
    }),
  )
}

const openMailbox = (client: GraphClient, { byName, email }: MailAccount, graphUrl: string): Mailbox => {
  const mailFolders = `${graphUrl}/${byName ? `users/${encodeURIComponent(email)}` : "me"}/mailFolders`
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
        client.get(`${mailFolders}/${name}?$select=id`, FolderIdOnly).pipe(
          Effect.map(({ id }) => roles.set(id, role)),
          // Many mailboxes have no archive.
          Effect.catchIf((error) => error._tag === "GraphRefusal" && isNotFound(error), () => Effect.void),
        ),
      { concurrency: "unbounded", discard: true },
    )
    return roles
  })

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
        const page = yield* client.get(cursor ?? first, DeltaPage)
        const changes: Array<Upsert | Removed> = []
        for (const message of page.value) {
          changes.push(toChange(message))
          // Turning HTML into text takes milliseconds: other fibers have their turn in between.
          yield* Effect.yieldNow
        }
        const deltaLink = page["@odata.deltaLink"]
        const next = deltaLink ?? page["@odata.nextLink"]
        if (next === undefined) return yield* strangeAnswer(200)
        return { changes, cursor: next, roundComplete: deltaLink !== undefined } satisfies Page
      },
      Effect.mapError((error) => {
        if (error._tag === "GraphRefusal" && isCursorLost(error)) return new CursorLost()
        return error._tag === "GraphRefusal" && isNotFound(error) ? new FolderGone() : asProviderError(error)
      }),
    ),
  }
}
