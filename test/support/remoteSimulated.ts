/** Mailboxes at the simulated Microsoft Graph and Gmail. */
import { DateTime, Duration, Effect, Layer, Redacted, Schema } from "effect"
import { codeOf } from "../../src/domain/FailureClass.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import type { AccessToken } from "../../src/oauth/Tokens.ts"
import { make, type Simulator, type SimulatorOptions } from "../../src/simulator/Simulator.ts"
import { nested, type Place, Remote, type RemoteBox, type RemoteMail } from "./remote.ts"
import { serve } from "./simulator.ts"

export type SimulatedChannel = "graph" | "gmail"

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
    if (folder.wellKnown === "msgfolderroot") return undefined
    const role = roleOf[folder.wellKnown ?? ""]
    if (role !== undefined) return role
    const around = folder.parentId === null ? undefined : place(folder.parentId)
    return around === undefined ? folder.displayName : `${around}${nested}${folder.displayName}`
  }
  return new Map([...folders.keys()].flatMap((id) => {
    const found = place(id)
    return found === undefined ? [] : [[id, found] as const]
  }))
}

type State = ReturnType<Simulator["deliver"]>[number]

/** The mailbox of an account of the simulator. */
export const simulatedBox = (simulator: Simulator, email: string, channel: SimulatedChannel): RemoteBox => {
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
  const refuse = (answer: { readonly status: number; readonly code: string } | null) =>
    Effect.sync(() => simulator.refuseMailbox(email, answer))
  return {
    email,
    clientId: simulator.account(email).clientId,
    mail: Effect.sync(() => {
      const places = placesIn(simulator, email)
      return simulator.mailbox(email).messages.map((state) => toMail(state, places))
    }),
    places: Effect.sync(() => [...placesIn(simulator, email).values()]),
    // Nobody can make a message one that was sent or a draft at Gmail.
    targets: Effect.sync(() =>
      [...placesIn(simulator, email).values()].filter((place) =>
        channel === "graph" || (place !== "sent" && place !== "drafts")
      )
    ),
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
          endpoint: channel,
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
      trouble === null ? refuse(null) : trouble === "gone"
        ? refuse(
          channel === "graph"
            ? { status: 404, code: "MailboxNotEnabledForRESTAPI" }
            : { status: 400, code: "failedPrecondition" },
        )
        : refuse({ status: 503, code: channel === "graph" ? "ErrorMailboxMoveInProgress" : "backendError" }),
  }
}

const TokenAnswer = Schema.fromJsonString(Schema.Struct({ access_token: Schema.String, expires_in: Schema.Number }))

const noToken = new ProviderError({ class: "needs_user", code: codeOf.needs_user, message: "no token" })

/** An access token, straight from the simulated provider. */
const redeem = (simulator: Simulator, origin: string, email: string): Effect.Effect<AccessToken, ProviderError> =>
  Effect.tryPromise({
    try: async () => {
      const { clientId, clientSecret, provider, refreshToken } = simulator.account(email)
      const isGoogle = provider === "google"
      const response = await fetch(`${origin}${isGoogle ? "/google/token" : "/common/oauth2/v2.0/token"}`, {
        method: "POST",
        body: new URLSearchParams({
          grant_type: "refresh_token",
          client_id: clientId,
          refresh_token: refreshToken,
          ...(clientSecret === null ? {} : { client_secret: clientSecret }),
          ...(isGoogle ? {} : { scope: "https://graph.microsoft.com/.default offline_access" }),
        }),
      })
      const answer = Schema.decodeUnknownSync(TokenAnswer)(await response.text())
      return {
        token: Redacted.make(answer.access_token),
        resource: isGoogle ? "gmail" : "graph",
        expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), Duration.seconds(answer.expires_in)),
      } satisfies AccessToken
    },
    catch: () => noToken,
  })

/** The address of the `n`th account, from 1. */
export const addressOf = (n: number, channel: SimulatedChannel): string =>
  `sim${String(n).padStart(5, "0")}@${channel === "gmail" ? "gmail." : ""}sim.example`

/** A provider of its own, all of whose accounts are read over the channel. */
export const simulatedRemote = (
  channel: SimulatedChannel,
  options: Partial<SimulatorOptions> = {},
): Layer.Layer<Remote> =>
  Layer.effect(
    Remote,
    Effect.gen(function* () {
      const accounts = 200
      const simulator = yield* make({ accounts, googleAccounts: channel === "gmail" ? accounts : 0, ...options })
      const origin = yield* serve((request) => simulator.handler(request))
      let next = 0
      return Remote.of({
        channel,
        provider: channel === "gmail" ? "google" : "microsoft",
        foldersHoldMail: channel === "graph",
        classOf: { locked: "transient", gone: "blocked" },
        settings: { graphUrl: `${origin}/v1.0`, gmailUrl: `${origin}/gmail/v1` },
        open: Effect.sync(() => simulatedBox(simulator, addressOf(++next, channel), channel)),
        redeem: (email) => redeem(simulator, origin, email),
      })
    }),
  )
