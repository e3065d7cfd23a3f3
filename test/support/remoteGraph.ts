/** Mailboxes at the simulated Microsoft Graph. */
import { Effect, Layer } from "effect"
import type { Simulator } from "../../src/simulator/Simulator.ts"
import { nested, type Place, Remote, type RemoteBox, type RemoteMail } from "./remote.ts"
import { Provider } from "./simulator.ts"

const roleOf: Readonly<Record<string, Place>> = {
  inbox: "inbox",
  sentitems: "sent",
  drafts: "drafts",
  junkemail: "junk",
  deleteditems: "trash",
  archive: "archive",
}

/** The place of each folder of a mailbox, by id; the root has none. */
const placesIn = (simulator: Simulator, email: string): ReadonlyMap<string, Place> => {
  const folders = new Map(simulator.mailbox(email).folders.map((folder) => [folder.id, folder]))
  const place = (id: string): Place | undefined => {
    const folder = folders.get(id)!
    if (folder.parentId === null) return undefined
    const role = roleOf[folder.wellKnown ?? ""]
    if (role !== undefined) return role
    const around = place(folder.parentId)
    return around === undefined ? folder.displayName : `${around}${nested}${folder.displayName}`
  }
  return new Map([...folders.keys()].flatMap((id) => {
    const found = place(id)
    return found === undefined ? [] : [[id, found] as const]
  }))
}

type State = ReturnType<Simulator["deliver"]>[number]

/** The mailbox of an account of the simulator. */
export const graphBox = (simulator: Simulator, email: string): RemoteBox => {
  const toMail = (state: State, places = placesIn(simulator, email)): RemoteMail => ({
    id: state.id,
    place: places.get(state.folderId) ?? "",
    subject: state.subject,
    isRead: state.isRead,
    isFlagged: state.flagStatus === "flagged",
    messageId: state.internetMessageId.replace(/^<|>$/g, ""),
  })
  const folderOf = (place: Place): string => {
    for (const [id, found] of placesIn(simulator, email)) if (found === place) return id
    throw new Error(`no folder ${place}`)
  }
  const graph = (answer: { readonly status: number; readonly code: string } | null) =>
    Effect.sync(() => simulator.refuseMailbox(email, answer))
  return {
    email,
    clientId: simulator.account(email).clientId,
    mail: Effect.sync(() => {
      const places = placesIn(simulator, email)
      return simulator.mailbox(email).messages.map((state) => toMail(state, places))
    }),
    places: Effect.sync(() => [...placesIn(simulator, email).values()]),
    deliver: ({ place, ...mail }) =>
      Effect.sync(() =>
        toMail(
          simulator.deliver(email, {
            ...mail,
            text: `About ${mail.subject}`,
            ...(place === undefined ? {} : { folder: folderOf(place) }),
          })[0]!,
        )
      ),
    edit: ({ id }, { isFlagged, isRead }) =>
      Effect.sync(() =>
        toMail(simulator.editMessage(email, id, {
          ...(isRead === undefined ? {} : { isRead }),
          ...(isFlagged === undefined ? {} : { flagStatus: isFlagged ? "flagged" : "notFlagged" }),
        }))
      ),
    move: ({ id }, place) => Effect.sync(() => toMail(simulator.moveMessage(email, id, folderOf(place)))),
    remove: ({ id }) => Effect.sync(() => simulator.removeMessage(email, id)),
    createFolder: (displayName, within) =>
      Effect.sync(() => {
        simulator.addFolder(email, { displayName, ...(within === undefined ? {} : { parent: folderOf(within) }) })
        return within === undefined ? displayName : `${within}${nested}${displayName}`
      }),
    renameFolder: (place, name) =>
      Effect.sync(() => {
        simulator.renameFolder(email, folderOf(place), name)
        return [...place.split(nested).slice(0, -1), name].join(nested)
      }),
    removeFolder: (place) => Effect.sync(() => simulator.removeFolder(email, folderOf(place))),
    loseCursors: Effect.sync(() => simulator.expireCursors(email)),
    throttle: (times) =>
      Effect.sync(() =>
        simulator.script({
          endpoint: "graph",
          email,
          answers: [{ status: 429, headers: { "retry-after": "0.2" }, times }],
        })
      ),
    // Tokens count as issued within the millisecond of their time.
    expireTokens: Effect.sync(() => simulator.withdrawAccessTokens(email)).pipe(
      Effect.delay("2 millis"),
      Effect.andThen(Effect.sleep("2 millis")),
    ),
    suffer: (trouble) =>
      trouble === null
        ? graph(null)
        : trouble === "gone"
        ? graph({ status: 404, code: "MailboxNotEnabledForRESTAPI" })
        : graph({ status: 503, code: "ErrorMailboxMoveInProgress" }),
  }
}

export const addressOf = (n: number): string => `sim${String(n).padStart(5, "0")}@sim.example`

export const graphRemote: Layer.Layer<Remote, never, Provider> = Layer.effect(
  Remote,
  Effect.map(Provider, ({ grants, simulator }) => {
    let next = 0
    return Remote.of({
      name: "Graph",
      channel: "graph",
      provider: "microsoft",
      classOf: { locked: "transient", gone: "blocked" },
      open: Effect.sync(() => graphBox(simulator, addressOf(++next))),
      enrol: ({ email, grantId }) => void grants.set(grantId, email),
    })
  }),
)
