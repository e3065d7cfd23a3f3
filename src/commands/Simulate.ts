/** `simulate`: a provider that runs here, to try Mailfleet without a mailbox of anybody. */
import { Console, Duration, Effect, Option, Schema } from "effect"
import { Command, Flag } from "effect/cli"
import { parseDuration } from "../domain/Settings.ts"
import { FaultKinds } from "../simulator/ControlPayloads.ts"
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

/** A duration that may be negative: `-5m`. */
const readShift = (text: string): Option.Option<Duration.Duration> =>
  text.trim().startsWith("-") ? Option.map(readDuration(text.trim().slice(1)), Duration.negate) : readDuration(text)

const readThrottleDelay = (text: string): Option.Option<Duration.Duration | "latency"> =>
  text === "latency" ? Option.some(text) : readDuration(text)

const decodeFaults = Schema.decodeUnknownOption(Schema.Array(FaultKinds))

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
  googleAccounts: whole("google-accounts", 0, 10_000_000, "How many of them, the last ones, are Google's").pipe(
    Flag.withDefault(0),
  ),
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
  tokenConcurrencyLimit: whole(
    "token-concurrency",
    0,
    1_000_000,
    "Redemptions that each token endpoint bears at once; more are answered 429. No limit unless given",
  ).pipe(Flag.optional),
  tokenRateLimit: Flag.Finite("token-rate").pipe(
    Flag.withDescription(
      "Redemptions per second that each token endpoint bears; more are answered 429. No limit unless given",
    ),
    Flag.filter((rate) => rate > 0, () => "a number greater than 0"),
    Flag.optional,
  ),
  throttleDelay: Flag.String("throttle-delay").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription("How soon such a 429 comes, whatever the latency is; latency = as late as any other answer"),
    Flag.filterMap(
      readThrottleDelay,
      () => 'a duration such as "5ms", or "latency"',
    ),
    Flag.withDefault(Duration.millis(5)),
  ),
  faultRate: share("fault-rate", "Share of requests that meet a fault").pipe(Flag.withDefault(0)),
  faultKinds: Flag.String("faults").pipe(
    Flag.withMetavar("kind,kind"),
    Flag.withDescription(
      `Which faults these are, of ${FaultKinds.literals.join(", ")}. Unless given: ` +
        "throttled, throttled-bare, unavailable, error, gateway, timeout, reset",
    ),
    Flag.filterMap(
      (text) => decodeFaults(text.split(",").map((kind) => kind.trim())),
      () => `fault kinds, separated by commas, of ${FaultKinds.literals.join(", ")}`,
    ),
    Flag.optional,
  ),
  hangLimit: duration("hang-limit", "Longest time that a timeout holds a request, and the time that a drip takes").pipe(
    Flag.withDefault(Duration.seconds(60)),
  ),
  retryAfter: duration("retry-after", "What Retry-After says").pipe(Flag.withDefault(Duration.seconds(1))),
  retryAfterForm: Flag.Literals("retry-after-form", ["seconds", "date"]).pipe(
    Flag.withDescription("Whether Retry-After is a number of seconds or an HTTP date"),
    Flag.withDefault("seconds"),
  ),
  clockSkew: Flag.String("clock-skew").pipe(
    Flag.withMetavar("duration"),
    Flag.withDescription(
      "How far the provider's clock is ahead, as its Date header and the timestamps of token errors tell; " +
        "behind with a minus (--clock-skew=-5m)",
    ),
    Flag.filterMap(readShift, () => 'a duration such as "5m", or "-5m"'),
    Flag.withDefault(Duration.zero),
  ),
  expiresIn: Flag.Literals("expires-in", ["number", "string", "absent"]).pipe(
    Flag.withDescription("The form of expires_in in token answers"),
    Flag.withDefault("number"),
  ),
  tokenLifetime: duration("token-lifetime", "Life of an access token; random in 60 to 90 minutes unless given").pipe(
    Flag.optional,
  ),
  apps: whole("apps", 1, 100_000, "How many OAuth clients Microsoft's accounts are spread over").pipe(
    Flag.withDefault(1),
  ),
  confidentialApps: whole("confidential-apps", 0, 100_000, "How many of them, the last ones, have a secret").pipe(
    Flag.withDefault(0),
  ),
  googleApps: whole("google-apps", 1, 100_000, "How many OAuth clients Google's accounts are spread over").pipe(
    Flag.withDefault(1),
  ),
  tenants: whole("tenants", 1, 1_000, "How many tenants Microsoft's work accounts are spread over").pipe(
    Flag.withDefault(1),
  ),
  seed: whole("seed", 0, 2_147_483_647, "Everything invented is a function of it").pipe(Flag.withDefault(1)),
  host: Flag.String("host").pipe(Flag.withDescription("Address to listen on"), Flag.withDefault("127.0.0.1")),
  port: whole("port", 0, 65_535, "Port to listen on; 0 = any free one").pipe(Flag.withDefault(0)),
  file: Flag.String("file").pipe(
    Flag.withDescription(
      "Write the accounts here, to be imported: .csv, .ndjson, .jsonl or .txt (= lines, Microsoft accounts only)",
    ),
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
    return read === 0 || /@(?:gmail\.)?sim\.example/.test(new TextDecoder().decode(start.subarray(0, read)))
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true
    throw error
  }
}

const writeAccounts = Effect.fnUntraced(function* (simulator: Simulator, file: string, googleAccounts: number) {
  const format = formatOf(file)
  if (format === undefined) {
    return yield* new CommandError({ message: `--file must end in .csv, .ndjson, .jsonl or .txt, unlike ${file}` })
  }
  if (format === "lines" && googleAccounts > 0) {
    return yield* new CommandError({ message: "a .txt file holds Microsoft accounts only: choose another --file" })
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
    function* ({ faultKinds, file, host, port, tokenConcurrencyLimit, tokenLifetime, tokenRateLimit, ...options }) {
      const simulator = yield* make({
        ...options,
        ...(Option.isSome(faultKinds) ? { faultKinds: faultKinds.value } : {}),
        tokenConcurrencyLimit: Option.getOrElse(tokenConcurrencyLimit, () => Infinity),
        tokenRateLimit: Option.getOrElse(tokenRateLimit, () => Infinity),
        accessTokenLifetime: Option.getOrElse(tokenLifetime, () => "random" as const),
      })
      const server = yield* listen(simulator, host, port)
      if (Option.isSome(file)) yield* writeAccounts(simulator, file.value, options.googleAccounts)
      const url = `http://${host.includes(":") ? `[${host}]` : host}:${server.addr.port}`
      yield* Console.log(
        [
          `simulator listening on ${url}`,
          `MAILFLEET_MICROSOFT_AUTHORITY=${url}`,
          `MAILFLEET_GRAPH_URL=${url}/v1.0`,
          ...(options.googleAccounts > 0
            ? [
              `MAILFLEET_GOOGLE_TOKEN_URL=${url}/google/token`,
              `MAILFLEET_GOOGLE_AUTHORITY=${url}/google`,
              `MAILFLEET_GMAIL_URL=${url}/gmail/v1`,
            ]
            : []),
          ...simulator.apps().flatMap(({ clientId, clientSecret }) =>
            clientSecret === null ? [] : [`app ${clientId} has the secret ${clientSecret}`]
          ),
        ].join("\n"),
      )
      return yield* Effect.never
    },
    Effect.scoped,
    untilSignal,
  ),
).pipe(
  Command.withDescription(
    "Run a simulated provider: sign-in, tokens and mail of Microsoft (Graph) and Google (Gmail API), with faults on " +
      "demand. It prints the settings that point Mailfleet at it, and runs until it is interrupted. Its control calls " +
      "are under /_simulator/: GET options, counters, answers-per-second, violations, apps, service-accounts, grants, accounts/EMAIL; PATCH " +
      "options changes most of these flags while it runs.",
  ),
  Command.withShortDescription("Run a simulated provider"),
  Command.withExamples([
    {
      command: "mailfleet simulate --accounts 1000 --latency 1s --port 8090 --file accounts.csv",
      description: "A thousand accounts, each answer a second late, and the file to import",
    },
    { command: "mailfleet simulate --mode strict --fault-rate 0.2", description: "A hard provider" },
    {
      command: "mailfleet simulate --accounts 1000 --google-accounts 300 --file accounts.csv",
      description: "Seven hundred accounts at Microsoft, three hundred at Google",
    },
    {
      command: "mailfleet simulate --latency 1s --token-concurrency 40 --token-rate 100",
      description: "A provider that bears 40 redemptions at once and 100 a second",
    },
    {
      command: "mailfleet simulate --fault-rate 0.1 --faults html,error-200,truncated,drip --clock-skew=-5m",
      description: "A provider behind a bad network, whose clock is slow",
    },
  ]),
)
