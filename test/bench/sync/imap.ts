/** (a) First sync over IMAP, beside `mbsync`, which copies the same mailbox from the same server to files in memory. */
import { Console, Context, Data, Effect, Layer, Schema } from "effect"
import { Account } from "../../../src/domain/Account.ts"
import { Dovecot, type DovecotServer, hasDovecot } from "../../support/dovecot.ts"
import { all, ended, install, type Installation, type Service, startOverAll, upload } from "../../support/processes.ts"
import { count, load, markdown, median, ratio, seconds } from "../refresh/figures.ts"
import { startProvider } from "../refresh/provider.ts"
import { cpuSeconds, postgresCpuSeconds, residentMiB } from "../refresh/usage.ts"
import { mimeOf } from "./letters.ts"
import { accountsOf, storedMessages } from "./mailboxes.ts"

class NotCopied extends Data.TaggedError("NotCopied")<{ readonly message: string }> {}

/** Debian's user `mail`, whom Dovecot writes as where it runs as root. */
const mailUser = 8

/** Fills a Maildir; answers the bytes. */
const fill = async (maildir: string, messages: number): Promise<number> => {
  const own = async (path: string) => Deno.uid() === 0 ? await Deno.chown(path, mailUser, mailUser) : undefined
  for (const folder of ["", "/cur", "/new", "/tmp"]) {
    await Deno.mkdir(maildir + folder, { recursive: true })
    await own(maildir + folder)
  }
  let bytes = 0
  for (let n = 0; n < messages; n++) {
    const mime = mimeOf(n)
    const path = `${maildir}/cur/${1_700_000_000 + n}.M${n}.bench:2,${n % 3 === 0 ? "" : "S"}`
    await Deno.writeTextFile(path, mime)
    await own(path)
    const at = new Date(1_790_000_000_000 - n * 600_000)
    await Deno.utime(path, at, at)
    bytes += mime.length
  }
  return bytes
}

const mbsync = Effect.fnUntraced(function* (dovecot: DovecotServer, email: string, folder: string, messages: number) {
  const ca = `${folder}/ca.pem`
  const target = `${folder}/mail`
  yield* Effect.promise(async () => {
    await Deno.remove(target, { recursive: true }).catch(() => {})
    await Deno.mkdir(target)
    await Deno.writeTextFile(ca, dovecot.authority)
    await Deno.writeTextFile(
      `${folder}/mbsyncrc`,
      `FSync no\n\nIMAPAccount bench\nHost localhost\nPort ${dovecot.tlsPort}\nUser ${email}\nPass secret\nSSLType IMAPS\nCertificateFile ${ca}
AuthMechs PLAIN\n\nIMAPStore remote\nAccount bench\n\nMaildirStore local\nPath ${target}/\nInbox ${target}/INBOX\n
Channel bench\nFar :remote:\nNear :local:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n`,
    )
  })
  const begun = performance.now()
  const { code, stderr } = yield* Effect.promise(() =>
    new Deno.Command("mbsync", { args: ["-q", "-c", `${folder}/mbsyncrc`, "bench"], stdout: "null", stderr: "piped" })
      .output()
  )
  const time = (performance.now() - begun) / 1_000
  if (code !== 0) return yield* new NotCopied({ message: `mbsync: ${new TextDecoder().decode(stderr)}` })
  const copied = [...Deno.readDirSync(`${target}/INBOX/cur`), ...Deno.readDirSync(`${target}/INBOX/new`)].length
  if (copied !== messages) return yield* new NotCopied({ message: `mbsync copied ${copied}` })
  return time
})

/** Bytes that messages and what they are found by take up, indexes included. */
const bytesOf = (installation: Installation) =>
  installation.query((sql) =>
    sql<{ bytes: number }>`select sum(pg_total_relation_size(c.oid))::float8 as bytes
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = ${installation.schema} and c.relkind = 'r' and c.relname like 'message%'`.pipe(
      Effect.map((rows) => rows[0]!.bytes),
      Effect.orDie,
    )
  )

/** An account that is imported, synced once and deleted. */
const firstSync = Effect.fnUntraced(function* (
  installation: Installation,
  service: Service,
  file: string,
  messages: number,
) {
  const imported = yield* upload(service, file, {}, "?verify=false")
  yield* ended(service, imported.id)
  const usage = () => [cpuSeconds(service.pid), postgresCpuSeconds()] as const
  const before = usage()
  const begun = performance.now()
  const run = yield* startOverAll(service, "sync")
  const { succeeded } = yield* ended(service, run.id, "20 minutes")
  const time = (performance.now() - begun) / 1_000
  const after = usage()
  const stored = yield* storedMessages(installation)
  if (succeeded !== 1 || stored !== messages) return yield* new NotCopied({ message: `${stored} messages are stored` })
  const round = {
    time,
    cpu: after[0] - before[0],
    postgres: after[1] - before[1],
    peak: residentMiB(service.pid).peak,
    bytes: yield* bytesOf(installation),
  }
  for (const { id } of yield* all(service, Account, "/v1/accounts")) {
    yield* service.call(Schema.Void, `/v1/accounts/${id}`, { method: "DELETE", status: 204 }).pipe(
      // There is no body to decode.
      Effect.catchDefect(() => Effect.void),
    )
  }
  yield* installation.query((sql, table) =>
    Effect.orDie(Effect.andThen(
      sql`vacuum (analyze) ${table("messages")}`,
      sql`vacuum (analyze) ${table("message_index")}`,
    ))
  )
  return round
})

export const benchImap = (quick: boolean) =>
  Effect.gen(function* () {
    if (!hasDovecot) return yield* Console.log("\n(a) skipped: there is no Dovecot on this machine")
    const messages = quick ? 1_000 : 10_000
    const rounds = quick ? 1 : 3
    const dovecot = Context.get(yield* Layer.build(Dovecot.layer), Dovecot)
    const provider = yield* startProvider({ accounts: 1, latencyMillis: 0 })
    const [{ clientId, email, refreshToken }] = (yield* accountsOf(provider, 0, 1)) as [
      { clientId: string; email: string; refreshToken: string },
    ]
    dovecot.introspection.believes = () => email
    const bytes = yield* Effect.promise(() => fill(dovecot.maildir(email), messages))
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempDir({ dir: "/dev/shm", prefix: "mailfleet-bench-" })),
      (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
    )
    // The first visitor has Dovecot make its indexes.
    yield* mbsync(dovecot, email, folder, messages)

    const file = `email,client_id,refresh_token,channel\n${email},${clientId},${refreshToken},imap\n`
    const contest = Effect.fnUntraced(function* (bodyDays: string) {
      const installation = yield* install("postgres", provider.origin, {
        MAILFLEET_SCHEDULES: "off",
        MAILFLEET_OUTLOOK_IMAP: `imaps://localhost:${dovecot.tlsPort}`,
        MAILFLEET_MAIL_BODY_DAYS: bodyDays,
        DENO_CERT: `${folder}/ca.pem`,
      })
      const service = yield* installation.start()
      const theirs: Array<number> = []
      const ours: Array<Effect.Success<ReturnType<typeof firstSync>>> = []
      for (let round = 0; round < rounds; round++) {
        theirs.push(yield* mbsync(dovecot, email, folder, messages))
        ours.push(yield* firstSync(installation, service, file, messages))
      }
      const of = (key: keyof (typeof ours)[number]) => median(ours.map((one) => one[key]))
      return { rival: median(theirs), of, first: ours[0]! }
    }, Effect.scoped)

    const headers = yield* contest("0")
    const bodies = yield* contest("all")
    const row = (name: string, { first, of, rival }: typeof headers, target: number) => [
      name,
      seconds(of("time")),
      count(Math.round(messages / of("time"))),
      seconds(rival),
      ratio(of("time") / rival),
      target.toFixed(1),
      seconds(of("cpu")),
      seconds(of("postgres")),
      `${Math.round(of("peak"))} MiB`,
      count(Math.round(first.bytes / messages)),
    ]
    yield* Console.log(
      `\n(a) first sync of ${count(messages)} messages, ${
        (bytes / 1e6).toFixed(0)
      } MB, over IMAP with TLS, ${rounds} rounds, medians; ${load()}\n\n` +
        markdown([
          [
            "",
            "time",
            "messages/s",
            "mbsync",
            "ratio",
            "target",
            "CPU",
            "CPU of Postgres",
            "peak memory",
            "bytes per message",
          ],
          row("headers only", headers, 1.5),
          row("with bodies, parsed and indexed", bodies, 3),
        ]),
    )
  }).pipe(Effect.scoped)
