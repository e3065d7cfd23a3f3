/** Where the equality test is played: a provider for each channel. */
import { Context, Effect, Layer } from "effect"
import { settings } from "../../src/simulator/Options.ts"
import { make, Simulator } from "../../src/simulator/Simulator.ts"
import { World } from "../../src/simulator/World.ts"
import { Dovecot, hasDovecot } from "../support/dovecot.ts"
import { imapProxy } from "../support/imapProxy.ts"
import { serveSimulator } from "../support/processes.ts"
import { furnish, imapBox, type ImapWorld } from "../support/remoteImap.ts"
import { addressOf, simulatedBox, type SimulatedChannel } from "../support/remoteSimulated.ts"
import type { EqualityOptions } from "./equality.ts"

type StageOf = EqualityOptions["stage"]

const messages = 100

const simulated = (channel: SimulatedChannel): StageOf => (mailboxes) =>
  Effect.gen(function* () {
    const simulator = yield* make({
      accounts: mailboxes,
      googleAccounts: channel === "gmail" ? mailboxes : 0,
      messages,
      oddPages: 0.1,
    })
    const origin = yield* serveSimulator(simulator)
    return {
      settings: { MAILFLEET_GOOGLE_TOKEN_URL: `${origin}/google/token`, MAILFLEET_GMAIL_URL: `${origin}/gmail/v1` },
      origin,
      apps: channel === "gmail" ? [simulator.account(addressOf(1, channel))] : [],
      file: [...simulator.importLines()].join(""),
      boxes: Array.from({ length: mailboxes }, (_, n) => simulatedBox(simulator, addressOf(n + 1, channel), channel)),
    }
  })

/** Tokens are the simulator's, and Dovecot asks it whose they are. */
const imap: StageOf = (mailboxes) =>
  Effect.gen(function* () {
    const now = () => Date.now()
    const world = new World(settings({ accounts: mailboxes, messages: 0 }, now()), now)
    const simulator = new Simulator(world)
    const context = yield* Layer.build(Dovecot.layer)
    const dovecot = Context.get(context, Dovecot)
    dovecot.introspection.believes = (token) => {
      const read = world.grants.readAccessToken(token)
      return read === undefined || read.issuedAt < world.grants.get(read.index).accessNotBefore
        ? undefined
        : world.population.email(read.index)
    }
    const proxy = yield* imapProxy(dovecot.port)
    const provider: ImapWorld = {
      proxy,
      expireTokens: (email) => simulator.withdrawAccessTokens(email),
      setGone: () => {},
    }
    const boxes = yield* Effect.forEach(
      Array.from({ length: mailboxes }, (_, n) => addressOf(n + 1, "graph")),
      (email) => imapBox(provider, email, simulator.account(email).clientId),
    ).pipe(Effect.provideContext(context))
    yield* Effect.forEach(boxes, (box) => furnish(box, messages), { concurrency: 2 })
    const [head = "", ...rows] = simulator.importLines()
    return {
      settings: { MAILFLEET_OUTLOOK_IMAP: proxy.url },
      origin: yield* serveSimulator(simulator),
      apps: [],
      file: [`${head.trim()},channel\n`, ...rows.map((row) => `${row.trim()},imap\n`)].join(""),
      boxes,
    }
  })

export const stages: Readonly<Record<string, StageOf>> = {
  graph: simulated("graph"),
  gmail: simulated("gmail"),
  ...(hasDovecot ? { imap } : {}),
}
