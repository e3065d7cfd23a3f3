/**
 * `oidc-provider` (github.com/panva/node-oidc-provider), a strict OAuth server that others wrote, as a process of its own.
 * It rotates refresh tokens, and where a spent one comes again it revokes the grant.
 */
import { Data, Effect, Schema, type Scope } from "effect"
import { fileURLToPath } from "node:url"

export const Options = Schema.Struct({
  /** One account each. */
  grants: Schema.Int,
  /** Milliseconds from the arrival of a request until the server looks at it. */
  latency: Schema.Int,
  /** Seconds that an access token lives. */
  accessTokenLife: Schema.Int,
  /** Where the accounts are written to, as CSV with a header. */
  file: Schema.String,
})

/** What the server saw since its start. */
export const Report = Schema.Struct({
  requests: Schema.Int,
  /** Answers by HTTP status. */
  statuses: Schema.Record(Schema.String, Schema.Int),
  /** Refusals by what the server says about them. */
  errors: Schema.Record(Schema.String, Schema.Int),
  /** Most requests at once. */
  peak: Schema.Int,
  /** Most requests at once for one grant. */
  peakOfGrant: Schema.Int,
  /** Requests with a refresh token that had come before. */
  presentedAgain: Schema.Int,
  /** Answers that nobody waited for. */
  unheard: Schema.Int,
  /** Address of each grant, and how often it was rotated. */
  rotations: Schema.Record(Schema.String, Schema.Int),
  /** Addresses of the grants that the server revoked. */
  revoked: Schema.Array(Schema.String),
})
export type Report = typeof Report.Type

/** The scope of the grants; set it as `MAILFLEET_MICROSOFT_GRAPH_SCOPE`. */
export const scope = "mail offline_access"

export interface OidcProvider {
  /** Set it as `MAILFLEET_MICROSOFT_AUTHORITY`. */
  readonly origin: string
  readonly csv: string
  readonly report: Effect.Effect<Report>
}

class OidcProviderFailed extends Data.TaggedError("OidcProviderFailed")<{ readonly message: string }> {}

const script = fileURLToPath(new URL("./oidcServer.ts", import.meta.url))

/** Starts the process; it is killed with the scope. */
export const startOidcProvider = (
  options: Omit<typeof Options.Type, "file">,
): Effect.Effect<OidcProvider, OidcProviderFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const file = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempFile({ prefix: "mailfleet-oidc-", suffix: ".csv" })),
      (file) => Effect.promise(() => Deno.remove(file)),
    )
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Deno.Command(Deno.execPath(), {
          args: ["run", "-A", script, JSON.stringify({ ...options, file })],
          stdin: "null",
          stdout: "piped",
          // Warnings about keys and the like, which are right for a server on the internet.
          stderr: "null",
        }).spawn()
      ),
      (child) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return child.status
        }),
    )
    const origin = yield* Effect.promise(() => originIn(child.stdout))
    if (origin === undefined) return yield* new OidcProviderFailed({ message: "oidc-provider did not start" })
    return {
      origin,
      csv: yield* Effect.promise(() => Deno.readTextFile(file)),
      report: Effect.promise(async () => {
        const response = await fetch(`${origin}/report`)
        return Schema.decodeUnknownSync(Report)(await response.json())
      }),
    }
  })

/** The server writes notices of its own before it listens, and maybe after: all of them are read. */
const originIn = (output: ReadableStream<Uint8Array>): Promise<string | undefined> =>
  new Promise((resolve) => {
    let text = ""
    const read = (piece: string) => {
      text += piece
      const origin = /^listening on (\S+)$/m.exec(text)?.[1]
      if (origin !== undefined) resolve(origin)
    }
    output.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: read }))
      .then(() => resolve(undefined))
  })
