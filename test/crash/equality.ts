/**
 * Mailboxes in which anything may happen at any time, and a process that keeps them in step and is killed again and again. In
 * the end the store must equal the mailboxes, and so must what the change log tells to somebody who begins with nothing.
 */
import { Data, Effect, Schema, type Scope } from "effect"
import { Account, type Provider } from "../../src/domain/Account.ts"
import { Change, Folder, Message, MessageWithBody } from "../../src/domain/Mail.ts"
import type { Engine } from "../support/engines.ts"
import { all, ended, install, leasesEnd, type Service, startOverAll, upload, type Use } from "../support/processes.ts"
import { isOwn, lineOf, placesOf, type RemoteBox, type RemoteMail, replay, storedLines } from "../support/remote.ts"

/** A provider for a process of Mailfleet, with some mailboxes. */
export interface Stage {
  /** Settings that lead to it. */
  readonly settings: Readonly<Record<string, string>>
  /** Where Microsoft's token endpoint is. */
  readonly origin: string
  /** Apps that have a secret. */
  readonly apps: ReadonlyArray<
    { readonly provider: Provider; readonly clientId: string; readonly clientSecret: string | null }
  >
  /** An import file of the accounts. */
  readonly file: string
  readonly boxes: ReadonlyArray<RemoteBox>
}

export interface EqualityOptions {
  readonly name: string
  readonly engine: Engine
  readonly stage: (mailboxes: number) => Effect.Effect<Stage, unknown, Scope.Scope>
  readonly mailboxes: number
  readonly operations: number
  /** On average. */
  readonly operationsBetweenKills: number
  readonly seed: number
}

export interface Equality {
  readonly name: string
  readonly engine: Engine
  readonly seed: number
  readonly seconds: number
  /** By kind. */
  readonly operations: Readonly<Record<string, number>>
  readonly kills: number
  readonly messages: number
  /** Entries of the change log by kind. */
  readonly entries: Readonly<Record<string, number>>
  /** What differs: nothing, if all is well. */
  readonly differences: ReadonlyArray<string>
}

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

/** How often each operation comes, relative to the others. */
const weights = {
  deliver: 300,
  read: 200,
  flag: 150,
  move: 220,
  remove: 100,
  "create folder": 8,
  "rename folder": 8,
  "remove folder": 3,
  "lose cursors": 3,
  throttle: 10,
  "expire tokens": 5,
}
export type Operation = keyof typeof weights

const operations = Object.keys(weights) as ReadonlyArray<Operation>
const total = Object.values(weights).reduce((sum, weight) => sum + weight, 0)

/** One mailbox, and what the driver knows to be in it. */
export class Owner {
  private mail: Array<RemoteMail> = []
  private places: ReadonlyArray<string> = []
  private named = 0

  constructor(readonly box: RemoteBox, private readonly chance: () => number) {}

  readonly look = Effect.gen({ self: this }, function* () {
    this.mail = [...yield* this.box.mail]
    this.places = yield* this.box.targets
  })

  private pick<A>(from: ReadonlyArray<A>): A | undefined {
    return from[Math.floor(this.chance() * from.length)]
  }

  /** False where there is nothing to do it to. */
  act(operation: Operation, n: number): Effect.Effect<boolean> {
    return Effect.gen({ self: this }, function* () {
      const { box, places } = this
      const at = Math.floor(this.chance() * this.mail.length)
      const mail = this.mail[at]
      switch (operation) {
        case "deliver": {
          const place = this.chance() < 0.6 ? "inbox" : this.pick(places)!
          this.mail.push(yield* box.deliver({ subject: `Operation ${n}`, place, isRead: this.chance() < 0.2 }))
          return true
        }
        case "read":
          if (mail === undefined) return false
          this.mail[at] = yield* box.edit(mail, { isRead: !mail.isRead })
          return true
        case "flag":
          if (mail === undefined) return false
          this.mail[at] = yield* box.edit(mail, { isFlagged: !mail.isFlagged })
          return true
        case "move": {
          const place = this.pick(places.filter((place) => place !== mail?.place))
          if (mail === undefined || place === undefined) return false
          this.mail[at] = yield* box.move(mail, place)
          return true
        }
        case "remove":
          if (mail === undefined) return false
          yield* box.remove(mail)
          this.mail[at] = this.mail.at(-1)!
          this.mail.pop()
          return true
        case "create folder": {
          const within = this.chance() < 0.5 ? this.pick(places.filter(isOwn)) : undefined
          yield* box.createFolder(`Folder ${++this.named}`, within)
          yield* this.look
          return true
        }
        case "rename folder":
        case "remove folder": {
          const place = this.pick(places.filter(isOwn))
          if (place === undefined) return false
          if (operation === "rename folder") yield* box.renameFolder(place, `Folder ${++this.named}`)
          else yield* box.removeFolder(place)
          yield* this.look
          return true
        }
        case "lose cursors":
          yield* box.loseCursors
          return true
        case "throttle":
          yield* box.throttle(1 + Math.floor(this.chance() * 4))
          return true
        case "expire tokens":
          yield* box.expireTokens
          return true
      }
    })
  }
}

class NotQuiet extends Data.TaggedError("NotQuiet")<{ readonly message: string }> {}

/** Lets leases of the dead process end, and its claims on accounts that are due. */
const claimsEnd: Use<void, never> = (sql, table) =>
  Effect.andThen(
    leasesEnd(sql, table),
    Effect.orDie(sql`update ${table("accounts")} set sync_due_at = now() where sync_due_at > now()`),
  )

const Log = Schema.Struct({ items: Schema.Array(Change), nextCursor: Schema.String })

/** All of the change log. */
export const logOf = Effect.fnUntraced(function* (service: Service) {
  const log: Array<Change> = []
  for (let after = "";;) {
    const query: string = after === "" ? "" : `&after=${after}`
    const page: typeof Log.Type = yield* service.call(Log, `/v1/changes?limit=500${query}`)
    if (page.items.length === 0) return log
    log.push(...page.items)
    after = page.nextCursor
  }
})

/** Full rounds of all accounts, until `rounds` of them in a row have succeeded. */
export const quietRounds = Effect.fnUntraced(function* (service: Service, mailboxes: number, rounds: number) {
  for (let tries = 0, quiet = 0; quiet < rounds; tries++) {
    if (tries > 10) return yield* new NotQuiet({ message: `no round succeeds: ${service.output().slice(-2_000)}` })
    const run = yield* startOverAll(service, "sync")
    const { succeeded } = yield* ended(service, run.id, "10 minutes")
    quiet = succeeded >= mailboxes ? quiet + 1 : 0
  }
})

const missing = (what: string, these: ReadonlyArray<string>, those: ReadonlyArray<string>) => {
  const left = new Map<string, number>()
  for (const line of those) left.set(line, (left.get(line) ?? 0) + 1)
  return these.filter((line) => {
    const count = left.get(line) ?? 0
    left.set(line, count - 1)
    return count <= 0
  }).map((line) => `${what}: ${line}`)
}

/** What differs between a mailbox, the store and what the log tells. */
export const differencesOf = Effect.fnUntraced(function* (
  service: Service,
  box: RemoteBox,
  account: Account,
  told: ReadonlyMap<string, string>,
) {
  const remote = (yield* box.mail).map(lineOf)
  const folders = yield* all(service, Folder, `/v1/accounts/${account.id}/folders`)
  const messages = yield* all(service, Message, `/v1/accounts/${account.id}/messages`)
  const store = storedLines(folders, messages)
  const ids = [...told].filter(([, folder]) => folders.some(({ id }) => id === folder)).map(([id]) => id)
  const bodiless: Array<string> = []
  const read = yield* Effect.forEach(
    ids,
    (id) =>
      Effect.map(service.call(MessageWithBody, `/v1/messages/${id}`), (message) => {
        // Mail that the operations delivered says in its text what its subject is.
        if (message.subject.startsWith("Operation") && message.text?.includes(`About ${message.subject}`) !== true) {
          bodiless.push(`${box.email}: no text of ${message.subject}`)
        }
        return { ...message, folderId: told.get(id)! }
      }),
    { concurrency: 4 },
  )
  const replayed = storedLines(folders, read)
  const of = (what: string) => `${box.email}: ${what}`
  return {
    messages: messages.length,
    differences: [
      ...missing(of("not stored"), remote, store),
      ...missing(of("stored, but not there"), store, remote),
      ...missing(of("stored, but not told by the log"), store, replayed),
      ...missing(of("told by the log, but not stored"), replayed, store),
      ...folders.filter((folder) =>
        folder.messages !== messages.filter(({ folderId }) => folderId === folder.id).length
      )
        .map((folder) => of(`${folder.displayName} counts ${folder.messages}`)),
      ...missing(of("folder that is not there"), placesIn(folders), yield* box.places),
      ...bodiless,
    ],
  }
})

const placesIn = (folders: ReadonlyArray<Folder>) => [...placesOf(folders).values()]

export const equality = (options: EqualityOptions): Effect.Effect<Equality, unknown, Scope.Scope> =>
  Effect.gen(function* () {
    const begun = performance.now()
    const stage = yield* options.stage(options.mailboxes)
    const installation = yield* install(options.engine, stage.origin, {
      ...stage.settings,
      MAILFLEET_SYNC_EVERY: "1 second",
      MAILFLEET_SYNC_SPACING: "0 seconds",
    })
    const chance = random(options.seed)
    const owners = stage.boxes.map((box) => new Owner(box, chance))
    yield* Effect.forEach(owners, ({ look }) => look)

    let service = yield* installation.start()
    for (const { clientId, clientSecret, provider } of stage.apps) {
      const body = JSON.stringify({ provider, clientId, secret: clientSecret })
      const headers = { "content-type": "application/json" }
      yield* service.call(Schema.Unknown, "/v1/apps", { method: "POST", status: 201, headers, body })
    }
    const imported = yield* upload(service, stage.file)
    const { failed, succeeded } = yield* ended(service, imported.id)
    if (succeeded !== stage.boxes.length) {
      return yield* new NotQuiet({ message: `${failed} of ${stage.boxes.length} accounts could not be imported` })
    }

    const done: Record<string, number> = {}
    let kills = 0
    let untilKill = options.operationsBetweenKills
    for (let n = 1; n <= options.operations; n++) {
      const owner = owners[Math.floor(chance() * owners.length)]!
      let share = chance() * total
      const operation = operations.find((name) => (share -= weights[name]) < 0)!
      if (yield* owner.act(operation, n)) done[operation] = (done[operation] ?? 0) + 1
      // Rounds get in between.
      if (chance() < 0.3) yield* Effect.sleep(chance() * 80)
      if (--untilKill > 0 || n === options.operations) continue
      untilKill = Math.ceil(options.operationsBetweenKills * (0.5 + chance()))
      yield* service.kill
      kills++
      yield* installation.query(claimsEnd)
      service = yield* installation.start()
    }
    // What was refused is not refused for ever: backoffs of background work are no matter of this test.
    yield* quietRounds(service, options.mailboxes, 2)
    yield* service.stop
    service = yield* installation.start({ MAILFLEET_SCHEDULES: "off" })
    yield* quietRounds(service, options.mailboxes, 1)

    const log = yield* logOf(service)
    const accounts = yield* all(service, Account, "/v1/accounts")
    const differences: Array<string> = []
    const entries: Record<string, number> = {}
    let messages = 0
    for (const { box } of owners) {
      const account = accounts.find(({ email }) => email === box.email)
      if (account === undefined) return yield* new NotQuiet({ message: `${box.email} is not an account` })
      const { counts, faults, folders } = replay(log.filter(({ accountId }) => accountId === account.id))
      for (const [kind, count] of Object.entries(counts)) entries[kind] = (entries[kind] ?? 0) + count
      const found = yield* differencesOf(service, box, account, folders)
      messages += found.messages
      differences.push(...faults.map((fault) => `${box.email}: log: ${fault}`), ...found.differences)
    }
    yield* service.stop
    return {
      name: options.name,
      engine: options.engine,
      seed: options.seed,
      seconds: Math.round((performance.now() - begun) / 1_000),
      operations: done,
      kills,
      messages,
      entries,
      differences,
    }
  })

const counted = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).map(([name, count]) => `${count} ${name.replace("message.", "")}`).join(", ")

/** One line, and the first differences below it. */
export const summary = (outcome: Equality): string =>
  [
    `${outcome.name} on ${outcome.engine}, seed ${outcome.seed}, ${outcome.seconds} s: ${
      counted(outcome.operations)
    }; ` +
    `${outcome.kills} kills; log: ${counted(outcome.entries)}; ${outcome.messages} messages; ` +
    (outcome.differences.length === 0 ? "equal" : `${outcome.differences.length} DIFFERENCES`),
    ...outcome.differences.slice(0, 40).map((line) => `  ${line}`),
  ].join("\n")
