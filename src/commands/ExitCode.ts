/**
 * What a command ends with, and how a failure is told.
 *
 * 0 = all well, 1 = it ran and items failed, 2 = wrong use or no server. A failure is one line on standard error: never a
 * stack trace, never help that buries the reason.
 */
import { Cause, Effect, Exit, Layer, Runtime, Schema } from "effect"
import { CliError, CliOutput } from "effect/cli"
import { printable } from "./Text.ts"

const someFailed = 1
const wrongUse = 2
/** 128 + SIGINT, as shells report it. */
const interrupted = 130

/** The command cannot do what it was asked to do. `message` is one line that says what to do about it. */
export class CommandError extends Schema.TaggedError<CommandError>()("CommandError", { message: Schema.String }) {
  override readonly [Runtime.errorExitCode] = wrongUse
}

/** The command ran, and not all went well. What went wrong has been printed. */
export class SomeFailed extends Schema.TaggedError<SomeFailed>()("SomeFailed", {}) {
  override readonly [Runtime.errorExitCode] = someFailed
  override readonly [Runtime.errorReported] = false
}

/** A signal ended a command that is meant to be ended by one. */
class Stopped extends Schema.TaggedError<Stopped>()("Stopped", {}) {
  override readonly [Runtime.errorExitCode] = 0
  override readonly [Runtime.errorReported] = false
}

/**
 * For commands that run until SIGINT or SIGTERM: such an end, once the scope is closed, is exit 0. A defect, and not a
 * failure, because an interruption drops failures on its way out of the fiber.
 */
export const untilSignal = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.onInterrupt(effect, () => Effect.die(new Stopped()))

/** The runtime takes signals after the first for the same one: whoever presses Ctrl-C again does not want to wait. */
const leaveAtNextSignal = Effect.sync(() => {
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => Deno.exit(interrupted))
})

/** For commands that are interrupted before their work is done: `said` tells what that means, and the exit is 1. */
export const whenInterrupted =
  <E, R>(said: Effect.Effect<unknown, E, R>) => <A, E2, R2>(effect: Effect.Effect<A, E2, R2>) =>
    Effect.onInterrupt(
      effect,
      () => leaveAtNextSignal.pipe(Effect.andThen(said), Effect.andThen(Effect.die(new SomeFailed()))),
    )

const exitCodeOf = (error: unknown): number => {
  // Help that was asked for, or that stands in for a missing command, carries no errors.
  if (CliError.isCliError(error) && error._tag === "ShowHelp") return error.errors.length > 0 ? wrongUse : 0
  const hasCode = typeof error === "object" && error !== null && Runtime.errorExitCode in error
  return hasCode ? Runtime.getErrorExitCode(error) : wrongUse
}

const oneLine = (text: string): string => printable(text.trim().replace(/\s*\n\s*/g, " "))

const say = (message: string): void => console.error(`mailfleet: ${oneLine(message)}`)

/** The last thing that the process does: one line for a failure that nothing has told yet, and the exit code. */
export const teardown: Runtime.Teardown = (exit, onExit) => {
  if (Exit.isSuccess(exit)) return onExit(0)
  if (Cause.hasInterruptsOnly(exit.cause)) return onExit(interrupted)
  const error = Cause.squash(exit.cause)
  if (Runtime.getErrorReported(error)) say(error instanceof Error ? error.message || error.name : String(error))
  onExit(exitCodeOf(error))
}

const messageOf = (error: CliError.NonShowHelpErrors): string => {
  if (error._tag !== "UnrecognizedOption" && error._tag !== "UnknownSubcommand") return error.message
  const what = error._tag === "UnknownSubcommand"
    ? `unknown command ${error.subcommand}`
    : `unknown flag ${error.option}`
  const [guess] = error.suggestions
  return `${what}${guess === undefined ? "" : `; did you mean ${guess}?`}`
}

/** Wrong use is told in one line too, where the default would print the whole help before it. */
export const layerPresenter: Layer.Layer<never> = CliOutput.layerPresenter({
  present: (event) =>
    event._tag === "InvalidInvocation"
      ? Effect.sync(() => say(`${event.errors.map(messageOf).join("; ")} (see ${event.commandPath.join(" ")} --help)`))
      : CliOutput.defaultPresenter.present(event),
})
