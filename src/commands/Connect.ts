/** `connect`: somebody signs in, here or by a code on another machine, and the mailbox is an account. */
import { Console, DateTime, Deferred, Duration, Effect, Option } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Channel } from "../domain/Account.ts"
import { ConnectSession } from "../domain/ConnectSession.ts"
import { findAccounts } from "./AccountLookup.ts"
import { findApp } from "./AppLookup.ts"
import { Connection } from "./Connection.ts"
import { CommandError, SomeFailed } from "./ExitCode.ts"
import { given, json } from "./Flags.ts"
import { serve } from "./Listener.ts"
import { openInBrowser } from "./OpenInBrowser.ts"
import { printJson } from "./Report.ts"
import { printable } from "./Text.ts"

/** What of an answer of our server a browser is to see: the page, and what it is held to. */
const passedOn = [
  "content-type",
  "content-security-policy",
  "referrer-policy",
  "x-content-type-options",
  "cache-control",
]

/** Who is to sign in with which app: an account by its address, which is revived, or an app. */
const whom = Effect.fnUntraced(function* (who: string) {
  const { ask, client: { api } } = yield* Connection
  const found = yield* Effect.option(findAccounts(who))
  if (Option.isNone(found) && !who.includes("@")) {
    const app = yield* findApp(who)
    return { appId: app.id, provider: app.provider }
  }
  const [account, another] = yield* Option.isSome(found) ? Effect.succeed(found.value) : findAccounts(who)
  if (account === undefined || another !== undefined) {
    return yield* new CommandError({ message: `several accounts have the address ${who}: name one by its id` })
  }
  const { appId } = yield* ask(api.grants.get({ params: { id: account.grantId } }))
  return { appId, provider: account.provider, accountId: account.id }
})

/**
 * Sets out on a link as a browser would, and bears its cookie: so the browser itself needs to see the provider only, and then a
 * port of this machine (RFC 8252 §7.3).
 */
const depart = Effect.fnUntraced(function* (link: string) {
  const { url } = yield* Connection
  const response = yield* Effect.tryPromise({
    try: () => fetch(`${url}/connect/${link.slice(link.lastIndexOf("/") + 1)}`, { method: "POST", redirect: "manual" }),
    catch: () => new CommandError({ message: `no server answers at ${url}` }),
  })
  yield* Effect.promise(() => response.text())
  const location = response.headers.get("location")
  const cookie = response.headers.getSetCookie()[0]?.split(";")[0]
  const state = location === null || !/^https?:/.test(location) ? null : new URL(location).searchParams.get("state")
  if (response.status !== 303 || location === null || cookie === undefined || state === null) {
    return yield* new CommandError({ message: "the server cannot send anybody to the provider: its log says why" })
  }
  return { location, cookie, state }
})

/** Hands on what the provider sent, and answers with the page that tells how it ended. */
const handOn = async (url: string, cookie: string, request: Request): Promise<Response> => {
  const { search } = new URL(request.url)
  const answer = await fetch(`${url}/connect/callback${search}`, {
    redirect: "manual",
    headers: { cookie, "accept-language": request.headers.get("accept-language") ?? "en" },
  })
  const headers = passedOn.flatMap((name): Array<[string, string]> => {
    const value = answer.headers.get(name)
    return value === null ? [] : [[name, value]]
  })
  return new Response(await answer.text(), { status: answer.status, headers })
}

/** How the session stands. */
const sessionOf = Effect.fnUntraced(function* (id: string) {
  const { ask, client: { api } } = yield* Connection
  return yield* ask(api.connectSessions.get({ params: { id } }))
})

interface Wanted {
  readonly appId: string
  readonly provider: "microsoft" | "google"
  readonly accountId?: string
  readonly expectedEmail?: string
  readonly tags?: ReadonlyArray<string>
  readonly channel?: Channel
}

const payloadOf = ({ provider: _, ...payload }: Wanted) => payload

const byBrowser = Effect.fnUntraced(function* (wanted: Wanted) {
  const { ask, client: { api }, url } = yield* Connection
  const returned = yield* Deferred.make<void>()
  // Anything on this machine can ask at the port: only the browser that comes from the provider knows the state.
  const cookies = new Map<string, string>()
  const { port } = yield* serve({ host: "127.0.0.1", port: 0 }, async (request) => {
    const cookie = cookies.get(new URL(request.url).searchParams.get("state") ?? "")
    if (request.method !== "GET" || cookie === undefined) return new Response("Not found\n", { status: 404 })
    const page = await handOn(url, cookie, request)
    Deferred.doneUnsafe(returned, Effect.void)
    return page
  })
  // As each of them wants a port of the machine to be registered: Microsoft by name, Google by number.
  const redirectUri = `http://${wanted.provider === "microsoft" ? "localhost" : "127.0.0.1"}:${port}`
  const { body: session } = yield* ask(api.connectSessions.create({ payload: { ...payloadOf(wanted), redirectUri } }))
  const { cookie, location, state } = yield* depart(session.url ?? "")
  cookies.set(state, cookie)
  yield* Console.error(`sign in here: ${location}`)
  yield* openInBrowser(location)
  const left = DateTime.toEpochMillis(session.expiresAt) - DateTime.toEpochMillis(yield* DateTime.now)
  yield* Effect.timeoutOption(Deferred.await(returned), Duration.millis(Math.max(0, left)))
  return yield* sessionOf(session.id)
}, Effect.scoped)

const byCode = Effect.fnUntraced(function* (wanted: Wanted) {
  const { ask, client: { api } } = yield* Connection
  const { body: { id } } = yield* ask(api.connectSessions.create({ payload: payloadOf(wanted) }))
  const params = { id }
  const { interval, userCode, verificationUri } = yield* ask(api.connectSessions.startDevice({ params }))
  yield* Console.error(`open ${verificationUri} and enter the code ${userCode}`)
  while (true) {
    yield* Effect.sleep(Duration.seconds(interval))
    const session = yield* ask(api.connectSessions.pollDevice({ params }))
    if (session.state !== "started") return session
  }
})

const report = Effect.fnUntraced(function* (session: ConnectSession, asJson: boolean) {
  const { ask, client: { api } } = yield* Connection
  const { connectedAccountId: id, error, state } = session
  if (asJson) yield* printJson(ConnectSession, session)
  if (state === "connected" && id !== undefined) {
    const account = yield* ask(api.accounts.get({ params: { id } }))
    if (!asJson) yield* Console.log(printable(`connected: ${account.email} (${account.id}), ${account.status}`))
    return
  }
  if (!asJson) {
    yield* Console.log(
      error === undefined
        ? "nobody has signed in in time; to try again, run the command again"
        : `refused: ${error.code}: ${error.message}`,
    )
  }
  return yield* new SomeFailed()
})

export const connect = Command.make(
  "connect",
  {
    who: Argument.String("app-or-address").pipe(
      Argument.withDescription(
        "The app to sign in with, by its id or client id; or an account to revive, by its address or id",
      ),
    ),
    device: Flag.Boolean("device").pipe(
      Flag.withDescription("By a code that is entered on another machine (Microsoft)"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    expect: Flag.String("expect").pipe(
      Flag.withDescription("The address of who is to sign in; anybody else is refused"),
      Flag.optional,
    ),
    channel: Flag.Literals("channel", Channel.literals).pipe(
      Flag.withDescription("How a new account is read"),
      Flag.optional,
    ),
    tag: Flag.String("tag").pipe(Flag.withDescription("A tag for the account; may be repeated"), Flag.atLeast(0)),
    json,
  },
  Effect.fnUntraced(function* ({ channel, device, expect, json, tag, who }) {
    const wanted: Wanted = {
      ...(yield* whom(who)),
      ...given("expectedEmail", expect),
      ...given("channel", channel),
      ...(tag.length === 0 ? {} : { tags: tag }),
    }
    yield* report(yield* device ? byCode(wanted) : byBrowser(wanted), json)
  }),
).pipe(
  Command.withDescription(
    "Sign in to a mailbox, and make it an account or revive it. The browser comes back to a port of this machine: register " +
      "http://localhost at Microsoft (platform: mobile and desktop applications); Google's desktop clients need nothing.",
  ),
  Command.withShortDescription("Sign in to a mailbox"),
  Command.withExamples([
    { command: "mailfleet connect 11111111-2222-3333-4444-555555555555", description: "A new account" },
    { command: "mailfleet connect ada@contoso.example", description: "An account that needs its user" },
    {
      command: "mailfleet connect 11111111-2222-3333-4444-555555555555 --device",
      description: "Without a browser here",
    },
  ]),
  Command.provide(Connection.layer),
)
