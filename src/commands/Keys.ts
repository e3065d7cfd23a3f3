/** `keys`: freshly made keys, in the form that the settings take. */
import { Console } from "effect"
import { Command, Flag } from "effect/cli"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"

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
    "Print a new key for MAILFLEET_ENCRYPTION_KEYS. To replace a key, put the new one, under another id, before the old one: " +
      "the first encrypts, all decrypt.",
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

export const keys = Command.make("keys").pipe(
  Command.withDescription(
    "Make keys. Nothing is stored: they are printed once, and take effect where the settings name them.",
  ),
  Command.withShortDescription("Make keys for the settings"),
  Command.withExamples([{ command: "mailfleet keys new-admin-key" }]),
  Command.withSubcommands([newEncryptionKey, newAdminKey]),
)
