/** What `doctor` looks at on this machine: keys, files, rights, the database and the clock. */
import { Clock, Duration, Effect, Option, Result } from "effect"
import { Settings, type SettingsValues } from "../domain/Settings.ts"
import { commandIsFirst, configuredKeys } from "../oauth/ConfiguredKeys.ts"
import { runKeyCommand } from "../oauth/KeyCommand.ts"
import { byCommand, lacking, nameOf } from "../oauth/KeyProvider.ts"
import { DatabaseError } from "../storage/Database.ts"
import { diagnose, type Diagnosis } from "../storage/Diagnosis.ts"
import { clientOfSettings } from "../storage/Embedded.ts"
import { fail, type Finding, ok, warn } from "./Finding.ts"
import { short } from "./Text.ts"

/** How far two clocks may be apart: leases and due times are the database's, and certificates and assertions of tokens ours. */
const clockToleranceMillis = 5_000

export const clockFinding = (name: string, theirs: Date, ours: number, whose: string): Finding => {
  const apart = Math.abs(theirs.getTime() - ours)
  return apart <= clockToleranceMillis
    ? ok(name, `this clock and that of ${whose} agree within ${clockToleranceMillis / 1_000} s`)
    : fail(
      name,
      `this clock is ${short(Duration.millis(apart))} off that of ${whose}`,
      "set both by NTP (timedatectl set-ntp true)",
    )
}

const exists = (path: string): boolean => modeOf(path) !== undefined

const modeOf = (path: string): number | undefined => {
  try {
    return (Deno.statSync(path).mode ?? 0) & 0o777
  } catch {
    return undefined
  }
}

/** The rights that the runtime gave this program, and the files that nobody else may read. */
export const rights = ({ dataDir, databaseUrl }: SettingsValues): ReadonlyArray<Finding> => {
  const lacking = (["net", "read", "write", "env"] as const)
    .filter((name) => Deno.permissions.querySync({ name }).state !== "granted")
  const runtime = lacking.length === 0
    ? ok("permissions", "the runtime lets this program use network, files and environment")
    : warn(
      "permissions",
      `the runtime holds back: ${lacking.join(", ")}`,
      "start with deno run -A, as deno task start does",
    )
  if (Option.isSome(databaseUrl)) return [runtime]
  if (!exists(dataDir)) return [runtime, ok("data folder", `${dataDir} is made at the first start`)]
  const open = [dataDir, `${dataDir}/admin.key`, `${dataDir}/encryption.keys`]
    .filter((path) => ((modeOf(path) ?? 0) & 0o077) !== 0)
  return [
    runtime,
    open.length === 0
      ? ok("data folder", `${dataDir} is its owner's alone`)
      : fail("data folder", `others may read ${open.join(", ")}`, `chmod -R go-rwx ${dataDir}`),
  ]
}

/** Whether secrets can be sealed and, where a database was seen, opened again. */
export const encryption = Effect.fnUntraced(function* (settings: SettingsValues, seen: Diagnosis | undefined) {
  const name = "encryption keys"
  const kept = `${settings.dataDir}/encryption.keys`
  const { encryptionKeys, keyCommand } = settings
  if (Option.isNone(encryptionKeys) && Option.isNone(settings.databaseUrl) && Option.isNone(keyCommand)) {
    return ok(name, exists(kept) ? `kept in ${kept}; back it up with the data` : `made at the first start, in ${kept}`)
  }
  const configured = yield* Effect.result(configuredKeys(settings))
  if (Result.isFailure(configured)) {
    return fail(
      name,
      configured.failure.message,
      "keep a copy apart from the database: without it no stored token opens",
    )
  }
  const held = configured.success.map(({ id }) => id)
  if (Option.isSome(keyCommand)) {
    const probe = new TextEncoder().encode("a key of 32 bytes, to be tried.")
    const tried = yield* runKeyCommand(keyCommand.value, "wrap", probe).pipe(
      Effect.flatMap((wrapped) => runKeyCommand(keyCommand.value, "unwrap", wrapped)),
      Effect.result,
    )
    if (Result.isFailure(tried)) return fail(name, tried.failure.message)
    if (!tried.success.every((byte, at) => byte === probe[at]) || tried.success.length !== probe.length) {
      return fail(name, "MAILFLEET_KEY_COMMAND unwraps something else than it wrapped", "mend the program")
    }
  }
  const needed = seen?.keyIds ?? []
  const lacked = needed.filter((by) => by === byCommand ? Option.isNone(keyCommand) : !held.includes(by))
  if (lacked.length > 0) {
    return fail(name, lacking(lacked), "without them these accounts must sign in again")
  }
  const current = commandIsFirst(settings) ? "the command" : held[0]!
  const idle = seen === undefined ? [] : held.filter((id) => id !== current && !needed.includes(id))
  return ok(
    name,
    [
      `${current} wraps new keys`,
      ...(needed.length === 0 ? [] : [`in use: ${needed.map(nameOf).join(", ")}`]),
      ...(idle.length === 0 ? [] : [`may be removed: ${idle.join(", ")}`]),
    ].join("; "),
  )
})

export const adminKey = ({ adminKey, dataDir, databaseUrl }: SettingsValues): Finding => {
  const name = "admin key"
  const kept = `${dataDir}/admin.key`
  if (Option.isSome(adminKey)) return ok(name, "set")
  if (Option.isNone(databaseUrl)) {
    return ok(name, exists(kept) ? `kept in ${kept}` : `made at the first start, in ${kept}`)
  }
  return fail(
    name,
    "MAILFLEET_ADMIN_KEY must be set together with DATABASE_URL",
    "mailfleet keys new-admin-key prints one: set it in the environment of the server",
  )
}

/** Longer than a process that lives is silent: then the others have taken over what it had. */
const silentTooLong = 15

const cluster = ({ members }: Diagnosis): ReadonlyArray<Finding> => {
  if (members.length === 0) return []
  const silent = members.filter(({ silentSeconds }) => silentSeconds > silentTooLong)
  const apart = members.filter((member) => !member.healthy && !silent.includes(member))
  const alive = members.filter((member) => !apart.includes(member) && !silent.includes(member))
  const names = (of: Diagnosis["members"]) => of.map(({ address }) => address).join(", ")
  return [
    ok("cluster", alive.length === 0 ? "no process is alive" : `alive: ${names(alive)}`),
    ...(apart.length === 0 ? [] : [
      fail(
        "cluster",
        `the others do not reach ${names(apart)}`,
        "open its MAILFLEET_CLUSTER_PORT between the processes, and set MAILFLEET_CLUSTER_HOST to a name that they know",
      ),
    ]),
    ...(silent.length === 0 ? [] : [
      warn("cluster", `gone without a word: ${names(silent)}`, "look at its log; the others have taken over its work"),
    ]),
  ]
}

const migrations = ({ isEmpty, mayCreate, pending, schemaExists, unknown }: Diagnosis): Finding => {
  const name = "migrations"
  if (unknown > 0) {
    return fail(name, "a newer Mailfleet has migrated this database", "start that version, or a newer one")
  }
  if (pending.length === 0) return ok(name, "up to date")
  const what = isEmpty ? "no tables yet" : `to be run: ${pending.join(", ")}`
  if (!mayCreate) {
    return fail(
      name,
      `${what}, and this user may not make tables`,
      `grant it create on the ${schemaExists ? "schema" : "database, or make a schema that it owns"}`,
    )
  }
  return isEmpty
    ? ok(name, `${what}; the first start makes them`)
    : warn(name, what, "mailfleet migrate, or the next start, runs them")
}

const ofDatabase = (seen: Diagnosis, ours: number, where: string): ReadonlyArray<Finding> => {
  const version = Math.floor(seen.version / 10_000)
  return [
    version >= 15
      ? ok("database", `Postgres ${version} answers (${where})`)
      : fail("database", `Postgres ${version} answers (${where}): 15 or newer is needed`, "upgrade Postgres"),
    migrations(seen),
    clockFinding("database clock", seen.now, ours, "the database"),
    ...cluster(seen),
  ]
}

/** The database, and what it says of itself where it could be asked. */
export const database = Effect.fnUntraced(
  function* (settings: SettingsValues) {
    const embedded = Option.isNone(settings.databaseUrl)
    if (embedded && !exists(`${settings.dataDir}/database`)) {
      return { seen: undefined, findings: [ok("database", `embedded in ${settings.dataDir}; made at the first start`)] }
    }
    const seen = yield* diagnose(settings.databaseSchema).pipe(Effect.provide(clientOfSettings))
    const where = embedded ? `embedded in ${settings.dataDir}` : `schema ${settings.databaseSchema}`
    return { seen, findings: ofDatabase(seen, yield* Clock.currentTimeMillis, where) }
  },
  (effect, settings) =>
    effect.pipe(
      Effect.provideService(Settings, Settings.of(settings)),
      Effect.catch((error) =>
        Effect.succeed({
          seen: undefined,
          findings: [
            error instanceof DatabaseError && error.inUse === true
              ? ok("database", `embedded in ${settings.dataDir}; a running server has it`)
              : fail(
                "database",
                error.message,
                Option.isNone(settings.databaseUrl)
                  ? "look at the data folder and its disk"
                  : "check host, port, user and password in DATABASE_URL, and that Postgres takes connections from here",
              ),
          ],
        })
      ),
    ),
)
