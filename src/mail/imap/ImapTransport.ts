/**
 * The sockets that IMAP runs over. On Deno its own: its `node:tls` misses a disconnect in the middle of a FETCH about every
 * other time, and reads on while nobody takes what was read (seen with Deno 2.9). Elsewhere those of ImapFlow, on `node:tls`.
 */
import { Context, Layer } from "effect"
import { createStreamsTransport, type ImapFlowOptions, type ImapTransport as Transport } from "imapflow"

/** What a connection is opened with, as options of ImapFlow. */
type Sockets = Pick<ImapFlowOptions, "transport" | "tls">

export class ImapTransport extends Context.Service<ImapTransport, Sockets>()("mailfleet/mail/ImapTransport") {
  /** Trusts what the runtime trusts, and the certificate authorities given in PEM. */
  static readonly layerWith = (authorities: ReadonlyArray<string>): Layer.Layer<ImapTransport> =>
    Layer.sync(
      ImapTransport,
      () => "Deno" in globalThis ? { transport: overDeno(authorities) } : overNode(authorities),
    )

  static readonly layer: Layer.Layer<ImapTransport> = ImapTransport.layerWith([])
}

const overNode = (authorities: ReadonlyArray<string>): Sockets =>
  authorities.length === 0 ? {} : { tls: { ca: [...authorities] } }

const overDeno = (authorities: ReadonlyArray<string>): Transport => {
  const tls = authorities.length === 0 ? {} : { caCerts: [...authorities] }
  return createStreamsTransport<Socket>({
    open: ({ host, port, secure }) =>
      socketOf(
        secure
          ? Deno.connectTls({ hostname: host, port, ...tls })
          : Deno.connect({ hostname: host, port }).then((connection) => {
            // Commands are short, and each waits for its answer.
            connection.setNoDelay()
            return connection
          }),
      ),
    upgrade: ({ connection }, { host, servername }) =>
      socketOf(
        connection.then((plain) => Deno.startTls(plain as Deno.TcpConn, { hostname: servername ?? host, ...tls })),
      ),
  })
}

type Socket = ReturnType<typeof socketOf>

const socketOf = (connection: Promise<Deno.TcpConn | Deno.TlsConn>) => ({
  connection,
  opened: connection.then((open) => ({ readable: open.readable, writable: open.writable })),
  // Also while it is still being opened: then it closes as soon as it is.
  close: () => connection.then((open) => open.close()),
})
