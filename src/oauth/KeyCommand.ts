/** The program of the operator's that wraps data keys, such as one that asks a key management service. */
import { Effect } from "effect"
import { Buffer } from "node:buffer"
import { spawn } from "node:child_process"
import process from "node:process"
import { KeyProviderError } from "./KeyProviderError.ts"

const timeout = "10 seconds"

/** A wrapped key is some hundred bytes. */
const mostBytes = 64 * 1_024

const wrong = (message: string) =>
  new KeyProviderError({ message: `MAILFLEET_KEY_COMMAND ${message}; run it by hand to see why` })

/** What the program has no business with: our own secrets. */
const environment = (): Record<string, string | undefined> =>
  Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith("MAILFLEET_") && name !== "DATABASE_URL"),
  )

/**
 * Runs `program wrap` or `program unwrap`, with base64 on its standard input, and takes base64 from its standard output. No
 * shell has a part in it. What it writes to its standard error is dropped: it could hold a key.
 */
export const runKeyCommand = (
  program: string,
  verb: "wrap" | "unwrap",
  input: Uint8Array,
): Effect.Effect<Uint8Array, KeyProviderError> =>
  Effect.callback<Uint8Array, KeyProviderError>((resume) => {
    const failed = (message: string) => resume(Effect.fail(wrong(message)))
    try {
      const child = spawn(program, [verb], { stdio: ["pipe", "pipe", "ignore"], env: environment() })
      const chunks: Array<Uint8Array> = []
      let size = 0
      child.on("error", () => failed(`cannot be run: ${program}`))
      child.stdout.on("data", (chunk: Uint8Array) => {
        size += chunk.length
        if (size > mostBytes) child.kill("SIGKILL")
        else chunks.push(chunk)
      })
      child.on("close", (code) => {
        if (code !== 0) return failed(`failed to ${verb} a key: it ended with ${code ?? "a signal"}`)
        const text = Buffer.concat(chunks).toString("latin1").trim()
        if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
          return failed(`must answer ${verb} with base64 on its standard output`)
        }
        resume(Effect.succeed(Buffer.from(text, "base64")))
      })
      // It may end without reading what it is given.
      child.stdin.on("error", () => {})
      child.stdin.end(`${Buffer.from(input).toString("base64")}\n`)
      return Effect.sync(() => child.kill("SIGKILL"))
    } catch {
      // Deno throws where the program is missing, or may not be run.
      failed(`cannot be run: ${program}`)
    }
  }).pipe(
    Effect.timeoutOrElse({
      duration: timeout,
      orElse: () => Effect.fail(wrong(`did not ${verb} a key within ${timeout}`)),
    }),
  )
