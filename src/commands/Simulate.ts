/** `simulate`: a provider that runs here, to try Mailfleet without a mailbox of anybody. */
import { Console, Duration, Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { parseDuration } from "../domain/Settings.ts"
import { make, type Simulator } from "../simulator/Simulator.ts"
import { CommandError, untilSignal } from "./ExitCode.ts"

const units: ReadonlyMap<string, string> = new Map([
  ["ms", "millis"],
  ["s", "seconds"],
  ["m", "minutes"],
  ["min", "minutes"],
  ["h", "hours"],
  ["d", "days"],
])

/** As in settings (`2 seconds`), and in short: `100ms`, `1s`, `5m`. Nothing at all is `0`. */
const readDuration = (text: string): Option.Option<Duration.Duration> => {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim()) ?? []
  const long = units.get(unit?.toLowerCase() ?? "")
  if (text.trim() === "0") return Option.some(Duration.zero)
  return parseDuration(amount === undefined || long === undefined ? text : `${amount} ${long}`)
}

const duration = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(description),
    Flag.filterMap(readDuration, () => 'a duration such as "1s", "100ms" or "2 seconds"'),
  )

const share = (name: string, description: string) =>
  Flag.Finite(name).pipe(
    Flag.withDescription(description),
    Flag.filter((share) => share >= 0 && share <= 1, () => "a number from 0 to 1"),
  )

const whole = (name: string, minimum: number, maximum: number, description: string) =>
  Flag.Int(name).pipe(
    Flag.withDescription(description),
    Flag.filter(
      (value) => value >= minimum && value <= maximum,
      () => `a whole number from ${minimum} to ${maximum}`,
    ),
  )

const flags = {
  accounts: whole("accounts", 0, 10_000_000, "How many accounts there are").pipe(Flag.withDefault(100)),
  latency: duration("latency", "Time that every answer takes").pipe(Flag.withDefault(Duration.zero)),
  mode: Flag.Literals("mode", ["microsoft", "strict"]).pipe(
    Flag.withDescription(
      "What a used refresh token is worth: microsoft = still valid, strict = showing it again ends the grant",
    ),
    Flag.withDefault("microsoft"),
  ),
  messages: whole("messages", 0, 1_000_000, "Messages of each mailbox at the start").pipe(Flag.withDefault(20)),
  limits: Flag.Literals("limits", ["documented", "none"]).pipe(
    Flag.withDescription("Throttle as the provider documents it, or not at all"),
    Flag.withDefault("documented"),
  ),
  faultRate: share("fault-rate", "Share of requests that meet a fault").pipe(Flag.withDefault(0)),
  retryAfter: duration("retry-after", "What Retry-After says").pipe(Flag.withDefault(Duration.seconds(1))),
  tokenLifetime: duration("token-lifetime", "Life of an access token; random in 60 to 90 minutes unless given").pipe(
    Flag.optional,
  ),
  apps: whole("apps", 1, 100_000, "How many OAuth clients the accounts are spread over").pipe(Flag.withDefault(1)),
  seed: whole("seed", 0, 2_147_483_647, "Everything invented is a function of it").pipe(Flag.withDefault(1)),
  host: Flag.String("host").pipe(Flag.withDescription("Address to listen on"), Flag.withDefault("127.0.0.1")),
  port: whole("port", 0, 65_535, "Port to listen on; 0 = any free one").pipe(Flag.withDefault(0)),
  file: Flag.String("file").pipe(
    Flag.withDescription("Write the accounts here, to be imported: .csv, .ndjson, .jsonl or .txt (= lines)"),
    Flag.optional,
  ),
}

const formats = { csv: "csv", ndjson: "ndjson", jsonl: "ndjson", txt: "lines" } as const

const formatOf = (file: string) => {
  const extension = /\.(csv|ndjson|jsonl|txt)$/i.exec(file)?.[1]?.toLowerCase()
  return extension === undefined ? undefined : formats[extension as keyof typeof formats]
}

/** True for a file that holds nothing, or accounts of a simulator: the only ones that may be overwritten. */
const isOurs = async (file: string): Promise<boolean> => {
  try {
    using opened = await Deno.open(file)
    const start = new Uint8Array(512)
    const read = await opened.read(start) ?? 0
    return read === 0 || new TextDecoder().decode(start.subarray(0, read)).includes("@sim.example")
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true
    throw error
  }
}

const writeAccounts = Effect.fnUntraced(function* (simulator: Simulator, file: string) {
  const format = formatOf(file)
  if (format === undefined) {
    return yield* new CommandError({ message: `--file must end in .csv, .ndjson, .jsonl or .txt, unlike ${file}` })
  }
  const unwritable = () => new CommandError({ message: `${file} cannot be written` })
  if (!(yield* Effect.tryPromise({ try: () => isOurs(file), catch: unwritable }))) {
    return yield* new CommandError({ message: `${file} holds accounts of somebody else: choose another --file` })
  }
  yield* Effect.tryPromise({
    try: async () => {
      const opened = await Deno.open(file, { write: true, create: true, truncate: true, mode: 0o600 })
      await simulator.importStream({ format }).pipeTo(opened.writable)
    },
    catch: unwritable,
  })
})

const listen = (simulator: Simulator, hostname: string, port: number) =>
  Effect.acquireRelease(
    Effect.try({
      try: () => Deno.serve({ hostname, port, onListen: () => {} }, simulator.handler),
      catch: () => new CommandError({ message: `${hostname}:${port} cannot be listened on: is the port in use?` }),
    }),
    (server) =>
      Effect.sync(() => simulator.close()).pipe(
        Effect.andThen(Effect.promise(() => server.shutdown())),
        Effect.timeoutOption(Duration.seconds(2)),
      ),
  )

export const simulate = Command.make(
  "simulate",
  flags,
  Effect.fnUntraced(
    function* ({ file, host, port, tokenLifetime, ...options }) {
      const simulator = yield* make({
        ...options,
        accessTokenLifetime: Option.getOrElse(tokenLifetime, () => "random" as const),
      })
      const server = yield* listen(simulator, host, port)
      if (Option.isSome(file)) yield* writeAccounts(simulator, file.value)
      const url = `http://${host.includes(":") ? `[${host}]` : host}:${server.addr.port}`
      yield* Console.log(
        [
          `simulator listening on ${url}`,
          `MAILFLEET_MICROSOFT_AUTHORITY=${url}`,
          `MAILFLEET_GRAPH_URL=${url}/v1.0`,
        ].join("\n"),
      )
      return yield* Effect.never
    },
    Effect.scoped,
    untilSignal,
  ),
).pipe(
  Command.withDescription(
    "Run a simulated provider: Microsoft's token endpoint and Graph mail, with faults on demand. It prints the settings " +
      "that point Mailfleet at it, and runs until it is interrupted.",
  ),
  Command.withShortDescription("Run a simulated provider"),
  Command.withExamples([
    {
      command: "mailfleet simulate --accounts 1000 --latency 1s --port 8090 --file accounts.csv",
      description: "A thousand accounts, each answer a second late, and the file to import",
    },
    { command: "mailfleet simulate --mode strict --fault-rate 0.2", description: "A hard provider" },
  ]),
)
