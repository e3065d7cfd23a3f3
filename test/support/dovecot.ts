/** A private Dovecot that asks this process about access tokens, and clients that change its mailboxes. */
import { Context, Effect, Layer, type Scope } from "effect"
import { ImapFlow } from "imapflow"

const script = new URL("./dovecot.sh", import.meta.url).pathname

const run = async (args: ReadonlyArray<string>, env: Record<string, string> = {}) => {
  const { code, stderr } = await new Deno.Command("bash", {
    args: [script, ...args],
    env,
    stdout: "null",
    stderr: "piped",
  })
    .output()
  if (code !== 0) throw new Error(new TextDecoder().decode(stderr))
}

const encoder = new TextEncoder()

const freePort = () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 })
  const { port } = listener.addr as Deno.NetAddr
  listener.close()
  return port
}

/** Access tokens that are valid, and whose they are. */
export class Introspection {
  readonly valid = new Map<string, string>()
  /** Tokens that were asked about, in order. */
  readonly asked: Array<string> = []
  /** Whose a token is that is not among these; undefined = nobody's. */
  believes: (token: string) => string | undefined = () => undefined
  /** The status of all answers, while it is set. */
  fault: number | undefined

  readonly answer = (request: Request): Response => {
    const token = (request.headers.get("authorization") ?? "").replace(/^Bearer /, "")
    this.asked.push(token)
    if (this.fault !== undefined) return new Response("", { status: this.fault })
    const email = this.valid.get(token) ?? this.believes(token)
    return email === undefined
      ? Response.json({ active: false }, { status: 401 })
      : Response.json({ active: true, email, scope: "mail" })
  }
}

export interface DovecotServer {
  readonly port: number
  readonly tlsPort: number
  /** PEM of the authority to trust. */
  readonly authority: string
  /** The folder of a user's Maildir. */
  readonly maildir: (user: string) => string
  readonly introspection: Introspection
  /** Puts letters into a folder of a user's Maildir, past IMAP: thousands in a second. `INBOX`, or a path with `.` between names. */
  readonly seed: (user: string, folder: string, letters: Iterable<string | Uint8Array>) => Promise<void>
  /** The same Dovecot with other settings, its mail kept. */
  readonly restart: (env: Record<string, string>) => Promise<void>
}

export class Dovecot extends Context.Service<Dovecot, DovecotServer>()("test/Dovecot") {
  static readonly layerWith = (env: Record<string, string> = {}): Layer.Layer<Dovecot> =>
    Layer.effect(
      Dovecot,
      Effect.gen(function* () {
        const introspection = new Introspection()
        const http = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen: () => {} }, introspection.answer)
        // Sockets below it must have short paths, and its users must be able to walk down to it.
        const folder = yield* Effect.promise(() => Deno.makeTempDir({ prefix: "dovecot-" }))
        yield* Effect.promise(() => Deno.chmod(folder, 0o755))
        const [port, tlsPort] = [freePort(), freePort()]
        const url = `http://127.0.0.1:${http.addr.port}/introspect`
        const start = (more: Record<string, string>) =>
          run(["start", folder, String(port), String(tlsPort), url], { ...env, ...more })
        yield* Effect.acquireRelease(
          Effect.promise(() => start({})),
          () =>
            Effect.promise(async () => {
              await run(["stop", folder])
              await http.shutdown()
              await Deno.remove(folder, { recursive: true })
            }),
        )
        const maildir = (user: string) => `${folder}/mail/${user}`
        return Dovecot.of({
          port,
          tlsPort,
          authority: yield* Effect.promise(() => Deno.readTextFile(`${folder}/tls/ca.pem`)),
          maildir,
          seed: async (user, path, letters) => {
            const box = path === "INBOX" ? maildir(user) : `${maildir(user)}/.${path}`
            for (const part of ["cur", "new", "tmp"]) await Deno.mkdir(`${box}/${part}`, { recursive: true })
            let n = 0
            for (const letter of letters) {
              // Sorted by name, so that UIDs are given in this order.
              const name = `${1_700_000_000 + n}.M${String(n++).padStart(6, "0")}.test`
              await Deno.writeFile(
                `${box}/cur/${name}:2,`,
                typeof letter === "string" ? encoder.encode(letter) : letter,
              )
            }
            if (Deno.uid() === 0) await new Deno.Command("chown", { args: ["-R", "mail:mail", maildir(user)] }).output()
          },
          introspection,
          restart: async (more) => {
            await run(["stop", folder])
            await start(more)
          },
        })
      }),
    )

  static readonly layer = Dovecot.layerWith()
}

/** Whether a Dovecot can be started here. */
export const hasDovecot = (() => {
  try {
    return Deno.statSync("/usr/sbin/dovecot").isFile
  } catch {
    return false
  }
})()

/** Another client of the mailbox, which changes it. */
export const writerOf = (user: string): Effect.Effect<ImapFlow, never, Dovecot | Scope.Scope> =>
  Effect.gen(function* () {
    const { port } = yield* Dovecot
    return yield* Effect.acquireRelease(
      Effect.promise(async () => {
        const client = new ImapFlow({
          host: "127.0.0.1",
          port,
          secure: false,
          doSTARTTLS: false,
          auth: { user, pass: "secret" },
          logger: false,
          disableAutoIdle: true,
        })
        client.on("error", () => {})
        await client.connect()
        return client
      }),
      (client) => Effect.promise(() => client.logout().catch(() => client.close())),
    )
  })

/** Something that the writer does in a folder. */
export const within = <A>(client: ImapFlow, path: string, change: () => Promise<A>): Effect.Effect<A> =>
  Effect.promise(async () => {
    await client.mailboxOpen(path)
    try {
      return await change()
    } finally {
      await client.mailboxClose()
    }
  })

let letters = 0

/** A plain letter; `id` is its Message-ID without brackets. */
export const letter = (
  options: {
    readonly id?: string
    readonly subject?: string
    readonly text?: string
    readonly headers?: ReadonlyArray<string>
  } = {},
): string => {
  const n = ++letters
  return [
    `Message-ID: <${options.id ?? `letter-${n}@example.org`}>`,
    "Date: Mon, 2 Nov 2026 10:00:00 +0000",
    "From: Ada Lovelace <ada@example.org>",
    "To: Charles <charles@example.com>",
    `Subject: ${options.subject ?? `Letter ${n}`}`,
    ...options.headers ?? [],
    ...(options.headers?.some((line) => /^content-type:/i.test(line))
      ? []
      : ["Content-Type: text/plain; charset=utf-8"]),
    "",
    options.text ?? `This is letter ${n}.`,
    "",
  ].join("\r\n")
}
