/** `serve`: the long-running process, with API, runs and schedules. */
import { Console, Duration, Effect, Layer } from "effect"
import { Command } from "effect/cli"
import { Settings } from "../domain/Settings.ts"
import { layerSchedules } from "../schedules/Engine.ts"
import { untilSignal } from "./ExitCode.ts"
import { listen } from "./Listener.ts"
import { layerLog, layerProcess, toCommandError } from "./Process.ts"

/** Work that is in flight finishes or is handed back within this time; what is not done then, another start takes up. */
const graceMillis = 9_500

/**
 * The runtime takes SIGINT and SIGTERM as an interruption of the command; from then on the process has its grace and no more. The
 * log says so: an exit with 0 alone does not tell that somebody asked for it.
 */
const limitGrace = Effect.fnUntraced(function* (delay: Duration.Duration) {
  const run = Effect.runForkWith(yield* Effect.context<never>())
  const millis = graceMillis + Duration.toMillis(delay)
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    Deno.addSignalListener(signal, () => {
      run(Effect.annotateLogs(Effect.logInfo("asked to end: what is under way is finished or handed back"), { signal }))
      Deno.unrefTimer(setTimeout(() => Deno.exit(0), millis))
    })
  }
})

export const serve = Command.make(
  "serve",
  {},
  Effect.fn(function* () {
    yield* Effect.gen(function* () {
      const settings = yield* Settings
      yield* limitGrace(settings.shutdownDelay)
      const { url } = yield* listen(settings)
      if (settings.schedules) yield* Layer.build(layerSchedules)
      yield* Console.log(`listening on ${url}`)
      yield* Effect.never
    }).pipe(Effect.scoped, Effect.provide(layerProcess()), toCommandError, Effect.provide(layerLog()))
  }, untilSignal),
).pipe(
  Command.withDescription("Run the service: HTTP API, imports and other runs, and the schedules"),
  Command.withExamples([
    { command: "mailfleet serve", description: "Serve on 127.0.0.1:8080 with the embedded database" },
    {
      command: "MAILFLEET_PORT=0 mailfleet serve",
      description: 'Serve on any free port; the line "listening on …" names it',
    },
  ]),
)
