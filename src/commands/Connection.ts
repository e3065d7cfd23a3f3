/** How the commands reach a running server: where it is, with which key, and what its refusals mean to an operator. */
import { Config, Context, Effect, FileSystem, Layer, Option, Redacted, Schema } from "effect"
import { FetchHttpClient, HttpClientError } from "effect/http"
import { InvalidBody, InvalidRequest, type Issue, Unauthorized } from "../api/Problems.ts"
import { MailfleetClient } from "../client.ts"
import { CommandError } from "./ExitCode.ts"

/** The key, and where it was found: messages name the place, never the key. */
interface Key {
  readonly value: Redacted.Redacted
  readonly from: string
}

/** Values from the environment; an empty one counts as none. */
const variable = (name: string) =>
  Config.String(name).pipe(
    Config.option,
    Effect.map(Option.flatMap((value) => value.trim() === "" ? Option.none() : Option.some(value.trim()))),
    Effect.mapError(() => new CommandError({ message: `${name} cannot be read` })),
  )

const serverUrl = Effect.gen(function* () {
  const url = Option.getOrElse(yield* variable("MAILFLEET_URL"), () => "http://127.0.0.1:8080")
  const parsed = URL.canParse(url) ? new URL(url) : undefined
  if (parsed === undefined || !/^https?:$/.test(parsed.protocol) || parsed.username !== "" || parsed.search !== "") {
    return yield* new CommandError({
      message: "MAILFLEET_URL must be the http or https URL of a server, such as http://127.0.0.1:8080",
    })
  }
  return parsed.href.replace(/\/+$/, "")
})

const isLocal = (url: string): boolean => /^(127\.\d+\.\d+\.\d+|localhost|\[::1\])$/.test(new URL(url).hostname)

/**
 * `MAILFLEET_API_KEY`, or the key that an embedded server on this machine keeps in its data folder. That one is sent to no
 * other machine: nobody asked for it.
 */
const findKey = Effect.fnUntraced(function* (url: string) {
  const given = yield* variable("MAILFLEET_API_KEY")
  if (Option.isSome(given)) {
    // Anything else cannot stand in a header, and the fault of the header would show it.
    if (!/^[!-~]+$/.test(given.value)) {
      return yield* new CommandError({ message: "MAILFLEET_API_KEY must be visible ASCII characters without blanks" })
    }
    const key: Key = { value: Redacted.make(given.value), from: "MAILFLEET_API_KEY" }
    return key
  }
  const folder = Option.getOrElse(yield* variable("MAILFLEET_DATA_DIR"), () => ".mailfleet")
  const file = `${folder}/admin.key`
  const files = yield* FileSystem.FileSystem
  const kept = isLocal(url) ? yield* Effect.option(files.readFileString(file)) : Option.none()
  if (Option.isNone(kept) || kept.value.trim() === "") {
    return yield* new CommandError({
      message: isLocal(url)
        ? `no key for the server at ${url}: set MAILFLEET_API_KEY, or start a server here first (deno task start), which ` +
          `leaves its key in ${file}`
        : `no key for the server at ${url}: set MAILFLEET_API_KEY to its MAILFLEET_ADMIN_KEY`,
    })
  }
  const key: Key = { value: Redacted.make(kept.value.trim()), from: file }
  return key
})

const issues = (list: ReadonlyArray<Issue>): string =>
  list.map(({ field, message }) => field === "" ? message : `${field}: ${message}`).join("; ")

/** What an error of a call means, and what to do about it. */
const explain = (url: string, key: Key) => (error: Error): CommandError => {
  if (error instanceof CommandError) return error
  if (error instanceof Unauthorized) {
    return new CommandError({ message: `the server at ${url} does not accept the key from ${key.from}` })
  }
  if (error instanceof InvalidRequest || error instanceof InvalidBody) {
    return new CommandError({ message: `the server refused the request: ${issues(error.issues)}` })
  }
  if (HttpClientError.isHttpClientError(error)) {
    return new CommandError({
      message: error.response === undefined
        ? `no server answers at ${url}: start one (deno task start), or set MAILFLEET_URL`
        : `the server at ${url} answers ${error.response.status} in a way that is not Mailfleet's: is MAILFLEET_URL right?`,
    })
  }
  if (Schema.isSchemaError(error)) {
    return new CommandError({ message: `the server at ${url} is of another version: its answer has another form` })
  }
  return new CommandError({ message: error.message })
}

export class Connection extends Context.Service<Connection, {
  readonly url: string
  readonly client: MailfleetClient["Service"]
  /** Turns the errors of a call into words for the operator. */
  readonly ask: <A, E extends Error, R>(call: Effect.Effect<A, E, R>) => Effect.Effect<A, CommandError, R>
}>()("mailfleet/commands/Connection") {
  static readonly layer = Layer.effect(
    Connection,
    Effect.gen(function* () {
      const url = yield* serverUrl
      const key = yield* findKey(url)
      const client = yield* MailfleetClient.make({ baseUrl: url, apiKey: key.value })
      return Connection.of({ url, client, ask: Effect.mapError(explain(url, key)) })
    }),
  ).pipe(Layer.provide(FetchHttpClient.layer))
}

/** One page of a list, as the API answers it. */
interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}

/** The first `limit` items of a list, over as many pages as that takes. */
export const firstOf = Effect.fnUntraced(function* <A, E, R>(
  limit: number,
  page: (query: { readonly limit: number; readonly cursor?: string }) => Effect.Effect<Page<A>, E, R>,
): Effect.fn.Return<Page<A>, E, R> {
  const items: Array<A> = []
  let nextCursor: string | null = null
  do {
    const cursor: { readonly cursor?: string } = nextCursor === null ? {} : { cursor: nextCursor }
    const next: Page<A> = yield* page({ limit: Math.min(500, limit - items.length), ...cursor })
    items.push(...next.items)
    nextCursor = next.nextCursor
  } while (nextCursor !== null && items.length < limit)
  return { items, nextCursor }
})
