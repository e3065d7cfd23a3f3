/**
 * A provider that runs here: token endpoints of Microsoft and Google, Graph mail and the Gmail API, over HTTP, with faults
 * on demand.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { make } from "./Simulator.ts"
 *
 * const program = Effect.gen(function* () {
 *   const simulator = yield* make({ accounts: 1000, latency: "100 millis", mode: "strict" })
 *   Deno.serve({ port: 8090 }, simulator.handler)
 *   yield* Effect.never
 * })
 * ```
 *
 * Paths: `/{tenant}/oauth2/v2.0/authorize`, `POST /{tenant}/oauth2/v2.0/token`, `/{tenant}/discovery/v2.0/keys`,
 * `/{tenant}/v2.0/.well-known/openid-configuration`, `/{tenant}/v2.0/adminconsent`, `/oidc/userinfo`,
 * `POST /{tenant}/oauth2/v2.0/devicecode`, `/devicelogin`, `POST /google/device/code`, `/google/device`,
 * `POST /google/token`, `POST /google/revoke`, `/google/o/oauth2/v2/auth`, `/google/v1/userinfo`, `/google/oauth2/v3/certs`,
 * `/google/.well-known/openid-configuration` (Google's authority is `/google`), `/v1.0/…` for Graph (mail, batches, subscriptions), `/gmail/v1/…` and
 * `POST /batch/gmail/v1` for Gmail, `/_simulator/…` for control.
 */
import { Clock, Effect, type Scope } from "effect"
import { Control } from "./Control.ts"
import { control } from "./ControlHttp.ts"
import { DeviceSignIn } from "./DeviceSignIn.ts"
import { Gmail, gmailBase, gmailBatchPath } from "./Gmail.ts"
import { googleRevoke } from "./GoogleRevoke.ts"
import { GoogleSignIn } from "./GoogleSignIn.ts"
import { googleBase, GoogleToken } from "./GoogleToken.ts"
import { Graph } from "./Graph.ts"
import { importLines, type ImportOptions, importStream } from "./ImportFile.ts"
import { MicrosoftToken } from "./MicrosoftToken.ts"
import { settings, type SimulatorOptions } from "./Options.ts"
import { SignIn } from "./SignIn.ts"
import { TokenEndpoint } from "./TokenEndpoint.ts"
import type { ConnectionInfo } from "./Wire.ts"
import { World } from "./World.ts"

export { NotFound, Unfit } from "./ControlErrors.ts"
export type { ImportOptions } from "./ImportFile.ts"
export type { FaultKind, SimulatorOptions } from "./Options.ts"
export type { Violation, ViolationKind } from "./Violations.ts"
export type { ConnectionInfo, LostAnswer, WireEntry } from "./Wire.ts"

export class Simulator extends Control {
  private readonly microsoft: TokenEndpoint
  private readonly google: TokenEndpoint
  private readonly graph: Graph
  private readonly gmail: Gmail
  private readonly signInPage: SignIn
  private readonly googleSignIn: GoogleSignIn
  private readonly devices: DeviceSignIn

  constructor(world: World) {
    super(world)
    this.microsoft = new TokenEndpoint(world, "token", world.counters.token, new MicrosoftToken(world))
    this.google = new TokenEndpoint(world, "google-token", world.counters.googleToken, new GoogleToken(world))
    this.graph = new Graph(world)
    this.gmail = new Gmail(world)
    this.signInPage = new SignIn(world)
    this.googleSignIn = new GoogleSignIn(world)
    this.devices = new DeviceSignIn(world, this.signInPage, this.googleSignIn)
  }

  /**
   * The web handler, to be given to a server as it is. The second argument, which `Deno.serve` passes, tells the fate of
   * responses after they left; without it, only answers whose client went away earlier are known to be lost.
   */
  readonly handler = (request: Request, info?: ConnectionInfo): Promise<Response> => {
    const { url } = request
    // Hot path: a URL object costs more than the rest of the routing.
    const start = url.indexOf("/", 8)
    const origin = url.slice(0, start)
    const target = url.slice(start)
    if (target.startsWith("/v1.0/")) return this.graph.handle(request, origin, target.slice(5))
    if (target.startsWith(`${gmailBase}/`)) return this.gmail.handle(request, target)
    if (target === gmailBatchPath && request.method === "POST") return this.gmail.handle(request, target)
    const tenant = tokenPath.exec(target)?.[1]
    if (tenant !== undefined && request.method === "POST") return this.microsoft.handle(request, tenant, info)
    if (target === `${googleBase}/token` && request.method === "POST") return this.google.handle(request, "", info)
    if (target === `${googleBase}/revoke` && request.method === "POST") return googleRevoke(this.world, request)
    const path = target.replace(/\?.*$/, "")
    if (path === "/devicelogin") return this.devices.page(request, "microsoft")
    if (path === `${googleBase}/device`) return this.devices.page(request, "google")
    if (path === `${googleBase}/device/code`) return this.devices.authorizeGoogle(request)
    const asking = devicePath.exec(path)?.[1]
    if (asking !== undefined && request.method === "POST") return this.devices.authorizeMicrosoft(request, asking)
    if (target.startsWith(`${googleBase}/`)) return this.googleSignIn.handle(request, new URL(url).pathname.slice(7))
    if (target.startsWith("/_simulator/")) return control(this, request)
    if (target === "/oidc/userinfo") return Promise.resolve(this.graph.userinfo(request))
    return this.signInPage.handle(request)
  }

  /** The accounts as the rows of an import file, each with its line end; the CSV form begins with a header. */
  importLines(options: ImportOptions = {}): Iterable<string> {
    return importLines(this.world, options)
  }

  /** The same as a stream of bytes. */
  importStream(options: ImportOptions = {}): ReadableStream<Uint8Array<ArrayBuffer>> {
    return importStream(this.world, options)
  }

  /** Lets all waiting answers go at once; closing the scope does it too. */
  close(): void {
    this.world.delay.close()
    this.world.subscriptions.close()
  }
}

const devicePath = /^\/([^/?]+)\/oauth2\/v2\.0\/devicecode$/
const tokenPath = /^\/([^/?]+)\/oauth2\/v2\.0\/token(?:$|\?)/

/** Makes a simulator. Its timers end with the scope; the time of expiries and windows is the `Clock`'s. */
export const make = Effect.fnUntraced(function* (
  options: Partial<SimulatorOptions> = {},
): Effect.fn.Return<Simulator, never, Scope.Scope> {
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const simulator = new Simulator(new World(settings(options, now()), now))
  yield* Effect.addFinalizer(() => Effect.sync(() => simulator.close()))
  return simulator
})
