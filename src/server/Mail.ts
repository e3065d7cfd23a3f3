/** Shows stored mail and the change log. */
import { Effect, Option } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { Caller } from "../api/Authorization.ts"
import { NotFound } from "../api/Problems.ts"
import { isId } from "../domain/Ids.ts"
import { type Folder, FolderRole, type Message } from "../domain/Mail.ts"
import { Accounts } from "../storage/Accounts.ts"
import { Changes } from "../storage/mail/Changes.ts"
import { decodeCursor, encodeCursor, invalidCursor } from "../storage/Cursor.ts"
import { Folders } from "../storage/mail/Folders.ts"
import { Messages } from "../storage/mail/Messages.ts"
import { cursorProblem, limited, orNotFound, positionProblem } from "./Answers.ts"
import { changeEvents } from "./ChangeEvents.ts"
import { Shutdown } from "./Shutdown.ts"
import { makeDownload } from "./Downloads.ts"

/** A page of the folders of one account, which storage lists whole: they are few. None = the cursor is not ours. */
const pageOf = (folders: ReadonlyArray<Folder>, limit: number, cursor: string | undefined) => {
  if (cursor === undefined) return Option.some(pageFrom(folders, limit))
  return decodeCursor(cursor, 1).pipe(
    Option.filter(([id]) => typeof id === "string" && isId(id)),
    // The folder of the cursor may be gone: what follows it in the order of ids still does.
    Option.map(([after]) => pageFrom(folders.filter(({ id }) => id > after!), limit)),
  )
}

const pageFrom = (folders: ReadonlyArray<Folder>, limit: number) => {
  const items = folders.slice(0, limit)
  return { items, nextCursor: folders.length > limit ? encodeCursor([items[limit - 1]!.id]) : null }
}

const isRole = (folder: string): boolean => (FolderRole.literals as ReadonlyArray<string>).includes(folder)

export const layerMail = HttpApiBuilder.group(
  Api,
  "mail",
  Effect.fnUntraced(function* (handlers) {
    const accounts = yield* Accounts
    const folders = yield* Folders
    const messages = yield* Messages
    const changes = yield* Changes
    const shutdown = yield* Shutdown
    const download = yield* makeDownload

    const find = (id: string) => orNotFound("account")(accounts.get(id))

    /** The path names the message only. */
    const noteAccount = ({ accountId }: Message) => Effect.flatMap(Caller, ({ note }) => note({ accountId }))

    return handlers.handleAll({
      folders: Effect.fn("mail.folders")(function* ({ params, query }) {
        const account = yield* find(params.id)
        const page = pageOf(yield* folders.list(account.id), limited(query).limit, query.cursor)
        return Option.isSome(page) ? page.value : yield* cursorProblem(invalidCursor)
      }),
      accountMessages: Effect.fn("mail.accountMessages")(function* ({ params, query }) {
        const account = yield* find(params.id)
        const { folder } = query
        if (folder !== undefined && !isRole(folder)) {
          const known = yield* folders.list(account.id)
          if (!known.some(({ id }) => id === folder.toLowerCase())) {
            return yield* new NotFound({ detail: "the account has no folder with this id" })
          }
        }
        return yield* Effect.mapError(messages.list({ ...limited(query), accountId: account.id }), cursorProblem)
      }),
      threads: Effect.fn("mail.threads")(function* ({ params, query }) {
        const account = yield* find(params.id)
        return yield* Effect.mapError(messages.threads(account.id, limited(query)), cursorProblem)
      }),
      attachment: ({ params }) => download(params.id, params.attachmentId),
      messages: ({ query }) => Effect.mapError(messages.list(limited(query)), cursorProblem),
      message: ({ params }) => Effect.tap(orNotFound("message")(messages.get(params.id)), noteAccount),
      changes: ({ query }) =>
        Effect.mapError(
          changes.list({ after: query.after ?? query.cursor, limit: limited(query).limit }),
          positionProblem,
        ),
      changeStream: ({ headers, query }) =>
        Effect.mapError(
          Effect.map(changes.follow({ after: headers["last-event-id"] ?? query.after }), changeEvents(shutdown)),
          positionProblem,
        ),
    })
  }),
)
