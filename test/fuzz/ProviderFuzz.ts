/** A fleet of both providers while these misbehave, and afterwards. */
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { make } from "../../src/simulator/Simulator.ts"
import type { Engine } from "../support/engines.ts"
import { all, ended, install, runOf, type Service, startOverAll, upload } from "../support/processes.ts"
import { hostileProvider } from "./HostileProvider.ts"

export interface ProviderFuzzed {
  /** Answers that were not the provider's. */
  readonly answers: number
  readonly rounds: number
  /** Accounts that were given up while only garbage came. */
  readonly dead: ReadonlyArray<string>
  /** Requests that carried a token elsewhere. */
  readonly lured: number
  /** Secrets in what the process wrote or answered. */
  readonly secrets: number
  /** Accounts that do not refresh or sync once the provider behaves. */
  readonly notBack: ReadonlyArray<string>
  readonly residentMiB: ReadonlyArray<number>
  readonly defects: ReadonlyArray<string>
}

const residentMiB = ({ pid }: Service): number =>
  Math.round(Number(/VmRSS:\s+(\d+)/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1] ?? 0) / 1_024)

const lives = (status: string) => status === "active" || status === "pending"

/** Secrets of the simulator: whatever holds one of them shows too much. */
const secretIn = (text: string): boolean => /\bM\.C\d{3}_|eyJ[\w-]{30}|\b1\/\/[\w-]{20}|Bearer [\w-]{10}/.test(text)

export const fuzzProvider = (
  engine: Engine,
  options: { readonly seed: number; readonly accounts: number; readonly millis: number },
) =>
  Effect.gen(function* () {
    const simulator = yield* make({
      accounts: options.accounts,
      googleAccounts: Math.ceil(options.accounts / 2),
      messages: 15,
      // What one app is refused leaves the others alone.
      apps: 8,
      googleApps: 4,
      oddPages: 0.1,
    })
    const provider = yield* hostileProvider(simulator, options.seed)
    const installation = yield* install(engine, provider.origin, {
      MAILFLEET_GOOGLE_TOKEN_URL: `${provider.origin}/google/token`,
      MAILFLEET_GMAIL_URL: `${provider.origin}/gmail/v1`,
      MAILFLEET_SCHEDULES: "off",
      MAILFLEET_SYNC_CONCURRENCY: "20",
      MAILFLEET_REFRESH_CONCURRENCY: "20",
    })
    const service = yield* installation.start()
    const first = options.accounts - Math.ceil(options.accounts / 2) + 1
    for (let n = first; n <= options.accounts; n++) {
      const { clientId, clientSecret } = simulator.account(`sim${String(n).padStart(5, "0")}@gmail.sim.example`)
      // One that is known already is refused, and does no harm.
      yield* service.send("/v1/apps", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ provider: "google", clientId, secret: clientSecret }),
      })
    }
    const imported = yield* upload(service, [...simulator.importLines()].join(""), { "content-type": "text/csv" })
    yield* ended(service, imported.id)
    const accounts = all(service, Account, "/v1/accounts")
    const begun = yield* accounts
    const alive = new Set(begun.filter(({ status }) => lives(status)).map(({ email }) => email))

    provider.hostile = true
    const end = Date.now() + options.millis
    const sizes: Array<number> = []
    let rounds = 0
    while (Date.now() < end) {
      rounds++
      for (const kind of ["refresh", "sync"] as const) {
        const { id } = yield* startOverAll(service, kind)
        // Pauses are waited out: what takes longer than the provider's whim is broken off.
        const outcome = yield* Effect.result(ended(service, id, "5 seconds"))
        if (outcome._tag === "Failure") {
          yield* service.send(`/v1/runs/${id}/cancel`, { method: "POST" })
          yield* Effect.ignore(ended(service, id, "60 seconds"))
        }
      }
      sizes.push(residentMiB(service))
    }
    const after = yield* accounts
    const dead = after.filter(({ email, status }) => alive.has(email) && !lives(status))
      .map(({ email, status, statusReason }) => `${email} ${status} ${statusReason ?? ""}`)
    const shown = yield* Effect.forEach(
      ["/v1/accounts?limit=500", "/v1/events?limit=500", "/v1/runs?limit=100"],
      (path) => service.send(path),
    )

    // As after a restart: pauses that garbage asked for end with the process.
    provider.hostile = false
    const output = service.output()
    yield* service.stop
    yield* installation.query((sql, t) => sql`update ${t("accounts")} set sync_due_at = now()`)
    const again = yield* installation.start()
    const notBack: Array<string> = []
    for (const kind of ["refresh", "sync"] as const) {
      const run = yield* startOverAll(again, kind)
      yield* ended(again, run.id, "120 seconds")
      const { failed } = yield* runOf(again, run.id)
      const items = yield* all(again, RunItem, `/v1/runs/${run.id}/items?outcome=failed`)
      if (failed > 0) {
        notBack.push(...items.map(({ email, error }) => `${kind} ${email}: ${error?.code} ${error?.message}`))
      }
    }
    const texts = [output, again.output(), ...shown.map(({ text }) => text)]
    return {
      answers: provider.answers,
      rounds,
      dead,
      lured: provider.lured,
      secrets: texts.filter(secretIn).length,
      notBack,
      residentMiB: sizes,
      defects: output.split("\n").filter((line) => /level=(?:Error|Fatal)|\bERROR\b|RangeError|TypeError/.test(line)),
    } satisfies ProviderFuzzed
  }).pipe(Effect.scoped)

const RunItem = Schema.Struct({
  email: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(Schema.Struct({ code: Schema.String, message: Schema.String })),
})
