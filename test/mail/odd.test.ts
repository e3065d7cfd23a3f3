/** Broken, hostile and huge mail: each message is stored, or refused with a reason, and none keeps the others away. */
import { assert } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { make } from "../../src/simulator/Simulator.ts"
import { onDatabases } from "../support/databases.ts"
import { Dovecot, hasDovecot } from "../support/dovecot.ts"
import { changesOf, mailStorage, makeAccount } from "../support/mail.ts"
import { oddMail, oddResources } from "../support/oddMail.ts"
import { Remote } from "../support/remote.ts"
import { imapRemoteOn } from "../support/remoteImap.ts"
import { syncingOver } from "../support/remoteMail.ts"
import { graphOver, plainTokens, Provider, serve, simulatedAccount } from "../support/simulator.ts"

/** Fields that stand in for those of messages, by immutable id. */
const overlays = new Map<string, Record<string, unknown>>()

/** The same answer with the overlays in it, in lists and batches too. A field that was not asked for does not come. */
const overlaid = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(overlaid)
  if (typeof value !== "object" || value === null) return value
  const object = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, overlaid(inner)]))
  const overlay = typeof object["id"] === "string" ? overlays.get(object["id"]) : undefined
  if (overlay === undefined) return object
  return { ...object, ...Object.fromEntries(Object.entries(overlay).filter(([name]) => name in object)) }
}

const oddProvider: Layer.Layer<Provider> = Layer.effect(
  Provider,
  Effect.gen(function* () {
    const simulator = yield* make({ oddPages: 0, messages: 5 })
    const origin = yield* serve(async (request) => {
      const response = await simulator.handler(request)
      if (!new URL(request.url).pathname.startsWith("/v1.0/") || !response.ok) return response
      return Response.json(overlaid(await response.json()), response)
    })
    return { simulator, origin, grants: new Map() }
  }),
)

/** Megabytes that this process holds. */
const resident = () => Deno.memoryUsage().rss / 2 ** 20

/** Runs it, and answers by how many megabytes memory grew meanwhile. */
const growth = <A, E, R>(work: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const before = resident()
    let peak = before
    const timer = setInterval(() => peak = Math.max(peak, resident()), 20)
    yield* Effect.ensuring(work, Effect.sync(() => clearInterval(timer)))
    return Math.max(peak, resident()) - before
  })

const graph = SyncAccount.layer.pipe(
  Layer.provideMerge(Layer.unwrap(Effect.map(Provider, ({ origin }) => graphOver(origin)))),
  Layer.provide([plainTokens, SyncPace.layer]),
  Layer.provideMerge(oddProvider),
  Layer.provideMerge(Layer.orDie(Settings.layerWith({}))),
  Layer.provideMerge(mailStorage),
)

/** Every message of the account can be read, and each whose text is not whole says why. */
const readable = Effect.fnUntraced(function* (accountId: string) {
  const store = yield* Messages
  const read = []
  for (let cursor: string | undefined = undefined;;) {
    const page: { readonly items: ReadonlyArray<{ readonly id: string }>; readonly nextCursor: string | null } =
      yield* Effect.orDie(store.list({ accountId, limit: 500, cursor }))
    for (const { id } of page.items) {
      const message = yield* Effect.flatMap(store.get(id), (found) => Effect.fromOption(found))
      // What is stored can be sent: no text is torn, no time is none.
      assert.strictEqual(JSON.stringify(message).isWellFormed(), true)
      read.push(message)
    }
    if (page.nextCursor === null) return read
    cursor = page.nextCursor
  }
})

/** Puts messages into a Maildir as they are: no command of IMAP's would take some of them. */
const deliverRaw = async (maildir: string, mail: ReadonlyArray<{ readonly raw: Uint8Array }>) => {
  for (const [n, { raw }] of mail.entries()) {
    const path = `${maildir}/new/${1_790_000_000 + n}.M${n}.odd`
    await Deno.writeFile(path, raw)
    // Debian's user `mail`, whom Dovecot reads as where it runs as root.
    if (Deno.uid() === 0) await Deno.chown(path, 8, 8)
  }
}

/** Where mail is delivered to, below any IMAP. */
class Maildir extends Context.Service<Maildir, (user: string) => string>()("test/Maildir") {}

const imap = Layer.unwrap(Effect.gen(function* () {
  const dovecot = Context.get(yield* Layer.build(Dovecot.layer), Dovecot)
  const shared = Layer.succeed(Dovecot, dovecot)
  return Layer.mergeAll(
    syncingOver(imapRemoteOn(shared, undefined, 3)),
    Layer.succeed(Maildir, dovecot.maildir),
    mailStorage,
  )
}))

if (hasDovecot) {
  await onDatabases("Odd mail over IMAP", imap, (it) => {
    it.effect("is stored, or refused with a reason, and keeps nobody away", () =>
      Effect.gen(function* () {
        const maildir = yield* Maildir
        const box = yield* (yield* Remote).open
        const account = yield* makeAccount({ email: box.email, clientId: box.clientId, channel: "imap" })
        const program = yield* SyncAccount
        const odd = oddMail()
        yield* Effect.promise(() => deliverRaw(maildir(box.email), odd))
        yield* box.deliver({ subject: "quite ordinary" })
        const grown = yield* growth(program.sync(account.id))
        const all = yield* readable(account.id)
        assert.strictEqual(all.length, 3 + odd.length + 1)
        for (const { bodyReason, bodyState, subject } of all) {
          assert.include(["complete", "truncated", "refused"], bodyState, subject)
          if (bodyState !== "complete") assert.match(bodyReason ?? "", /\w/, subject)
        }
        const bySubject = Map.groupBy(all, ({ subject }) => subject)
        for (const { name, subject, text } of odd) {
          if (subject === undefined) continue
          const found = bySubject.get(subject)
          assert.isDefined(found, name)
          if (text === undefined || found === undefined) continue
          assert.isTrue(found.some((one) => one.bodyState === "refused" || one.text?.includes(text) === true), name)
        }
        assert.isTrue(bySubject.has("quite ordinary"))
        assert.isBelow(grown, 1_500, "megabytes")

        assert.deepStrictEqual(yield* program.sync(account.id), { changes: 0 })
        assert.strictEqual((yield* changesOf(account.id)).length, all.length)
        yield* box.loseCursors
        assert.deepStrictEqual(yield* program.sync(account.id), { changes: 0 })
      }), 240_000)
  })
}

await onDatabases("Odd mail at Graph", graph, (it) => {
  it.effect("is stored, or refused with a reason, and keeps nobody away", () =>
    Effect.gen(function* () {
      const { simulator } = yield* Provider
      const account = yield* simulatedAccount(1)
      const program = yield* SyncAccount
      const odd = oddResources()
      for (const { fields, name } of odd) {
        const [state] = simulator.deliver(account.email, { subject: name })
        overlays.set(state!.id, fields)
      }
      simulator.deliver(account.email, { subject: "quite ordinary" })
      const grown = yield* growth(program.sync(account.id))
      const all = yield* readable(account.id)
      assert.strictEqual(all.length, simulator.mailbox(account.email).messages.length)
      assert.isTrue(all.some(({ subject }) => subject === "quite ordinary"))
      assert.isBelow(grown, 900, "megabytes")

      assert.deepStrictEqual(yield* program.sync(account.id), { changes: 0 })
      assert.strictEqual((yield* changesOf(account.id)).length, all.length)
      // All of them once more, by another way.
      simulator.expireCursors(account.email)
      assert.deepStrictEqual(yield* program.sync(account.id), { changes: 0 })
    }), 120_000)
})
