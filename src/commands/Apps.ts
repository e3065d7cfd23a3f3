/** `apps`: OAuth clients, their secrets and keys. */
import { Console, DateTime, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { DuplicateApp } from "../api/Problems.ts"
import { Provider } from "../domain/Account.ts"
import { App } from "../domain/App.ts"
import { findApp } from "./AppLookup.ts"
import { appFlags, fieldsOf, readSecret, secretExpires } from "./AppFlags.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table } from "./Text.ts"

const AppPage = Schema.Struct({ items: Schema.Array(App), nextCursor: Schema.NullOr(Schema.String) })

const header = ["PROVIDER", "CLIENT ID", "TENANT", "SECRET", "EXPIRES", "ID", "CREATED"]

const proofOf = (app: App): string =>
  app.hasSecret
    ? "yes"
    : app.certificate !== undefined
    ? "certificate"
    : app.serviceAccount !== undefined
    ? "key"
    : "no"

const expiryOf = ({ certificate, secretExpiresAt }: App, now: DateTime.DateTime): string => {
  const end = certificate?.expiresAt ?? secretExpiresAt
  return end === undefined ? "-" : relative(end, now)
}

const row = (app: App, now: DateTime.DateTime): ReadonlyArray<string> => [
  app.provider,
  app.clientId,
  app.tenant || "-",
  proofOf(app),
  expiryOf(app, now),
  app.id,
  relative(app.createdAt, now),
]

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
    ...appFlags,
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const payload = {
      provider: flags.provider,
      clientId: flags.clientId,
      ...given("tenant", flags.tenant),
      ...yield* fieldsOf(flags),
      ...(flags.confidential ? { secret: yield* readSecret } : {}),
    }
    const { body } = yield* api.apps.create({ payload }).pipe(
      Effect.catchIf(
        (error) => error instanceof DuplicateApp,
        ({ appId }) =>
          Effect.fail(
            new CommandError({
              message:
                `the app is there already; to give it a secret: mailfleet apps set-secret ${appId}; to change it: mailfleet apps update ${appId}`,
            }),
          ),
      ),
      ask,
    )
    yield* show(body, flags.json)
  }),
).pipe(
  Command.withDescription(
    "Add an app. Rows of imports that name it use its secret or certificate. A public app needs no adding: an import makes " +
      "one of any that it names.",
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
    {
      command: "mailfleet apps add microsoft 11111111-2222-3333-4444-555555555555 --certificate app.pem",
      description: "With a certificate and its key, from a file",
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
    secretExpires,
    json,
  },
  Effect.fnUntraced(function* ({ json, remove, secretExpires, which }) {
    const { ask, client: { api } } = yield* Connection
    const { id } = yield* findApp(which)
    const payload = {
      secret: remove ? null : yield* readSecret,
      ...given("secretExpiresAt", Option.map(secretExpires, DateTime.fromDateUnsafe)),
    }
    yield* show(yield* ask(api.apps.update({ params: { id }, payload })), json)
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

/** Fields that can be taken away, by the names of their flags. */
const removable = {
  authority: "authority",
  "redirect-uri": "redirectUri",
  scopes: "scopes",
  secret: "secret",
  "secret-expires": "secretExpiresAt",
  certificate: "certificate",
  "service-account-key": "serviceAccountKey",
} as const

type Removable = keyof typeof removable

const update = Command.make(
  "update",
  {
    which: Argument.String("app").pipe(Argument.withDescription("Its id or its client id")),
    ...appFlags,
    secret: Flag.Boolean("secret").pipe(
      Flag.withDescription("It gets another secret, which comes in MAILFLEET_APP_SECRET or on standard input"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    remove: Flag.Literals("remove", Object.keys(removable) as Array<Removable>).pipe(
      Flag.withDescription("Take this away; may be repeated"),
      Flag.atLeast(0),
    ),
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const fields = {
      ...Object.fromEntries(flags.remove.map((flag) => [removable[flag], null])),
      ...yield* fieldsOf(flags),
    }
    if (Object.keys(fields).length === 0 && !flags.secret) {
      return yield* new CommandError({ message: "say what to change: see mailfleet apps update --help" })
    }
    const { id } = yield* findApp(flags.which)
    const payload = { ...fields, ...(flags.secret ? { secret: yield* readSecret } : {}) }
    yield* show(yield* ask(api.apps.update({ params: { id }, payload })), flags.json)
  }),
).pipe(
  Command.withDescription(
    "Change an app: only what is given. The next redemption uses it; where the provider has refused the app, it is tried " +
      "again at once.",
  ),
  Command.withShortDescription("Change an app"),
  Command.withExamples([
    {
      command: "mailfleet apps update 11111111-2222-3333-4444-555555555555 --certificate app.pem --remove secret",
      description: "A certificate in place of the secret",
    },
    {
      command: 'mailfleet apps update 11111111-2222-3333-4444-555555555555 --scopes graph="Mail.Read User.Read"',
      description: "Other scopes of Microsoft Graph",
    },
  ]),
)

export const apps = Command.make("apps", { limit, json }, listApps).pipe(
  Command.withDescription("List OAuth apps, oldest first. Their secrets and keys are never shown."),
  Command.withShortDescription("List OAuth apps; add one, or change it"),
  Command.withExamples([{ command: "mailfleet apps" }]),
  Command.withSubcommands([list, add, update, setSecret]),
  Command.provide(Connection.layer),
)
