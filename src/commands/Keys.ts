/** `keys`: keys of a running server's API, and freshly made keys in the form that the settings take. */
import { generateX25519Identity, identityToRecipient } from "age-encryption"
import { Console, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { CreatedApiKey } from "../api/Keys.ts"
import { NotFound } from "../api/Problems.ts"
import { ApiKey, Scope } from "../domain/ApiKey.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { rotateEncryption } from "./RotateEncryption.ts"
import { relative, table, upcoming } from "./Text.ts"

const newEncryptionKey = Command.make(
  "new-encryption-key",
  {
    id: Flag.String("id").pipe(
      Flag.withDescription("Name of the key: 1 to 64 letters, digits, dots, underscores and dashes"),
      Flag.filter((id) => /^[\w.-]{1,64}$/.test(id), () => "1 to 64 letters, digits, dots, underscores and dashes"),
      Flag.withDefault("k1"),
    ),
  },
  ({ id }) => Console.log(`${id}:${randomBytes(32).toString("base64")}`),
).pipe(
  Command.withDescription(
    "Print a new key for MAILFLEET_ENCRYPTION_KEYS. To replace a key, put the new one, under another id, before the old one, " +
      "start all processes again, and run keys rotate-encryption.",
  ),
  Command.withShortDescription("Print a new key for MAILFLEET_ENCRYPTION_KEYS"),
  Command.withExamples([
    { command: "export MAILFLEET_ENCRYPTION_KEYS=$(mailfleet keys new-encryption-key)", description: "A first key" },
    { command: "mailfleet keys new-encryption-key --id k2", description: "A key to replace k1 with" },
  ]),
)

const newAdminKey = Command.make(
  "new-admin-key",
  {},
  () => Console.log(`mf_${Buffer.from(randomBytes(24)).toString("hex")}`),
).pipe(
  Command.withDescription("Print a new key for MAILFLEET_ADMIN_KEY: what clients send as MAILFLEET_API_KEY."),
  Command.withShortDescription("Print a new key for MAILFLEET_ADMIN_KEY"),
  Command.withExamples([
    { command: "export MAILFLEET_ADMIN_KEY=$(mailfleet keys new-admin-key)", description: "A key for the server" },
  ]),
)

const newBackupKey = Command.make(
  "new-backup-key",
  {},
  Effect.fnUntraced(function* () {
    const identity = yield* Effect.promise(generateX25519Identity)
    yield* Console.log(identity)
    yield* Console.error(
      `its public part, which only encrypts: ${yield* Effect.promise(() => identityToRecipient(identity))}`,
    )
  }),
).pipe(
  Command.withDescription(
    "Print a new key for MAILFLEET_BACKUP_KEY. Machines that only make backups need no more than its public part, which is " +
      "printed on standard error.",
  ),
  Command.withShortDescription("Print a new key for MAILFLEET_BACKUP_KEY"),
  Command.withExamples([{ command: "export MAILFLEET_BACKUP_KEY=$(mailfleet keys new-backup-key)" }]),
)

const ApiKeyPage = Schema.Struct({ items: Schema.Array(ApiKey), nextCursor: Schema.NullOr(Schema.String) })

const list = Command.make(
  "list",
  { limit, json },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const found = yield* ask(firstOf(flags.limit, (page) => api.keys.list({ query: page })))
    if (flags.json) return yield* printJson(ApiKeyPage, found)
    if (found.items.length === 0) return yield* Console.error("no API keys: only the admin key works")
    const now = yield* DateTime.now
    yield* Console.log(table([
      ["NAME", "KEY", "SCOPES", "LAST USED", "EXPIRES", "ID"],
      ...found.items.map(({ expiresAt, id, lastUsedAt, name, prefix, scopes }) => [
        name,
        `${prefix}…`,
        scopes.join(" "),
        relative(lastUsedAt, now),
        expiresAt !== null && DateTime.isLessThanOrEqualTo(expiresAt, now) ? "expired" : upcoming(expiresAt, now),
        id,
      ]),
    ]))
    if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
  }),
).pipe(
  Command.withDescription("List the API keys of the server. The keys themselves are never shown again."),
  Command.withShortDescription("List API keys"),
  Command.provide(Connection.layer),
)

const create = Command.make(
  "create",
  {
    name: Argument.String("name").pipe(Argument.withDescription("What the audit log calls whoever bears the key")),
    scopes: Flag.Literals("scope", Scope.literals).pipe(
      Flag.withDescription("What the key may be used for; may be given several times"),
      Flag.atLeast(1),
    ),
    expires: Flag.Date("expires").pipe(
      Flag.withDescription("When it stops working, such as 2027-01-31. Unless given, never"),
      Flag.optional,
    ),
    json,
  },
  Effect.fnUntraced(function* ({ expires, json, name, scopes }) {
    const { ask, client: { api } } = yield* Connection
    const created = yield* ask(
      api.keys.create({
        payload: { name, scopes, ...given("expiresAt", Option.map(expires, DateTime.fromDateUnsafe)) },
      }),
    )
    if (json) return yield* printJson(CreatedApiKey, created.body)
    yield* Console.error(`the key of ${name}; it is not shown again:`)
    yield* Console.log(Redacted.value(created.body.key))
  }),
).pipe(
  Command.withDescription("Make an API key. It is printed once, on standard output; the server keeps its hash."),
  Command.withShortDescription("Make an API key"),
  Command.withExamples([
    { command: "mailfleet keys create reporting --scope messages:read", description: "A key that reads mail" },
    { command: "mailfleet keys create prometheus --scope metrics:read", description: "A key that scrapes metrics" },
    { command: "mailfleet keys create ci --scope runs:write --scope accounts:read --expires 2027-01-31" },
  ]),
  Command.provide(Connection.layer),
)

const revoke = Command.make(
  "revoke",
  { id: Argument.String("id").pipe(Argument.withDescription("The id of the key, as `keys list` shows it")) },
  Effect.fnUntraced(function* ({ id }) {
    const { ask, client: { api } } = yield* Connection
    yield* api.keys.revoke({ params: { id } }).pipe(
      Effect.catchIf(
        (error) => error instanceof NotFound,
        () => Effect.fail(new CommandError({ message: "there is no API key with this id" })),
      ),
      ask,
    )
    yield* Console.log("revoked: the key is refused from now on")
  }),
).pipe(
  Command.withDescription(
    "Revoke an API key. It is refused at once, by other processes of the server within a second.",
  ),
  Command.withShortDescription("Revoke an API key"),
  Command.provide(Connection.layer),
)

export const keys = Command.make("keys").pipe(
  Command.withDescription(
    "Make, list and revoke the API keys of a running server, and rotate its encryption key; or print new keys for its settings, which take effect where the " +
      "settings name them.",
  ),
  Command.withShortDescription("API keys, and keys for the settings"),
  Command.withExamples([
    { command: "mailfleet keys create reporting --scope messages:read" },
    { command: "mailfleet keys new-admin-key" },
  ]),
  Command.withSubcommands([
    { group: "At a running server", commands: [create, list, revoke, rotateEncryption] },
    { group: "For the settings", commands: [newEncryptionKey, newAdminKey, newBackupKey] },
  ]),
)
