/** `doctor`: looks at all that a server needs, before it starts or when something is wrong, and says what to do. */
import { Console, Effect, Result, Schema } from "effect"
import { Command } from "effect/cli"
import { Settings } from "../domain/Settings.ts"
import { adminKey, database, encryption, rights } from "./DoctorLocal.ts"
import { reach } from "./DoctorReach.ts"
import { SomeFailed } from "./ExitCode.ts"
import { fail, Finding, ok } from "./Finding.ts"
import { json } from "./Flags.ts"
import { layerLog } from "./Process.ts"
import { printJson } from "./Report.ts"
import { table } from "./Text.ts"

const examine = Effect.gen(function* () {
  const read = yield* Effect.result(Effect.provide(Settings, Settings.layer))
  // All else depends on them.
  if (Result.isFailure(read)) return [fail("settings", read.failure.message, "correct it in the environment")]
  const settings = read.success
  const { findings, seen } = yield* database(settings)
  return [
    ok("settings", "all can be read"),
    adminKey(settings),
    yield* encryption(settings, seen),
    ...rights(settings),
    ...findings,
    ...(yield* reach(settings, seen?.providers ?? [])),
  ]
})

const lines = ({ check, message, state, todo }: Finding) => [
  [state, check, message],
  ...(todo === undefined ? [] : [["", "", `to do: ${todo}`]]),
]

const summary = (findings: ReadonlyArray<Finding>): string => {
  const wrong = findings.filter(({ state }) => state === "fail").length
  return wrong === 0
    ? "Nothing stands in the way of a server: deno task start."
    : `${wrong} of ${findings.length} do not work. Addresses of a provider that you do not use do not matter.`
}

export const doctor = Command.make(
  "doctor",
  { json },
  Effect.fnUntraced(function* ({ json }) {
    const findings = yield* Effect.provide(examine, layerLog("Warn"))
    yield* json
      ? printJson(Schema.Array(Finding), findings)
      : Console.log(`${table(findings.flatMap(lines))}\n\n${summary(findings)}`)
    if (findings.some(({ state }) => state === "fail")) return yield* new SomeFailed()
  }),
).pipe(
  Command.withDescription(
    "Check what a server with the settings of this environment needs: settings, keys, database and its migrations, clocks, " +
      "rights, and whether the providers can be reached. Nothing is changed. Exit code 1 where something does not work.",
  ),
  Command.withShortDescription("Check settings, database, clocks and providers"),
  Command.withExamples([
    { command: "mailfleet doctor" },
    {
      command: "mailfleet doctor --json | jq '.[] | select(.state != \"ok\")'",
      description: "What is wrong, for a script",
    },
  ]),
)
