/** A TCP proxy in front of a server, by which the network between can be cut, stalled and slowed down. */
import { Effect, type Scope } from "effect"

export class Proxy {
  private readonly open = new Set<() => void>()
  private listener: Deno.TcpListener
  private stalled: { readonly until: Promise<void>; readonly end: () => void } | undefined
  /**
   * Milliseconds by which everything on its way to the server is late. What is under way when the client goes is lost
   * with it, as when a machine dies and not only a process.
   */
  delay = 0

  constructor(private readonly target: Deno.ConnectOptions) {
    this.listener = this.listen(0)
  }

  get port(): number {
    return (this.listener.addr as Deno.NetAddr).port
  }

  /** Ends all connections and refuses new ones, until `restore`. */
  refuse(): void {
    this.listener.close()
    this.cut()
  }

  restore(): void {
    this.listener = this.listen(this.port)
  }

  /** Connections stay, new ones are taken, and nothing moves, until `flow`. */
  stall(): void {
    let end = () => {}
    const until = new Promise<void>((resolve) => end = resolve)
    this.stalled = { until, end }
  }

  flow(): void {
    this.stalled?.end()
    this.stalled = undefined
  }

  /** Ends all connections; new ones are taken. */
  cut(): void {
    for (const close of [...this.open]) close()
  }

  close(): void {
    this.flow()
    try {
      this.listener.close()
    } catch {
      // Closed already.
    }
    this.cut()
  }

  private listen(port: number): Deno.TcpListener {
    const listener = Deno.listen({ hostname: "127.0.0.1", port })
    const take = async () => {
      for await (const client of listener) this.join(client)
    }
    take().catch(() => {})
    return listener
  }

  private async join(client: Deno.TcpConn): Promise<void> {
    try {
      const server = await Deno.connect(this.target)
      const close = () => {
        this.open.delete(close)
        for (const end of [client, server]) {
          try {
            end.close()
          } catch {
            // The other direction has closed it.
          }
        }
      }
      this.open.add(close)
      void this.pump(client, server, () => this.delay, close)
      void this.pump(server, client, () => 0, close)
    } catch {
      client.close()
    }
  }

  private async pump(from: Deno.TcpConn, to: Deno.TcpConn, delayOf: () => number, close: () => void): Promise<void> {
    let gone = false
    let written = Promise.resolve()
    try {
      for await (const bytes of from.readable) {
        const delay = delayOf()
        const due = delay === 0 ? undefined : new Promise<void>((resolve) => setTimeout(resolve, delay))
        written = written.then(async () => {
          await due
          await this.stalled?.until
          for (let at = 0; !gone && at < bytes.length;) at += await to.write(bytes.subarray(at))
        })
        written.catch(close)
      }
      if (delayOf() === 0) await written
    } catch {
      // Cut by one of its ends.
    }
    gone = true
    close()
  }
}

/** A proxy that is closed with the scope. */
export const proxyTo = (target: Deno.ConnectOptions): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(Effect.sync(() => new Proxy(target)), (proxy) => Effect.sync(() => proxy.close()))

/** The URL of a database, by way of a proxy. */
export const through = (proxy: Proxy, url: string): string => {
  const direct = new URL(url)
  direct.host = `127.0.0.1:${proxy.port}`
  return direct.href
}
