/** `import`: a file of accounts goes to the server as it is read, and its run is followed. */
import { Console, Effect, FileSystem, Option, Result, Schema, Stream } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import type { importMediaTypes } from "../api/Imports.ts"
import { Tag } from "../api/Parameters.ts"
import { Channel, Provider } from "../domain/Account.ts"
import { OnDuplicate } from "../domain/Run.ts"
import { Connection } from "./Connection.ts"
import { CommandError, whenInterrupted } from "./ExitCode.ts"
import { given, json, wait } from "./Flags.ts"
import { started } from "./Follow.ts"
import * as Progress from "./Progress.ts"

type MediaType = typeof importMediaTypes[number]

const mediaTypes = {
  csv: "text/csv",
  ndjson: "application/x-ndjson",
  json: "application/json",
  lines: "text/plain",
} as const satisfies Record<string, MediaType>

const extensions: ReadonlyMap<string, MediaType> = new Map([
  ["csv", mediaTypes.csv],
  ["ndjson", mediaTypes.ndjson],
  ["jsonl", mediaTypes.ndjson],
  ["json", mediaTypes.json],
  ["txt", mediaTypes.lines],
])

const mediaTypeOf = Effect.fnUntraced(function* (file: string, format: Option.Option<keyof typeof mediaTypes>) {
  if (Option.isSome(format)) return mediaTypes[format.value]
  const mediaType = extensions.get(/\.(\w+)$/.exec(file)?.[1]?.toLowerCase() ?? "")
  if (mediaType !== undefined) return mediaType
  const what = file === "-" ? "standard input" : `${file}, which ends in none of .csv .ndjson .jsonl .json .txt`
  return yield* new CommandError({ message: `say the form of ${what}: --format csv, ndjson, json or lines` })
})

/** What is imported: its bytes, and how many they are where that is known. */
interface Source {
  readonly name: string
  readonly bytes: Stream.Stream<Uint8Array, CommandError>
  readonly size: number | undefined
}

const standardInput: Source = {
  name: "standard input",
  bytes: Stream.fromReadableStream({
    evaluate: () => Deno.stdin.readable,
    onError: () => new CommandError({ message: "standard input cannot be read" }),
  }),
  size: undefined,
}

const sourceOf = Effect.fnUntraced(function* (file: string) {
  if (file === "-") return standardInput
  const files = yield* FileSystem.FileSystem
  const unreadable = new CommandError({ message: `${file} cannot be read` })
  const info = yield* files.stat(file).pipe(
    Effect.mapError(({ reason }) =>
      reason._tag === "NotFound" ? new CommandError({ message: `there is no file ${file}` }) : unreadable
    ),
  )
  if (info.type === "Directory") return yield* new CommandError({ message: `${file} is a folder, not a file` })
  // Opened before anything is asked of the server: a file that may not be read is wrong use, not a broken upload.
  yield* Effect.scoped(files.open(file)).pipe(Effect.mapError(() => unreadable))
  const source: Source = {
    name: file,
    bytes: files.stream(file).pipe(Stream.mapError(() => unreadable)),
    size: info.type === "File" ? Number(info.size) : undefined,
  }
  return source
})

const megabyte = 1_000_000

/** A smaller upload is over before its bar could be read. */
const smallestShown = 10 * megabyte

/** Counts the bytes on their way. */
const shown = Effect.fnUntraced(function* ({ bytes, size }: Source) {
  if (size === undefined || size < smallestShown) return bytes
  const progress = yield* Progress.make({ label: "upload", total: Math.ceil(size / megabyte), unit: "MB" })
  let sent = 0
  return bytes.pipe(
    Stream.tap((chunk) => {
      sent += chunk.length
      return progress.update({ processed: Math.ceil(sent / megabyte), succeeded: 0, failed: 0, skipped: 0 })
    }),
    Stream.onEnd(progress.done),
  )
})

/** Sends the file. The client cannot tell a file that breaks off from a server that does, so the file is asked first. */
const upload = Effect.fnUntraced(function* (
  source: Source,
  options: Parameters<Connection["Service"]["client"]["importFile"]>[1],
) {
  const { ask, client } = yield* Connection
  let broken: CommandError | undefined
  let isSent = false
  const body = (yield* shown(source)).pipe(
    Stream.tapError((error) => Effect.sync(() => broken = error)),
    Stream.onEnd(Effect.sync(() => isSent = true)),
  )
  const answer = yield* Effect.result(ask(client.importFile(body, options))).pipe(
    whenInterrupted(Effect.suspend(() =>
      Console.error(
        isSent
          ? "interrupted after the upload: the server may import the file all the same; see: mailfleet runs"
          : "interrupted during the upload: nothing was imported",
      )
    )),
  )
  if (broken !== undefined) return yield* broken
  return yield* Result.isSuccess(answer) ? Effect.succeed(answer.success) : Effect.fail(answer.failure)
}, Effect.scoped)

export const importCommand = Command.make(
  "import",
  {
    file: Argument.String("file").pipe(Argument.withDescription("The file; - is standard input, and needs --format")),
    format: Flag.Literals("format", ["csv", "ndjson", "json", "lines"]).pipe(
      Flag.withDescription(
        "Form of the file. Unless given, its name decides: .csv .ndjson .jsonl .json .txt (= lines)",
      ),
      Flag.optional,
    ),
    onDuplicate: Flag.Literals("on-duplicate", OnDuplicate.literals).pipe(
      Flag.withDescription("What happens to a row whose account exists: it is skipped, updates its token, or fails"),
      Flag.withDefault("skip"),
    ),
    dryRun: Flag.Boolean("dry-run").pipe(
      Flag.withDescription("Check the file only: nothing is stored, no provider contacted"),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    verify: Flag.Boolean("verify").pipe(
      Flag.withDescription("Redeem each refresh token once. --no-verify leaves that to the first scheduled refresh"),
      Flag.withDefault(true),
    ),
    provider: Flag.Literals("provider", Provider.literals).pipe(
      Flag.withDescription("Provider of rows that name none"),
      Flag.optional,
    ),
    channel: Flag.Literals("channel", Channel.literals).pipe(
      Flag.withDescription("Channel of rows that name none"),
      Flag.optional,
    ),
    tags: Flag.String("tag").pipe(
      Flag.filter(Schema.is(Tag), () => "1 to 64 characters without commas, semicolons and bars"),
      Flag.withDescription("A tag for every account of the file. May be repeated"),
      Flag.atLeast(0),
    ),
    wait,
    json,
  },
  Effect.fnUntraced(function* (flags) {
    const { ask, client } = yield* Connection
    const contentType = yield* mediaTypeOf(flags.file, flags.format)
    const source = yield* sourceOf(flags.file)
    // A server that refuses the key in the midst of an upload breaks the connection, and its reason is lost.
    yield* ask(client.api.runs.list({ query: { limit: 1 } }))
    const run = yield* upload(source, {
      contentType,
      query: {
        onDuplicate: flags.onDuplicate,
        dryRun: flags.dryRun,
        verify: flags.verify,
        ...given("provider", flags.provider),
        ...given("channel", flags.channel),
        ...(flags.tags.length === 0 ? {} : { tags: flags.tags }),
      },
    }).pipe(
      Effect.provideService(Progress.Screen, Progress.standardScreen(flags.json ? "stderr" : "stdout")),
    )
    yield* started(run, flags)
  }),
).pipe(
  Command.withDescription(
    "Import a file of accounts. Each row is checked, its refresh token redeemed once, and the account stored; a bad row fails " +
      "alone, with its line and the reason. Ctrl-C cancels the import.",
  ),
  Command.withShortDescription("Import a file of accounts"),
  Command.withExamples([
    { command: "mailfleet import accounts.csv", description: "A file with the header email,client_id,refresh_token" },
    { command: "mailfleet import accounts.txt --tag eu --tag support", description: "Lines, with two tags for all" },
    { command: "mailfleet import accounts.csv --dry-run", description: "Check a file" },
    { command: "zcat accounts.ndjson.gz | mailfleet import - --format ndjson", description: "From another program" },
  ]),
  Command.provide(Connection.layer),
)
