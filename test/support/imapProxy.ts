/** A proxy in front of an IMAP server: hides what it can, answers in its place, cuts and stalls. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/** What Outlook does not offer (provider-facts E1). */
export const outlookLacks =
  /^(?:CONDSTORE|QRESYNC|ENABLE|SPECIAL-USE|AUTH=OAUTHBEARER|LIST-STATUS|LIST-EXTENDED|ESEARCH|SEARCHRES|SORT.*|THREAD.*|ESORT|CONTEXT.*|WITHIN|NOTIFY|BINARY|I18N.*|STATUS=SIZE|SAVEDATE|PREVIEW.*|MULTIAPPEND|URL-PARTIAL|CATENATE)$/

/** What Gmail does not offer. */
export const gmailLacks =
  /^(?:QRESYNC|SORT.*|THREAD.*|ESORT|CONTEXT.*|NOTIFY|BINARY|I18N.*|SAVEDATE|PREVIEW.*|CATENATE)$/

export interface ImapProxyOptions {
  /** Capabilities that match are hidden. STARTTLS always is. */
  readonly hidden?: RegExp
}

export class ImapProxy {
  /** Commands as clients sent them, without tags: `EXAMINE INBOX`. */
  readonly commands: Array<string> = []
  /** An answer in the server's place, without the tag: the server does not see the command. */
  answer: (command: string) => string | undefined = () => undefined
  /** What comes from the server, when it is to be broken off. `bytes` counts from when this was set. */
  fault: { readonly after: number; readonly kind: "fin" | "rst" | "stall" } | undefined
  /** Connections that clients have open. */
  open = 0
  /** Bytes that came from the server. */
  received = 0

  private passed = 0
  private readonly sockets = new Set<Socket>()
  private readonly server = createServer((client) => this.serve(client))

  constructor(private readonly target: number, private readonly options: ImapProxyOptions) {}

  breakOff(kind: "fin" | "rst" | "stall", after: number): void {
    this.passed = 0
    this.fault = { kind, after }
  }

  /** Ends all connections. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy()
  }

  get url(): string {
    return `imap://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  }

  listen(): Promise<void> {
    return new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve))
  }

  close(): void {
    this.cut()
    this.server.close()
  }

  private serve(client: Socket): void {
    const upstream = connect(this.target, "127.0.0.1")
    this.open++
    for (const socket of [client, upstream]) {
      this.sockets.add(socket)
      socket.on("error", () => {})
      socket.on("close", () => {
        this.sockets.delete(socket)
        client.destroy()
        upstream.destroy()
      })
    }
    client.on("close", () => this.open--)

    let line = ""
    client.on("data", (chunk: Uint8Array) => {
      line += new TextDecoder("latin1").decode(chunk)
      for (let end = line.indexOf("\r\n"); end >= 0; end = line.indexOf("\r\n")) {
        const whole = line.slice(0, end)
        line = line.slice(end + 2)
        const blank = whole.indexOf(" ")
        const command = blank < 0 ? whole : whole.slice(blank + 1)
        this.commands.push(command)
        const answer = this.answer(command)
        if (answer === undefined) upstream.write(`${whole}\r\n`, "latin1")
        else client.write(answer.replaceAll("TAG", whole.slice(0, blank)) + "\r\n", "latin1")
      }
    })

    let stalled = false
    upstream.on("data", (chunk: Uint8Array) => {
      this.received += chunk.byteLength
      if (stalled) return
      const { fault } = this
      const out = this.hide(chunk)
      if (fault !== undefined && this.passed + chunk.byteLength > fault.after) {
        this.fault = undefined
        client.write(out.subarray(0, Math.max(0, fault.after - this.passed)))
        if (fault.kind === "stall") stalled = true
        else if (fault.kind === "fin") client.end()
        else client.resetAndDestroy()
        return
      }
      this.passed += chunk.byteLength
      if (!client.write(out)) {
        upstream.pause()
        client.once("drain", () => upstream.resume())
      }
    })
  }

  private hide(chunk: Uint8Array): Uint8Array {
    const text = new TextDecoder("latin1").decode(chunk)
    if (chunk.byteLength > 4_096 || !/\bCAPABILITY IMAP/.test(text)) return chunk
    const shown = text.replace(
      /\bCAPABILITY ([^\]\r\n]*)/g,
      (_, list: string) =>
        `CAPABILITY ${
          list.split(" ").filter((word) => word !== "STARTTLS" && !this.options.hidden?.test(word)).join(" ")
        }`,
    )
    return Uint8Array.from(shown, (char) => char.charCodeAt(0))
  }
}

export const imapProxy = (
  target: number,
  options: ImapProxyOptions = {},
): Effect.Effect<ImapProxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const proxy = new ImapProxy(target, options)
      await proxy.listen()
      return proxy
    }),
    (proxy) => Effect.sync(() => proxy.close()),
  )
