// What `src/mail/imap/ImapTransport.ts` takes of Deno where it is there: `deno check` knows the real types.
// deno-lint-ignore-file no-explicit-any
declare namespace Deno {
  type TcpConn = any
  type TlsConn = any
  const connect: (options: unknown) => Promise<any>
  const connectTls: (options: unknown) => Promise<any>
  const startTls: (connection: any, options: unknown) => Promise<any>
}
