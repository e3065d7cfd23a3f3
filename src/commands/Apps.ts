/** `apps`: OAuth clients, and the secrets of those that have one. */
import { Config, Console, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { DuplicateApp } from "../api/Problems.ts"
import { Provider } from "../domain/Account.ts"
import { App } from "../domain/App.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table } from "./Text.ts"

const AppPage = Schema.Struct({ items: Schema.Array(App), nextCursor: Schema.NullOr(Schema.String) })

const header = ["PROVIDER", "CLIENT ID", "TENANT", "SECRET", "ID", "CREATED"]

const row = (app: App, now: DateTime.DateTime): ReadonlyArray<string> => [
  app.provider,
  app.clientId,
  app.tenant || "-",
  app.hasSecret ? "yes" : "no",
  app.id,
  relative(app.createdAt, now),
]

/** Longer than any secret: what follows is not read. */
const mostRead = 10_000

const fromStandardInput = Effect.tryPromise({
  try: async () => {
    let text = ""
    for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      text += piece
      if (text.length > mostRead) break
    }
    return text
  },
  catch: () => new CommandError({ message: "standard input cannot be read" }),
})

const noSecret = new CommandError({
  message: "give the secret in MAILFLEET_APP_SECRET or on standard input, such as: < secret.txt",
})

const fromEnvironment = Config.String("MAILFLEET_APP_SECRET").pipe(
  Config.option,
  Effect.map(Option.filter((text) => text.trim() !== "")),
  Effect.mapError(() => new CommandError({ message: "MAILFLEET_APP_SECRET cannot be read" })),
)

/** From the environment, else from standard input: arguments are seen by whoever lists processes. */
const readSecret = Effect.gen(function* () {
  const environment = yield* fromEnvironment
  if (Option.isSome(environment)) return Redacted.make(environment.value)
  if (Deno.stdin.isTerminal()) return yield* noSecret
  const text = yield* fromStandardInput
  return text.trim() === "" ? yield* noSecret : Redacted.make(text)
})

const listApps = Effect.fnUntraced(function* (flags: { readonly limit: number; readonly json: boolean }) {
  const { ask, client: { api } } = yield* Connection
  const found = yield* ask(firstOf(flags.limit, (page) => api.apps.list({ query: page })))
  if (flags.json) return yield* printJson(AppPage, found)
  if (found.items.length === 0) return yield* Console.error("no apps")
  const now = yield* DateTime.now
  yield* Console.log(table([header, ...found.items.map((app) => row(app, now))]))
  if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
})

const list = Command.make("list", { limit, json }, listApps).pipe(
  Command.withDescription("List apps, oldest first; what apps alone does too."),
  Command.withShortDescription("List apps"),
)

/** The app of an id or a client id. */
const findApp = Effect.fnUntraced(function* (
  which: string,
): Effect.fn.Return<App, CommandError, Connection> {
  const { ask, client: { api } } = yield* Connection
  const { items } = yield* ask(firstOf(Infinity, (page) => api.apps.list({ query: page })))
  const named = which.toLowerCase()
  const found = items.filter(({ clientId, id }) => id === named || clientId.toLowerCase() === named)
  if (found.length === 1) return found[0]!
  return yield* new CommandError({
    message: found.length === 0
      ? `no app has the id or client id ${which}`
      : `${found.length} apps have the client id ${which}, at different tenants: name one by its id (see mailfleet apps)`,
  })
})

const show = Effect.fnUntraced(function* (app: App, asJson: boolean) {
  if (asJson) return yield* printJson(App, app)
  yield* Console.log(table([header, row(app, yield* DateTime.now)]))
})

const add = Command.make(
  "add",
  {
    provider: Argument.Literals("provider", Provider.literals).pipe(Argument.withDescription("Whose app it is")),
    clientId: Argument.String("client-id").pipe(Argument.withDescription("Its client id")),
    tenant: Flag.String("tenant").pipe(
      Flag.withDescription("Its tenant at Microsoft. Unless given, that of accounts which name none"),
      Flag.optional,
    ),
    confidential: Flag.Boolean("confidential").pipe(
      Flag.withDescription("It has a secret, which comes in MAILFLEET_APP_SECRET or on standard input"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const payload = {
      provider: flags.provider,
      clientId: flags.clientId,
      ...given("tenant", flags.tenant),
      ...(flags.confidential ? { secret: yield* readSecret } : {}),
    }
    const { body } = yield* api.apps.create({ payload }).pipe(
      Effect.catchIf(
        (error) => error instanceof DuplicateApp,
        ({ appId }) =>
          Effect.fail(
            new CommandError({
              message: `the app is there already; to give it a secret: mailfleet apps set-secret ${appId}`,
            }),
          ),
      ),
      ask,
    )
    yield* show(body, flags.json)
  }),
).pipe(
  Command.withDescription(
    "Add an app. Rows of imports that name it use its secret. A public app needs no adding: an import makes one of any that " +
      "it names.",
  ),
  Command.withShortDescription("Add an app"),
  Command.withExamples([
    {
      command: "mailfleet apps add google 1234.apps.googleusercontent.com --confidential < secret.txt",
      description: "With its secret, from a file",
    },
    {
      command: "mailfleet apps add microsoft 11111111-2222-3333-4444-555555555555 --tenant contoso.example",
      description: "A public client of one tenant",
    },
  ]),
)

const setSecret = Command.make(
  "set-secret",
  {
    which: Argument.String("app").pipe(Argument.withDescription("Its id or its client id")),
    remove: Flag.Boolean("remove").pipe(
      Flag.withDescription("Take the secret away: the app is a public client"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    json,
  },
  Effect.fnUntraced(function* ({ which, remove, json }) {
    const { ask, client: { api } } = yield* Connection
    const { id } = yield* findApp(which)
    const secret = remove ? null : yield* readSecret
    yield* show(yield* ask(api.apps.update({ params: { id }, payload: { secret } })), json)
  }),
).pipe(
  Command.withDescription(
    "Give an app another secret, from MAILFLEET_APP_SECRET or standard input. The next redemption uses it; where the " +
      "provider has refused the app, it is tried again at once.",
  ),
  Command.withShortDescription("Give an app its secret"),
  Command.withExamples([
    { command: "mailfleet apps set-secret 1234.apps.googleusercontent.com < secret.txt", description: "From a file" },
    { command: "mailfleet apps set-secret 1234.apps.googleusercontent.com --remove", description: "A public client" },
  ]),
)

export const apps = Command.make("apps", { limit, json }, listApps).pipe(
  Command.withDescription("List OAuth apps, oldest first. Their secrets are never shown."),
  Command.withShortDescription("List OAuth apps; add one, or set its secret"),
  Command.withExamples([{ command: "mailfleet apps" }]),
  Command.withSubcommands([list, add, setSecret]),
  Command.provide(Connection.layer),
)
