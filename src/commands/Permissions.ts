/** `permissions`: the flags of Deno that `serve` needs with the present settings, and no more. */
import { ConfigProvider, Console, Effect, Layer, Option, Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import ipaddr from "ipaddr.js"
import { lookup } from "node:dns/promises"
import { resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { layerLog, toCommandError } from "./Process.ts"

/** Not of the public internet (RFC 6890). Deno can deny ranges of IPv4 only; those of IPv6 the service refuses by itself. */
const privateRanges = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.168.0.0/16",
]

const ports: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "imap:": "143",
  "imaps:": "993",
  "postgres:": "5432",
  "postgresql:": "5432",
}

const hostOf = (url: string): string => {
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port === "" ? ports[protocol] : port}`
}

/** Where Google's discovery document leads, beside the hosts that settings name. */
const googleOwn = ["https://www.googleapis.com", "https://openidconnect.googleapis.com"]

/** What the service listens on and connects to by its settings. */
export const hostsOf = (settings: SettingsValues): ReadonlyArray<string> => [
  ...new Set([
    `${settings.host.includes(":") ? `[${settings.host}]` : settings.host}:${settings.port}`,
    ...(settings.cluster ? [`${settings.clusterHost}:${settings.clusterPort}`] : []),
    ...[
      ...Option.toArray(Option.map(settings.databaseUrl, Redacted.value)),
      settings.microsoftAuthority,
      settings.graphUrl,
      settings.outlookImap,
      settings.googleAuthority,
      settings.googleTokenUrl,
      settings.gmailUrl,
      settings.gmailImap,
      ...Option.toArray(settings.googleRevokeUrl),
      ...Option.toArray(settings.gmailBatchUrl),
      ...Option.toArray(settings.otlpEndpoint),
      ...(settings.googleAuthority === "https://accounts.google.com" ? googleOwn : []),
    ].map(hostOf),
  ]),
]

/** The private ranges that none of our own hosts is in; a denial would go before what is allowed. */
const deniable = (addresses: ReadonlyArray<string>): ReadonlyArray<string> => {
  const ours = addresses.filter(ipaddr.isValid).map((address) => ipaddr.process(address))
  return privateRanges.filter((range) => {
    const [network, bits] = ipaddr.parseCIDR(range)
    return !ours.some((address) => address.kind() === "ipv4" && address.match(network, bits))
  })
}

export interface Surroundings {
  /** The folder that holds `src` and `node_modules`. */
  readonly root: string
  /** Variables that the settings are read from. */
  readonly variables: ReadonlyArray<string>
  /** Hosts that settings do not name, such as the authority of a national cloud that an app has. */
  readonly hosts: ReadonlyArray<string>
  /** What our hosts resolve to, where webhooks may go to any host but private ones. */
  readonly webhooks: ReadonlyArray<string> | undefined
}

export const permissionsOf = (
  settings: SettingsValues,
  { hosts, root, variables, webhooks }: Surroundings,
): ReadonlyArray<string> => {
  const isEmbedded = Option.isNone(settings.databaseUrl)
  // Threads are started from files, and the embedded database reads its WebAssembly.
  const reads = [`${root}/src`, `${root}/node_modules`, ...(isEmbedded ? [settings.dataDir] : [])]
  return [
    "--no-prompt",
    ...(webhooks === undefined
      ? [`--allow-net=${[...hostsOf(settings), ...hosts].join(",")}`]
      : ["--allow-net", `--deny-net=${deniable(webhooks).join(",")}`]),
    `--allow-read=${reads.join(",")}`,
    ...(isEmbedded ? [`--allow-write=${settings.dataDir}`] : []),
    // Libraries look for variables of their own, and find them unset.
    `--allow-env=${variables.join(",")}`,
    "--ignore-env",
    ...Option.match(settings.keyCommand, { onNone: () => [], onSome: (command) => [`--allow-run=${command}`] }),
    // The logger of the IMAP library asks for the name of this machine when it is loaded.
    "--allow-sys=hostname",
  ]
}

/** Reads the settings where none is set: each variable is asked for. */
const variablesRead = Effect.gen(function* () {
  const names: Array<string> = []
  const recorder = ConfigProvider.make((path) =>
    Effect.sync(() => {
      names.push(path.join("_"))
      return undefined
    })
  )
  yield* Effect.provide(Settings, Layer.fresh(Settings.layer).pipe(Layer.provide(ConfigProvider.layer(recorder))))
  return [...new Set(names)].sort()
})

/** What a host and port resolves to now; nothing where it does not. */
const addressesOf = (host: string) =>
  Effect.tryPromise(() => lookup(host.replace(/:\d+$/, "").replace(/^\[(.*)\]$/, "$1"), { all: true })).pipe(
    Effect.map((found) => found.map(({ address }) => address)),
    Effect.orElseSucceed((): ReadonlyArray<string> => []),
  )

export const permissions = Command.make(
  "permissions",
  {
    webhooks: Flag.Boolean("webhooks").pipe(
      Flag.withDescription(
        "Let webhooks be sent to any host but private ones. Unless given, to none but the configured hosts",
      ),
      Flag.withoutNegation,
      Flag.withDefault(false),
    ),
    hosts: Flag.String("host").pipe(
      Flag.withDescription(
        "One more host that may be connected to, such as login.microsoftonline.us:443; may be given several times",
      ),
      Flag.atLeast(0),
    ),
  },
  Effect.fnUntraced(function* ({ hosts, webhooks }) {
    yield* Effect.gen(function* () {
      const given = yield* Settings
      const settings = { ...given, dataDir: resolve(given.dataDir) }
      const ours = [...hostsOf(settings), ...hosts]
      const flags = permissionsOf(settings, {
        root: fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, ""),
        variables: yield* variablesRead,
        hosts,
        webhooks: webhooks ? (yield* Effect.forEach(ours, addressesOf, { concurrency: 10 })).flat() : undefined,
      })
      const split = flags.find((flag) => /\s/.test(flag))
      if (split !== undefined) yield* Console.error(`a path with blanks needs quotes in a shell: ${split}`)
      yield* Console.log(flags.join(" "))
    }).pipe(Effect.provide(Settings.layer), toCommandError, Effect.provide(layerLog("Warn")))
  }),
).pipe(
  Command.withDescription(
    "Print the flags of Deno that serve needs with the present settings, and no more: the configured hosts, the data folder, the " +
      "variables of the settings; no program is run, no library loaded.",
  ),
  Command.withShortDescription("Print the narrowest flags of Deno for serve"),
  Command.withExamples([
    {
      command: "deno run $(mailfleet permissions) src/main.ts serve",
      description: "Serve with no more rights than needed",
    },
    { command: "mailfleet permissions --webhooks", description: "Where there are webhooks" },
  ]),
)
