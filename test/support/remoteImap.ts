/** Mailboxes on a real Dovecot, changed by another client and read by way of a proxy. */
import { DateTime, Duration, Effect, Layer, Redacted, Scope } from "effect"
import type { ImapFlow, ListResponse } from "imapflow"
import { newId } from "../../src/domain/Ids.ts"
import type { AccessToken } from "../../src/oauth/Tokens.ts"
import { Dovecot, type DovecotServer, letter, writerOf } from "./dovecot.ts"
import { type ImapProxy, imapProxy } from "./imapProxy.ts"
import { nested, type Place, Remote, type RemoteBox, type RemoteMail } from "./remote.ts"

const roleOf: Readonly<Record<string, Place>> = {
  "\\Inbox": "inbox",
  "\\Sent": "sent",
  "\\Drafts": "drafts",
  "\\Junk": "junk",
  "\\Trash": "trash",
  "\\Archive": "archive",
}

const isSelectable = ({ flags }: ListResponse) => !flags.has("\\Noselect") && !flags.has("\\NonExistent")

/** The place of each folder, by path. */
const placesIn = (folders: ReadonlyArray<ListResponse>): ReadonlyMap<string, Place> => {
  const byPath = new Map(folders.map((folder) => [folder.path, folder]))
  const place = ({ name, parentPath, path, specialUse }: ListResponse): Place => {
    const role = path === "INBOX" ? "inbox" : roleOf[specialUse ?? ""]
    if (role !== undefined) return role
    const parent = byPath.get(parentPath)
    return parent === undefined ? name : `${place(parent)}${nested}${name}`
  }
  return new Map(folders.map((folder) => [folder.path, place(folder)]))
}

/** Path and UID: what stands for the message until it is moved. */
const idOf = (path: string, uid: number): string => `${uid} ${path}`
const readId = (id: string) => {
  const blank = id.indexOf(" ")
  return { uid: Number(id.slice(0, blank)), path: id.slice(blank + 1) }
}

/** Gives a folder another UIDVALIDITY; its UIDs stay. */
const renumber = async (dovecot: DovecotServer, email: string, path: string, uidValidity: number) => {
  const folder = dovecot.maildir("").replace(/\/mail\/$/, "")
  const { code, stderr } = await new Deno.Command("doveadm", {
    args: [
      "-c",
      `${folder}/conf/dovecot.conf`,
      "mailbox",
      "update",
      "-u",
      email,
      "--uid-validity",
      String(uidValidity),
      path,
    ],
    stdout: "null",
    stderr: "piped",
  }).output()
  if (code !== 0) throw new Error(`doveadm: ${new TextDecoder().decode(stderr)}`)
}

/** What a provider does to its clients: of Dovecot's, tests have to do it. */
export interface ImapWorld {
  readonly proxy: ImapProxy
  readonly expireTokens: (email: string) => void
  /** No token of the mailbox is believed while it is set. */
  readonly setGone: (email: string, isGone: boolean) => void
}

let numberings = 2_000_000_000

/** The mailbox of a user, which is made when first seen. */
export const imapBox = (
  world: ImapWorld,
  email: string,
  clientId: string,
): Effect.Effect<RemoteBox, never, Dovecot | Scope.Scope> =>
  Effect.gen(function* () {
    const dovecot = yield* Dovecot
    const scope = yield* Effect.scope
    const connect = writerOf(email).pipe(Effect.provideService(Dovecot, dovecot), Scope.provide(scope))
    let client: ImapFlow = yield* connect
    let selected: string | undefined

    /** Dovecot ends sessions whose folders it no longer knows again: then there is a new one. */
    const work = <A>(change: () => Promise<A>): Effect.Effect<A> =>
      Effect.gen(function* () {
        if (!client.usable) {
          selected = undefined
          client = yield* connect
        }
        return yield* Effect.promise(change)
      })

    /** Nothing is open while folders come and go. */
    const close = async () => {
      if (selected !== undefined) await client.mailboxClose()
      selected = undefined
    }
    const open = async (path: string) => {
      if (selected === path) return
      await client.mailboxOpen(path)
      selected = path
    }
    const places = async () => placesIn((await client.list()).filter(isSelectable))
    const pathOf = async (place: Place): Promise<string> => {
      for (const [path, found] of await places()) if (found === place) return path
      throw new Error(`no folder ${place}`)
    }
    const within = (path: string) => path === "INBOX" || path === "" ? "" : `${path}/`

    const box: RemoteBox = {
      email,
      clientId,
      mail: work(async () => {
        const mail: Array<RemoteMail> = []
        for (const [path, place] of await places()) {
          await close()
          await open(path)
          if (client.mailbox === false || client.mailbox.exists === 0) continue
          for await (
            const { envelope, flags, uid } of client.fetch("1:*", { uid: true, flags: true, envelope: true })
          ) {
            mail.push({
              id: idOf(path, uid),
              place,
              subject: envelope?.subject ?? "",
              isRead: flags?.has("\\Seen") === true,
              isFlagged: flags?.has("\\Flagged") === true,
              messageId: envelope?.messageId?.replace(/^<|>$/g, "") ?? null,
            })
          }
        }
        return mail
      }),
      places: work(async () => [...(await places()).values()]),
      targets: work(async () => [...(await places()).values()]),
      deliver: ({ isRead = false, place = "inbox", subject }) =>
        work(async () => {
          const path = await pathOf(place)
          const messageId = `${newId()}@imap.example`
          const appended = await client.append(
            path,
            letter({ id: messageId, subject, text: `About ${subject}` }),
            isRead ? ["\\Seen"] : [],
          )
          if (appended === false || appended.uid === undefined) throw new Error(`not delivered into ${path}`)
          return { id: idOf(path, appended.uid), place, subject, isRead, isFlagged: false, messageId }
        }),
      edit: (mail, change) =>
        work(async () => {
          const { path, uid } = readId(mail.id)
          await open(path)
          for (const [flag, isOn] of [["\\Seen", change.isRead], ["\\Flagged", change.isFlagged]] as const) {
            if (isOn === true) await client.messageFlagsAdd(String(uid), [flag], { uid: true })
            if (isOn === false) await client.messageFlagsRemove(String(uid), [flag], { uid: true })
          }
          return { ...mail, ...change }
        }),
      move: (mail, place) =>
        work(async () => {
          const { path, uid } = readId(mail.id)
          const target = await pathOf(place)
          if (target === path) return mail
          await open(path)
          const moved = await client.messageMove(String(uid), target, { uid: true })
          const there = moved === false ? undefined : moved.uidMap?.get(uid)
          if (there === undefined) throw new Error(`not moved from ${path} to ${target}`)
          return { ...mail, id: idOf(target, there), place }
        }),
      remove: ({ id }) =>
        work(async () => {
          const { path, uid } = readId(id)
          await open(path)
          await client.messageDelete(String(uid), { uid: true })
        }),
      createFolder: (name, parent) =>
        work(async () => {
          const around = parent === undefined ? "" : await pathOf(parent)
          await client.mailboxCreate(`${within(around)}${name}`)
          return parent === undefined ? name : `${parent}${nested}${name}`
        }),
      renameFolder: (place, name) =>
        work(async () => {
          await close()
          const path = await pathOf(place)
          await client.mailboxRename(path, `${path.slice(0, path.lastIndexOf("/") + 1)}${name}`)
          return [...place.split(nested).slice(0, -1), name].join(nested)
        }),
      removeFolder: (place) =>
        work(async () => {
          await close()
          const path = await pathOf(place)
          const all = [...(await places()).keys()].filter((one) => one === path || one.startsWith(`${path}/`))
          for (const one of all.sort((a, b) => b.length - a.length)) await client.mailboxDelete(one)
        }),
      loseCursors: work(async () => {
        await close()
        for (const path of (await places()).keys()) await renumber(dovecot, email, path, ++numberings)
      }),
      throttle: (requests) =>
        Effect.sync(() => {
          let left = requests
          world.proxy.answer = (command) =>
            /^(?:UID )?(?:EXAMINE|STATUS|LIST|FETCH|SEARCH)\b/i.test(command) && left-- > 0
              ? "TAG BAD Request is throttled. Suggested Backoff Time: 200 milliseconds"
              : undefined
        }),
      expireTokens: Effect.sync(() => {
        world.expireTokens(email)
        world.proxy.cut()
      }),
      suffer: (trouble) =>
        Effect.sync(() => {
          dovecot.introspection.fault = trouble === "locked" ? 500 : undefined
          world.setGone(email, trouble === "gone")
          world.proxy.cut()
        }),
    }
    return box
  })

/** Mail and folders to begin with, as the simulated providers have. */
export const furnish = Effect.fnUntraced(function* (box: RemoteBox, messages: number) {
  const projects = yield* box.createFolder("Projekte & Größen")
  const deep = yield* box.createFolder("2026", yield* box.createFolder("第三季度", projects))
  const places = ["inbox", "inbox", "inbox", "sent", "archive", projects, "trash", "inbox", deep, "junk"]
  for (let n = 0; n < messages; n++) {
    yield* box.deliver({ subject: `Letter ${n}`, place: places[n % places.length]!, isRead: n % 3 === 0 })
  }
})

/**
 * @param hidden capabilities that the proxy does not let through
 * @param messages that each mailbox holds to begin with
 */
export const imapRemoteOn = (dovecot: Layer.Layer<Dovecot>, hidden?: RegExp, messages = 40): Layer.Layer<Remote> =>
  Layer.effect(
    Remote,
    Effect.gen(function* () {
      const dovecot = yield* Dovecot
      const services = yield* Effect.context<Dovecot | Scope.Scope>()
      const proxy = yield* imapProxy(dovecot.port, hidden === undefined ? {} : { hidden })
      const gone = new Set<string>()
      const { valid } = dovecot.introspection
      const world: ImapWorld = {
        proxy,
        expireTokens: (email) => {
          for (const [token, whose] of valid) if (whose === email) valid.delete(token)
        },
        setGone: (email, isGone) => {
          if (!isGone) return void gone.delete(email)
          gone.add(email)
          world.expireTokens(email)
        },
      }
      let next = 0
      return Remote.of({
        channel: "imap",
        provider: "microsoft",
        foldersHoldMail: true,
        classOf: { locked: "transient", gone: "unknown" },
        settings: { outlookImap: proxy.url },
        open: Effect.gen(function* () {
          const box = yield* imapBox(world, `user${++next}@imap.example`, newId())
          yield* furnish(box, messages)
          return box
        }).pipe(Effect.provide(services)),
        redeem: (email) =>
          Effect.sync(() => {
            const token = `token-${newId()}`
            if (!gone.has(email)) valid.set(token, email)
            return {
              token: Redacted.make(token),
              resource: "outlook-imap",
              expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), Duration.hours(1)),
            } satisfies AccessToken
          }),
      })
    }),
  ).pipe(Layer.provide(dovecot))

/** The same on a Dovecot of its own. */
export const imapRemote = (hidden?: RegExp): Layer.Layer<Remote> => imapRemoteOn(Dovecot.layer, hidden)
