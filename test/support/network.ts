/** A network of this machine's own: a namespace for each process, on one bridge, between which it can be cut. Wants root. */
import { Data, Effect, type Scope } from "effect"

/** A command of `ip` did not end well. */
export class NetworkFailed extends Data.TaggedError("NetworkFailed")<{ readonly message: string }> {}

export interface Network {
  /** Of this process, for servers that all namespaces reach. */
  readonly host: string
  /** Another address of this process, to be cut off by itself. */
  readonly databaseHost: string
  /** Of a namespace. */
  readonly hostOf: (n: number) => string
  /** The command that runs what follows it in a namespace. */
  readonly within: (n: number) => ReadonlyArray<string>
  /** What a namespace sends to an address vanishes, until `restore`: nothing is refused, nothing answered. */
  readonly cut: (n: number, host: string) => Effect.Effect<void>
  readonly restore: (n: number, host: string) => Effect.Effect<void>
}

const ip = (...args: ReadonlyArray<string>): Effect.Effect<void, NetworkFailed> =>
  Effect.flatMap(
    Effect.promise(() => new Deno.Command("ip", { args: [...args], stdin: "null" }).output().catch(() => undefined)),
    (output) =>
      output?.success === true ? Effect.void : Effect.fail(
        new NetworkFailed({
          message: `ip ${args.join(" ")}: ${
            output === undefined ? "there is no ip (apt-get install iproute2)" : new TextDecoder().decode(output.stderr)
          }`,
        }),
      ),
  )

/** Belongs to nobody: what is sent there is lost. */
const nobody = "02:00:00:00:00:99"

/** It is gone with the scope. */
export const makeNetwork = (namespaces: number): Effect.Effect<Network, NetworkFailed, Scope.Scope> =>
  Effect.gen(function* () {
    // Several may be there at once.
    const net = 1 + crypto.getRandomValues(new Uint8Array(1))[0]! % 250
    const name = (what: string) => `mf${net}${what}`
    const host = `10.77.${net}.1`
    const databaseHost = `10.77.${net}.2`
    const hostOf = (n: number) => `10.77.${net}.${11 + n}`
    const bridge = name("br")
    yield* Effect.acquireRelease(
      ip("link", "add", bridge, "type", "bridge"),
      () => Effect.ignore(ip("link", "del", bridge)),
    )
    yield* ip("addr", "add", `${host}/24`, "dev", bridge)
    yield* ip("addr", "add", `${databaseHost}/24`, "dev", bridge)
    yield* ip("link", "set", bridge, "up")
    for (let n = 0; n < namespaces; n++) {
      const space = name(`n${n}`)
      yield* Effect.acquireRelease(ip("netns", "add", space), () => Effect.ignore(ip("netns", "del", space)))
      yield* ip("link", "add", name(`v${n}`), "type", "veth", "peer", "name", "eth0", "netns", space)
      yield* ip("link", "set", name(`v${n}`), "master", bridge, "up")
      yield* ip("-n", space, "addr", "add", `${hostOf(n)}/24`, "dev", "eth0")
      yield* ip("-n", space, "link", "set", "eth0", "up")
      yield* ip("-n", space, "link", "set", "lo", "up")
    }
    return {
      host,
      databaseHost,
      hostOf,
      within: (n) => ["ip", "netns", "exec", name(`n${n}`)],
      cut: (n, to) =>
        Effect.orDie(
          ip("-n", name(`n${n}`), "neigh", "replace", to, "lladdr", nobody, "nud", "permanent", "dev", "eth0"),
        ),
      restore: (n, to) => Effect.orDie(ip("-n", name(`n${n}`), "neigh", "del", to, "dev", "eth0")),
    }
  })
