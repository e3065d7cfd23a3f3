/** Programs of a benchmark as processes of their own: they say when they are ready, and what came of each order. */
import { Data, Effect, type Scope } from "effect"
import { fileURLToPath } from "node:url"

export class ProgramFailed extends Data.TaggedError("ProgramFailed")<{ readonly message: string }> {}

export interface Program {
  readonly pid: number
  /** Gives the next order, and answers what the program prints when it has carried it out: one line of JSON. */
  readonly order: <A>(order?: unknown) => Effect.Effect<A, ProgramFailed>
}

/** Starts a program of this folder with its options as JSON; it is killed with the scope. */
export const startProgram = Effect.fnUntraced(function* (
  file: string,
  options: unknown,
): Effect.fn.Return<Program, ProgramFailed, Scope.Scope> {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      new Deno.Command(Deno.execPath(), {
        args: ["run", "-A", fileURLToPath(new URL(file, import.meta.url)), JSON.stringify(options)],
        stdin: "piped",
        stdout: "piped",
        stderr: "inherit",
      }).spawn()
    ),
    (child) =>
      Effect.promise(() => {
        child.kill("SIGKILL")
        return child.status
      }).pipe(Effect.ignoreCause),
  )
  const pieces = child.stdout.pipeThrough(new TextDecoderStream()).getReader()
  const orders = child.stdin.getWriter()
  let rest = ""
  const line = Effect.gen(function* () {
    while (!rest.includes("\n")) {
      const { done, value } = yield* Effect.promise(() => pieces.read())
      if (done) return yield* new ProgramFailed({ message: `${file} ended` })
      rest += value
    }
    const end = rest.indexOf("\n")
    const said = rest.slice(0, end)
    rest = rest.slice(end + 1)
    return said
  })
  yield* line
  return {
    pid: child.pid,
    order: <A>(order: unknown = null) =>
      Effect.andThen(
        Effect.promise(() => orders.write(new TextEncoder().encode(`${JSON.stringify(order)}\n`))),
        Effect.map(line, (text) => JSON.parse(text) as A),
      ),
  }
})
