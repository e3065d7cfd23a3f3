/** Mailboxes on a real Dovecot read by the channel, a store of them in memory, and what the server itself holds. */
import { Context, DateTime, Duration, Effect, Layer, Redacted } from "effect"
import type { ImapFlow } from "imapflow"
import { newId } from "../../../src/domain/Ids.ts"
import { Settings } from "../../../src/domain/Settings.ts"
import { Imap } from "../../../src/mail/imap/Imap.ts"
import type { ImapOptions } from "../../../src/mail/imap/ImapConnection.ts"
import { ImapIdle } from "../../../src/mail/imap/ImapIdle.ts"
import { ImapTransport } from "../../../src/mail/imap/ImapTransport.ts"
import type { MailAccount, Mailbox, RemoteFolder, RemoteMessage, StoredMail } from "../../../src/mail/Mailbox.ts"
import { MimeParser } from "../../../src/mail/mime/MimeParser.ts"
import { Tokens } from "../../../src/oauth/Tokens.ts"
import { ConnectionLimiter } from "../../../src/pacing/ConnectionLimiter.ts"
import { Throttle } from "../../../src/pacing/Throttle.ts"
import { Dovecot, type Introspection } from "../../support/dovecot.ts"

let users = 0

export const newUser = () => `user${++users}@example.com`

export const accountOf = (email: string, more: Partial<MailAccount> = {}): MailAccount => ({
  id: newId(),
  email,
  provider: "microsoft",
  channel: "imap",
  grantId: newId(),
  clientId: "client",
  byName: false,
  ...more,
})

/** Tokens that the Dovecot believes, of the user of the test. */
export class Issued {
  current = ""
  refreshed = 0

  constructor(private readonly introspection: Introspection, private readonly email: string) {
    this.issue()
  }

  issue(): string {
    this.current = `token-${newId()}`
    this.introspection.valid.set(this.current, this.email)
    return this.current
  }

  /** The server believes none of them any more. */
  revoke(): void {
    this.introspection.valid.delete(this.current)
  }

  private get token() {
    return {
      token: Redacted.make(this.current),
      resource: "outlook-imap" as const,
      expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), Duration.hours(1)),
    }
  }

  readonly layer = Layer.succeed(
    Tokens,
    Tokens.of({
      accessToken: () => Effect.sync(() => this.token),
      refresh: () =>
        Effect.sync(() => {
          this.refreshed++
          this.issue()
          return this.token
        }),
      refreshSince: () => Effect.void,
    }),
  )
}

export const imapLayer = (options: {
  readonly url: string
  readonly tokens: Layer.Layer<Tokens>
  readonly authorities?: ReadonlyArray<string>
  readonly imap?: ImapOptions
}) =>
  Layer.merge(Imap.layerWith(options.imap ?? {}), ImapIdle.layerWith({ maxIdle: 540_000, ...options.imap })).pipe(
    Layer.provideMerge(Layer.mergeAll(
      ConnectionLimiter.layer,
      Throttle.layer,
      MimeParser.layer,
      ImapTransport.layerWith(options.authorities ?? []),
      Layer.orDie(Settings.layerWith({ outlookImap: options.url, gmailImap: options.url })),
      options.tokens,
    )),
  )

/** What a store keeps of a mailbox, in memory. */
export class Replica implements StoredMail {
  readonly folders = new Map<string, {
    folder: RemoteFolder
    cursor: string | null
    readonly messages: Map<string, Partial<RemoteMessage>>
  }>()
  /** Pages applied. */
  pages = 0
  lost = 0

  readonly ids = (path: string) => Effect.sync(() => [...this.folders.get(path)?.messages.keys() ?? []])

  list = Effect.fnUntraced(function* (this: Replica, mailbox: Mailbox) {
    const known = [...this.folders.values()].map(({ cursor, folder }) => ({ ...folder, cursor }))
    const listed = yield* mailbox.folders(known)
    for (const folder of listed) {
      const before = this.folders.get(folder.renamedFrom ?? folder.remoteId)
      if (folder.renamedFrom !== undefined) this.folders.delete(folder.renamedFrom)
      this.folders.set(folder.remoteId, before ?? { folder, cursor: null, messages: new Map() })
      this.folders.get(folder.remoteId)!.folder = folder
    }
    const names = new Set(listed.map(({ remoteId }) => remoteId))
    for (const name of this.folders.keys()) if (!names.has(name)) this.folders.delete(name)
    return listed
  }).bind(this)

  /** One page; true when the folder's round is complete. */
  step = Effect.fnUntraced(function* (this: Replica, mailbox: Mailbox, path: string) {
    const state = this.folders.get(path)!
    const page = yield* mailbox.page(path, state.cursor).pipe(
      Effect.catchTag("CursorLost", () => Effect.succeed(undefined)),
    )
    if (page === undefined) {
      this.lost++
      state.cursor = null
      state.messages.clear()
      return false
    }
    for (const change of page.changes) {
      if (change._tag === "Removed") state.messages.delete(change.remoteId)
      else if (change.ifKnown !== true || state.messages.has(change.remoteId)) {
        state.messages.set(change.remoteId, { ...state.messages.get(change.remoteId), ...change.fields })
      }
    }
    state.cursor = page.cursor
    this.pages++
    return page.roundComplete
  }).bind(this)

  /** A round over all folders. */
  round = Effect.fnUntraced(function* (this: Replica, mailbox: Mailbox) {
    for (const { remoteId } of yield* this.list(mailbox)) {
      while (!(yield* this.step(mailbox, remoteId))) { /* the next page */ }
    }
  }).bind(this)

  /** `folder: id flags`, sorted: to be compared with `heldBy`. */
  get held(): ReadonlyArray<string> {
    return [...this.folders].flatMap(([path, { messages }]) =>
      [...messages.values()].map((m) =>
        `${path}: ${m.internetMessageId} ${m.isRead ? "S" : ""}${m.isFlagged ? "F" : ""}${m.isDraft ? "D" : ""} ${
          m.categories?.join(",")
        }`
      )
    ).sort()
  }
}

/** The same of the server, as another client sees it. */
export const heldBy = (client: ImapFlow): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(async () => {
    const held: Array<string> = []
    for (const { flags, path } of await client.list()) {
      if (flags.has("\\Noselect") || flags.has("\\NonExistent")) continue
      const mailbox = await client.mailboxOpen(path, { readOnly: true })
      if (mailbox.exists > 0) {
        for await (const row of client.fetch("1:*", { flags: true, envelope: true })) {
          const has = (flag: string, letter: string) => row.flags!.has(flag) ? letter : ""
          const words = [...row.flags!].filter((flag) => !flag.startsWith("\\")).sort().join(",")
          held.push(
            `${path}: ${row.envelope!.messageId} ${has("\\Seen", "S")}${has("\\Flagged", "F")}${
              has("\\Draft", "D")
            } ${words}`,
          )
        }
      }
      await client.mailboxClose()
    }
    return held.sort()
  })

/** A mailbox of a new user, open on the channel at `url`, by default straight on the Dovecot. */
export const openMailbox = Effect.fnUntraced(function* (
  options: {
    readonly url?: string
    readonly email?: string
    readonly provider?: MailAccount["provider"]
    readonly replica?: Replica
    readonly imap?: ImapOptions
    readonly issued?: Issued
  } = {},
) {
  const { authority, introspection, port } = yield* Dovecot
  const email = options.email ?? newUser()
  const issued = options.issued ?? new Issued(introspection, email)
  const context = yield* Layer.build(imapLayer({
    url: options.url ?? `imap://localhost:${port}`,
    tokens: issued.layer,
    authorities: [authority],
    ...(options.imap === undefined ? {} : { imap: options.imap }),
  }))
  const replica = options.replica ?? new Replica()
  const account = accountOf(email, options.provider === undefined ? {} : { provider: options.provider })
  const mailbox = yield* Context.get(context, Imap).open(account, replica)
  return { mailbox, replica, email, issued, account, context }
})
