/** One signed-in IMAP connection: commands as effects. Read-only: nothing here changes a mailbox. */
import { Cause, Effect, type Redacted, Redacted as Secret, Stream } from "effect"
import {
  type FetchMessageObject,
  type FetchOptions,
  type FetchQueryObject,
  ImapFlow,
  type MailboxObject,
} from "imapflow"
import { type ImapRefusal, lost, refusalOf, strangeAnswer } from "./ImapErrors.ts"
import type { ImapTransport } from "./ImapTransport.ts"
import { uidSets } from "./ImapUids.ts"

/** Unless it is said otherwise. */
const socketTimeout = 60_000

const connectionTimeout = 30_000
const greetingTimeout = 30_000

export interface ImapLogin {
  readonly transport: ImapTransport["Service"]
  /** `imaps://` or `imap://`. */
  readonly url: string
  readonly user: string
  readonly accessToken: Redacted.Redacted
  /** Longest stay in one IDLE, in milliseconds; also the pace of polling where the server has no IDLE, though at most 2 minutes. */
  readonly maxIdle?: number | undefined
  /** Silence in the middle of a command after which the connection is given up, in milliseconds. */
  readonly socketTimeout?: number | undefined
}

export interface ImapSession {
  /** For what it knows: capabilities, what is enabled, the folder that is open. Commands go through `run`. */
  readonly client: ImapFlow
  /** Interruption closes the connection: a command that was sent cannot be taken back. */
  readonly run: <A>(command: (client: ImapFlow) => Promise<A>) => Effect.Effect<A, ImapRefusal>
  /** Opens a folder for reading (EXAMINE), even if it is open, so that its counts are of this moment. */
  readonly examine: (path: string) => Effect.Effect<MailboxObject, ImapRefusal>
  /** Opens a folder unless it is open. */
  readonly opened: (path: string) => Effect.Effect<MailboxObject, ImapRefusal>
  /** Opens a folder; if it is open, what has arrived in it since is seen from now on. */
  readonly renewed: (path: string) => Effect.Effect<MailboxObject, ImapRefusal>
  /** UIDs of messages in the open folder that lie in the range, ascending. */
  readonly search: (range: string) => Effect.Effect<ReadonlyArray<number>, ImapRefusal>
  /** Which of the UIDs are in the open folder. */
  readonly among: (uids: ReadonlyArray<number>) => Effect.Effect<ReadonlySet<number>, ImapRefusal>
  /** Messages of the open folder as they arrive; the server is not read from while nobody takes them. */
  readonly rows: (
    range: string,
    query: FetchQueryObject,
    options?: FetchOptions,
  ) => Stream.Stream<FetchMessageObject, ImapRefusal>
  /** The same, once all are there: of a page of small answers, which one by one would each cost a fiber its turn. */
  readonly all: (
    range: string,
    query: FetchQueryObject,
    options?: FetchOptions,
  ) => Effect.Effect<ReadonlyArray<FetchMessageObject>, ImapRefusal>
  /** UIDs that were reported as vanished since this was last asked (QRESYNC). */
  readonly vanished: () => ReadonlyArray<number>
  readonly isOpen: () => boolean
  readonly close: Effect.Effect<void>
}

/** Connects and signs in, by OAUTHBEARER where the server offers it, else by XOAUTH2. */
export const openSession = (login: ImapLogin): Effect.Effect<ImapSession, ImapRefusal> =>
  Effect.suspend(() => {
    const url = new URL(login.url)
    const secure = url.protocol === "imaps:"
    let backoff: number | undefined
    let vanished: Array<number> = []
    // ImapFlow waits out most of a pause before it tells of it, up to minutes: its log tells at once.
    const notice = (entry: { readonly msg?: unknown; readonly throttleDelay?: unknown }) => {
      if (entry.msg !== "Throttling detected" || typeof entry.throttleDelay !== "number") return
      backoff = entry.throttleDelay
      // It begins to wait after this: what is closed now it would not notice.
      queueMicrotask(() => client.close())
    }
    const client = new ImapFlow({
      host: url.hostname.replace(/^\[|\]$/g, ""),
      port: Number(url.port) || (secure ? 993 : 143),
      secure,
      auth: { user: login.user, accessToken: Secret.value(login.accessToken) },
      ...login.transport,
      clientInfo: { name: "Mailfleet" },
      logger: { debug: silent, info: silent, warn: notice, error: silent },
      disableAutoIdle: true,
      // Inflating costs more than it saves within a data centre, and a window of memory for each connection.
      disableCompression: true,
      qresync: true,
      maxLockHoldTime: false,
      connectionTimeout,
      greetingTimeout,
      socketTimeout: login.socketTimeout ?? socketTimeout,
      ...(login.maxIdle === undefined ? {} : { maxIdleTime: login.maxIdle }),
      expungeHandler: ({ earlier, uid }) => {
        if (earlier === true && uid !== undefined) vanished.push(uid)
      },
    })
    // Without a listener an error event would end the process. The command in flight is rejected as well.
    let broken: Error | undefined
    client.on("error", (error) => broken = error)

    const run = <A>(command: (client: ImapFlow) => Promise<A>) =>
      Effect.callback<A, ImapRefusal>((resume) => {
        Promise.resolve().then(() => command(client)).then(
          // Of a connection that is gone ImapFlow answers many a question as if there were nothing.
          (value) => resume(client.isClosed ? Effect.fail(lost) : Effect.succeed(value)),
          (cause) => resume(Effect.fail(refusalOf(isTimeout(broken) ? broken : cause, backoff))),
        )
        return Effect.sync(() => client.close())
      })

    const search = (range: string) =>
      Effect.flatMap(
        run((client) => client.search({ uid: range }, { uid: true })),
        (found) =>
          // `false` is a refusal, not an empty folder.
          Array.isArray(found) ? Effect.succeed(found.toSorted((a, b) => a - b)) : Effect.fail(strangeAnswer),
      )

    const examine = (path: string) =>
      run((client) => client.mailboxOpen(path, { readOnly: true })).pipe(
        Effect.catchIf(
          ({ error, reason }) => reason === "other" && error.class === "unknown",
          (refusal) =>
            // Not every server says NONEXISTENT: ImapFlow looks into the listing when STATUS is refused.
            Effect.andThen(run((client) => client.status(path, { messages: true })), Effect.fail(refusal)),
        ),
        Effect.flatMap((mailbox) => mailbox === undefined ? Effect.fail(strangeAnswer) : Effect.succeed(mailbox)),
      )

    const isOpen = (path: string) => client.mailbox !== false && client.mailbox.path === path

    const session: ImapSession = {
      client,
      run,
      search,
      examine,
      opened: (path) => isOpen(path) ? Effect.succeed(client.mailbox as MailboxObject) : examine(path),
      renewed: (path) =>
        isOpen(path) ? Effect.as(run((client) => client.noop()), client.mailbox as MailboxObject) : examine(path),
      among: Effect.fnUntraced(function* (uids) {
        const found = new Set<number>()
        for (const set of uidSets(uids)) for (const uid of yield* search(set)) found.add(uid)
        return found
      }),
      rows: (range, query, options) =>
        Stream.unwrap(Effect.gen(function* () {
          let complete = false
          const iterator = client.fetch(range, query, { uid: true, ...options })
          // The rest of an answer that nobody takes any more would hold up all that comes after it.
          yield* Effect.addFinalizer(() => Effect.sync(() => complete ? undefined : client.close()))
          return Stream.fromEffectRepeat(
            Effect.flatMap(run(() => iterator.next()), (next) => {
              if (next.done !== true) return Effect.succeed(next.value)
              complete = true
              return Cause.done()
            }),
          )
        })),
      all: (range, query, options) => run((client) => client.fetchAll(range, query, { uid: true, ...options })),
      vanished: () => {
        const uids = vanished
        vanished = []
        return uids
      },
      isOpen: () => client.usable && !client.isClosed,
      close: Effect.suspend(() => client.usable ? run((client) => client.logout()) : Effect.void).pipe(
        Effect.timeout("2 seconds"),
        Effect.ignore,
        Effect.andThen(Effect.sync(() => client.close())),
      ),
    }
    return Effect.as(run((client) => client.connect()), session)
  })

const silent = () => {}

/** A connection on which nothing comes any more rejects its command as if it had been closed: this tells the two apart. */
const isTimeout = (error: (Error & { readonly code?: string }) | undefined): error is Error =>
  error?.code === "ETIMEOUT"
