/** `keys rotate-encryption`: every stored secret is sealed anew at a running server, and its progress shown. */
import { Console, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { EncryptionRotation } from "../domain/EncryptionRotation.ts"
import { Connection } from "./Connection.ts"
import { CommandError, whenInterrupted } from "./ExitCode.ts"
import { json } from "./Flags.ts"
import * as Progress from "./Progress.ts"
import { printJson } from "./Report.ts"
import { count } from "./Text.ts"

const glance = "500 millis"

/** Without anybody who works on it nothing moves: schedules are off, or no process has the new setting. */
const patience = 60

const summary = ({ keysInUse, removable, resealed, unreadable }: EncryptionRotation): ReadonlyArray<string> => [
  `${count(resealed, "secret")} sealed anew; in use: ${keysInUse.join(", ")}`,
  ...(unreadable === 0 ? [] : [`${count(unreadable, "secret")} could not be read before, and cannot be now`]),
  removable.length === 0
    ? "no other key is left in MAILFLEET_ENCRYPTION_KEYS"
    : `may be removed from MAILFLEET_ENCRYPTION_KEYS of every process: ${removable.join(", ")}`,
]

export const rotateEncryption = Command.make(
  "rotate-encryption",
  {
    wait: Flag.Boolean("wait").pipe(
      Flag.withDescription("Show the progress until the end. --no-wait leaves; it goes on at the server"),
      Flag.withDefault(true),
    ),
    status: Flag.Boolean("status").pipe(
      Flag.withDescription("Only say how the last one stands"),
      Flag.withDefault(false),
    ),
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client: { api } } = yield* Connection
    const begun = yield* ask(flags.status ? api.encryption.rotation() : api.encryption.rotate())
    const print = (rotation: EncryptionRotation) =>
      flags.json ? printJson(EncryptionRotation, rotation) : Console.log(
        rotation.state === "running"
          ? `running: ${rotation.processed} of ${rotation.total}`
          : [`rotation: ${rotation.state}`, ...summary(rotation)].join("\n"),
      )
    if (flags.status || !flags.wait) return yield* print(begun)

    yield* Effect.scoped(Effect.gen(function* () {
      const progress = yield* Progress.make({ label: "rotate-encryption", total: begun.total })
      let seen = begun
      let still = 0
      while (seen.state === "running") {
        yield* Effect.sleep(glance)
        const next = yield* ask(api.encryption.rotation())
        still = next.processed === seen.processed && next.resealed === seen.resealed ? still + 1 : 0
        if (still > 2 * patience) {
          return yield* new CommandError({
            message:
              "nothing has moved for a minute: a process with MAILFLEET_SCHEDULES=on and the new first key must run",
          })
        }
        seen = next
        const processed = Math.min(seen.processed, seen.total)
        yield* progress.update({
          processed,
          succeeded: Math.max(0, processed - seen.unreadable),
          failed: seen.unreadable,
          skipped: 0,
        })
      }
      yield* progress.done
      yield* print(seen)
    })).pipe(
      whenInterrupted(
        Console.error("the server goes on with it; how it stands: mailfleet keys rotate-encryption --status"),
      ),
      Effect.provideService(Progress.Screen, Progress.standardScreen(flags.json ? "stderr" : "stdout")),
    )
  }),
).pipe(
  Command.withDescription(
    "Rotate the encryption key: a new data key is made, wrapped by the first key of MAILFLEET_ENCRYPTION_KEYS or by " +
      "MAILFLEET_KEY_COMMAND, and every stored secret is sealed by it in the background. First put the new key before the old " +
      "one and start all processes again; at the end it says which keys may be removed.",
  ),
  Command.withShortDescription("Seal every stored secret by a new key"),
  Command.withExamples([
    { command: "mailfleet keys rotate-encryption", description: "Rotate, and wait for the end" },
    { command: "mailfleet keys rotate-encryption --status --json", description: "How the last one stands" },
  ]),
  Command.provide(Connection.layer),
)
