/** The command line as a process of its own, as an operator's shell starts it. */
import { Effect, type Scope } from "effect"

const main = new URL("../../src/main.ts", import.meta.url).pathname

export interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface Environment {
  /** Where it runs. A folder of its own keeps it from the data of this checkout. */
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** Flags of Deno. Default: everything is allowed. */
  readonly permissions?: ReadonlyArray<string>
  /** Another program than the command line. */
  readonly program?: string
}

const command = (
  args: ReadonlyArray<string>,
  { cwd, env = {}, permissions = ["-A"], program = main, stdin }: Environment,
) =>
  new Deno.Command(Deno.execPath(), {
    args: ["run", ...permissions, program, ...args],
    cwd,
    // Nothing of the tester's own settings, and no messages of the runtime itself.
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? "",
      DENO_NO_UPDATE_CHECK: "1",
      ...env,
    },
    stdin: stdin === undefined ? "null" : "piped",
    stdout: "piped",
    stderr: "piped",
  })

/** Runs a command to its end. */
export const cli = (args: ReadonlyArray<string>, environment: Environment): Effect.Effect<Ended> =>
  Effect.promise(async () => {
    const child = command(args, environment).spawn()
    if (environment.stdin !== undefined) {
      const writer = child.stdin.getWriter()
      await writer.write(new TextEncoder().encode(environment.stdin))
      await writer.close()
    }
    const { code, stdout, stderr } = await child.output()
    const decoder = new TextDecoder()
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) }
  })

export interface Running {
  /** The first line of standard output that matches, with its groups. */
  readonly line: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  /** Likewise of standard error. */
  readonly errorLine: (pattern: RegExp) => Effect.Effect<RegExpExecArray>
  readonly signal: (signal: Deno.Signal) => Effect.Effect<void>
  readonly ended: Effect.Effect<Ended>
}

const collect = (stream: ReadableStream<Uint8Array>, onText: () => void): { text: string; done: Promise<void> } => {
  const collected = { text: "", done: Promise.resolve() }
  collected.done = stream.pipeThrough(new TextDecoderStream()).pipeTo(
    new WritableStream({
      write(chunk) {
        collected.text += chunk
        onText()
      },
    }),
  )
  return collected
}

/** Starts a command. The scope ends it, however it stands. */
export const started = (
  args: ReadonlyArray<string>,
  environment: Environment,
): Effect.Effect<Running, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = command(args, environment).spawn()
      const waiting = new Set<() => void>()
      const news = () => waiting.forEach((look) => look())
      const stdout = collect(child.stdout, news)
      const stderr = collect(child.stderr, news)
      const ended = Promise.all([child.status, stdout.done, stderr.done]).then(([{ code }]) => ({
        code,
        stdout: stdout.text,
        stderr: stderr.text,
      }))
      ended.then(news)
      const lineOf = (output: { readonly text: string }) => (pattern: RegExp) =>
        Effect.callback<RegExpExecArray>((resume) => {
          const look = () => {
            const found = pattern.exec(output.text)
            if (found === null) return
            waiting.delete(look)
            resume(Effect.succeed(found))
          }
          waiting.add(look)
          ended.then(({ stderr }) => resume(Effect.die(new Error(`ended without ${pattern}: ${stderr}`))))
          look()
        })
      const running: Running = {
        line: lineOf(stdout),
        errorLine: lineOf(stderr),
        signal: (signal) => Effect.sync(() => child.kill(signal)),
        ended: Effect.promise(() => ended),
      }
      return { running, child, ended }
    }),
    ({ child, ended }) =>
      Effect.promise(async () => {
        try {
          child.kill("SIGKILL")
        } catch {
          // It has ended by itself.
        }
        await ended
      }),
  ).pipe(Effect.map(({ running }) => running))

/** A folder that is gone afterwards. */
export const folder: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => Deno.makeTempDir({ prefix: "mailfleet-commands-" })),
  (path) => Effect.promise(() => Deno.remove(path, { recursive: true })),
)
