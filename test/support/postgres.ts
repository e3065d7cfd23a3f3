/** A Postgres of one's own, to be stopped and started: a cluster in a temporary folder, on a free port of this machine. */
import { Data, Effect, type Scope } from "effect"
import { freePort } from "./processes.ts"

export interface OwnPostgres {
  /** For `DATABASE_URL`: user and database `postgres`, no password. */
  readonly url: string
  readonly port: number
  /** Where it keeps its data; nothing else is there. */
  readonly folder: string
  readonly start: Effect.Effect<void, PostgresFailed>
  /** `fast` ends sessions and writes everything; `immediate` is as a crash: the next start recovers from the log. */
  readonly stop: (mode: "fast" | "immediate") => Effect.Effect<void, PostgresFailed>
}

/** A command of Postgres did not end well. */
export class PostgresFailed extends Data.TaggedError("PostgresFailed")<{ readonly message: string }> {}

const installed = "/usr/lib/postgresql"

/** The folder of the newest `initdb` and `pg_ctl` of this machine, as Debian keeps them; undefined = there are none. */
export const postgresBinaries = (): string | undefined => {
  try {
    const versions = [...Deno.readDirSync(installed)].map(({ name }) => Number(name)).filter(Number.isInteger)
    return versions.length === 0 ? undefined : `${installed}/${Math.max(...versions)}/bin`
  } catch {
    return undefined
  }
}

const run = (command: string, args: ReadonlyArray<string>, uid: number | undefined) =>
  Effect.flatMap(
    Effect.promise(() =>
      new Deno.Command(command, {
        args: [...args],
        cwd: "/",
        // No pipe: the server that `pg_ctl` leaves behind would hold it open.
        stdin: "null",
        stdout: "null",
        stderr: "null",
        ...(uid === undefined ? {} : { uid }),
      }).output()
    ),
    ({ code }) =>
      code === 0
        ? Effect.void
        : Effect.fail(new PostgresFailed({ message: `${command} ${args.join(" ")}: ended with ${code}` })),
  )

/** Postgres refuses to run as root: then it runs as the user that its package made, or as nobody. */
const unprivileged = async (): Promise<number | undefined> => {
  if (Deno.uid() !== 0) return undefined
  const users = (await Deno.readTextFile("/etc/passwd")).split("\n").map((line) => line.split(":"))
  const user = users.find(([name]) => name === "postgres") ?? users.find(([name]) => name === "nobody")
  return Number(user?.[2])
}

export interface OwnPostgresOptions {
  /** Where it listens. Default: the loopback address. */
  readonly host?: string
  /** Megabytes of memory that stand for its disk, so that it can be full; wants root. Default: the disk. */
  readonly disk?: number
}

/** Makes a cluster and starts it. It is stopped, and removed, with the scope. */
export const ownPostgres = (
  binaries: string,
  { disk, host = "127.0.0.1" }: OwnPostgresOptions = {},
): Effect.Effect<OwnPostgres, PostgresFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const uid = yield* Effect.promise(unprivileged)
    const folder = yield* Effect.acquireRelease(
      Effect.promise(() => Deno.makeTempDir({ prefix: "mailfleet-postgres-" })),
      (folder) => Effect.promise(() => Deno.remove(folder, { recursive: true })),
    )
    if (disk !== undefined) {
      yield* Effect.acquireRelease(
        run("mount", ["-t", "tmpfs", "-o", `size=${disk}m`, "tmpfs", folder], undefined),
        () => Effect.ignore(run("umount", ["-l", folder], undefined)),
      )
    }
    if (uid !== undefined) yield* Effect.promise(() => Deno.chown(folder, uid, null))
    const data = `${folder}/data`
    yield* run(`${binaries}/initdb`, ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C"], uid)
    const anybody = `host all all ${host}/24 trust\n`
    yield* Effect.promise(() => Deno.writeTextFile(`${data}/pg_hba.conf`, anybody, { append: true }))
    const port = freePort()
    const settings = `-p ${port} -c listen_addresses=${host} -c unix_socket_directories=${folder} ` +
      "-c min_wal_size=32MB -c max_wal_size=64MB"
    const control = (...args: ReadonlyArray<string>) =>
      run(`${binaries}/pg_ctl`, ["-D", data, "-l", `${folder}/log`, "-o", settings, "-w", "-t", "60", ...args], uid)
    const stop: OwnPostgres["stop"] = (mode) => control("stop", "-m", mode)
    yield* Effect.acquireRelease(control("start"), () => Effect.ignore(stop("immediate")))
    return {
      url: `postgres://postgres@${host}:${port}/postgres`,
      port,
      folder,
      start: control("start"),
      stop,
    }
  })
