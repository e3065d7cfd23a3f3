/** Accounts on a real database whose provider is a script: only the token endpoint is doubled. */
import { assert } from "@effect/vitest"
import { Context, Deferred, Effect, Latch, Layer, Logger, Option, Redacted } from "effect"
import type { Account, Provider, Resource } from "../../src/domain/Account.ts"
import { codeOf, type FailureClass, type Reach } from "../../src/domain/FailureClass.ts"
import { type GrantId, newId } from "../../src/domain/Ids.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { GrantStore } from "../../src/oauth/GrantStore.ts"
import { OAuthProvider, type Redemption, type RedemptionFailure } from "../../src/oauth/OAuthProvider.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { Vault } from "../../src/oauth/Vault.ts"
import { AppBreaker } from "../../src/pacing/AppBreaker.ts"
import { ReauthSpike } from "../../src/pacing/ReauthSpike.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { TokenRate } from "../../src/pacing/TokenRate.ts"
import { Accounts } from "../../src/storage/Accounts.ts"
import { DueGrants } from "../../src/storage/grants/DueGrants.ts"
import { Changes } from "../../src/storage/mail/Changes.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { layerDataKeys } from "../../src/storage/encryption/DataKeys.ts"
import { grantOwner, layerGrantStore } from "../../src/storage/grants/Grants.ts"
import { ImportStaging } from "../../src/storage/runs/ImportStaging.ts"
import { Runs } from "../../src/storage/runs/Runs.ts"

export interface Sent {
  readonly clientId: string
  readonly tenant: string
  readonly refreshToken: string
  readonly resource: Resource
}

export type Answer = Effect.Effect<Redemption, RedemptionFailure>

/** The provider of a test: what it was sent, and what it answers. */
export class Script {
  readonly sent: Array<Sent> = []
  inFlight = 0
  mostInFlight = 0
  answer: (sent: Sent) => Answer = rotated

  /** Refresh tokens that were sent, of accounts of this name. */
  tokensOf(name: string): ReadonlyArray<string> {
    return this.sent.map(({ refreshToken }) => refreshToken).filter((token) => token.startsWith(`${name}.`))
  }

  readonly layer: Layer.Layer<OAuthProvider> = Layer.succeed(OAuthProvider, {
    obtain: () => Effect.die("there is no app-only grant in this fleet"),
    redeem: ({ app, refreshToken, resource }) =>
      Effect.suspend(() => {
        const sent = {
          clientId: app.clientId,
          tenant: app.tenant,
          refreshToken: Redacted.value(refreshToken),
          resource,
        }
        this.sent.push(sent)
        this.inFlight++
        this.mostInFlight = Math.max(this.mostInFlight, this.inFlight)
        return Effect.ensuring(this.answer(sent), Effect.sync(() => void this.inFlight--))
      }),
  })
}

/** `name.1` → `name.2` */
export const successor = (token: string): string => {
  const [name, generation] = token.split(".")
  return `${name}.${Number(generation) + 1}`
}

export const rotated = ({ refreshToken, resource }: Sent): Answer =>
  Effect.succeed({
    accessToken: Redacted.make(`access to ${resource} by ${refreshToken}`),
    expiresIn: 3_600,
    refreshToken: Redacted.make(successor(refreshToken)),
  })

let accesses = 0
/** As Google answers: no new refresh token. */
export const unrotated = ({ refreshToken, resource }: Sent): Answer =>
  Effect.succeed({
    accessToken: Redacted.make(`access ${++accesses} to ${resource} by ${refreshToken}`),
    expiresIn: 3_600,
  })

export const failing = (
  failureClass: FailureClass,
  more: {
    readonly retryAfterMillis?: number
    readonly reach?: Reach
    readonly providerCode?: string
    readonly refreshToken?: Redacted.Redacted
  } = {},
) =>
(): Answer => {
  const { reach, refreshToken, ...error } = more
  return Effect.fail({
    error: new ProviderError({
      class: failureClass,
      code: codeOf[failureClass],
      message: `the provider said ${failureClass}`,
      ...error,
    }),
    ...(reach === undefined ? {} : { reach }),
    ...(refreshToken === undefined ? {} : { refreshToken }),
  })
}

/** An answer that is held back until the test lets it go. */
export const held = (answer: (sent: Sent) => Answer = rotated) => {
  const asked = Deferred.makeUnsafe<Sent>()
  const gate = Latch.makeUnsafe()
  return {
    /** The first request. */
    asked: Deferred.await(asked),
    release: gate.open,
    answer: (sent: Sent): Answer =>
      Effect.andThen(Deferred.succeed(asked, sent), Effect.andThen(gate.await, answer(sent))),
  }
}

/** The refresh service of one process: its own pacing, on the database that all share. */
export const process = (script: Script, wrap: (store: GrantStore["Service"]) => GrantStore["Service"] = (it) => it) =>
  Effect.gen(function* () {
    const store = yield* GrantStore
    const layer = Tokens.layer.pipe(
      Layer.provide([
        Throttle.layer,
        TokenRate.layer,
        AppBreaker.layer,
        ReauthSpike.layer,
        script.layer,
        Layer.succeed(GrantStore, wrap(store)),
      ]),
    )
    return Context.get(yield* Layer.build(Layer.fresh(layer)), Tokens)
  })

const settings = Layer.orDie(Settings.layerWith({
  databaseUrl: Option.none(),
  encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
}))

/** All that keeps accounts and grants. */
export const fleet = Layer.mergeAll(
  Accounts.layer,
  DueGrants.layer,
  Changes.layer,
  layerGrantStore,
  ImportStaging.layer.pipe(Layer.provideMerge(Runs.layer)),
).pipe(
  Layer.provideMerge(Vault.layer),
  Layer.provideMerge(layerDataKeys),
  Layer.provideMerge(settings),
  // Failures that a test makes on purpose are logged, and nobody reads them.
  Layer.provideMerge(Logger.layer([])),
  Layer.orDie,
)

export interface Member {
  readonly id: string
  readonly grantId: GrantId
  readonly clientId: string
  readonly resource: Resource
  /** Its refresh tokens are `name.1`, `name.2`, … */
  readonly name: string
  readonly email: string
}

/** An account as an import leaves it: stored, not redeemed. */
export const addAccount = Effect.fnUntraced(function* (
  options: { readonly clientId?: string; readonly tenant?: string; readonly provider?: Provider } = {},
): Effect.fn.Return<Member, never, ImportStaging | Accounts> {
  const { clientId = newId(), provider = "microsoft", tenant = "common" } = options
  const name = newId()
  const email = `${name}@example.com`
  const stored = yield* (yield* ImportStaging).storeOne({
    email,
    clientId,
    tenant,
    provider,
    refreshToken: Redacted.make(`${name}.1`),
    channel: provider === "google" ? "gmail" : "graph",
    tags: [],
  })
  const target = Option.getOrThrow(yield* (yield* Accounts).target(stored.accountId ?? ""))
  return { id: target.id, grantId: target.grantId, clientId, resource: target.resource, name, email }
})

export const accountOf = (member: Member): Effect.Effect<Account, never, Accounts> =>
  Effect.flatMap(Accounts, (accounts) => Effect.map(accounts.get(member.id), Option.getOrThrow))

export const statusOf = (member: Member) => Effect.map(accountOf(member), ({ status }) => status)

/** What is stored of a grant, its refresh token in the open. */
export const grantOf = Effect.fnUntraced(function* ({ grantId }: Pick<Member, "grantId">) {
  const { sql, tables: t } = yield* Database
  const vault = yield* Vault
  const rows = yield* sql<{
    version: number
    secret: Uint8Array
    leased: boolean
    failures: number
    failure_class: string | null
    due: number | null
  }>`select version, secret, coalesce(lease_until > now(), false) as leased, failures, failure_class,
      extract(epoch from attempt_at - now())::float8 as due
    from ${t.grants} where id = ${grantId}`
  const { secret, ...row } = rows[0]!
  return { ...row, refreshToken: Redacted.value(yield* Effect.orDie(vault.open(grantOwner(grantId), secret))) }
}, orDie)

/** Ends the lease of a grant, as time would. */
export const endLease = ({ grantId }: Member) =>
  Effect.flatMap(
    Database,
    ({ sql, tables: t }) =>
      orDie(sql`update ${t.grants} set lease_until = now() - interval '1 second' where id = ${grantId}`),
  )

/** Has a grant due, and tried, so many seconds from now. */
export const setDue = ({ grantId }: Pick<Member, "grantId">, seconds: number) =>
  Effect.flatMap(
    Database,
    ({ sql, tables: t }) =>
      orDie(sql`update ${t.grants} set due_at = now() + make_interval(secs => ${seconds}::float8),
        attempt_at = now() + make_interval(secs => ${seconds}::float8) where id = ${grantId}`),
  )

/** Lets minutes pass for what the database remembers of a grant and its access tokens. */
export const age = Effect.fnUntraced(function* ({ grantId }: Pick<Member, "grantId">, minutes: number) {
  const { sql, tables: t } = yield* Database
  const passed = sql`make_interval(mins => ${minutes})`
  yield* sql`update ${t.access_tokens} set expires_at = expires_at - ${passed}, renew_at = renew_at - ${passed}
    where grant_id = ${grantId}`
  // Last, for the grant may be due by then.
  yield* sql`update ${t.grants} set failing_since = failing_since - ${passed}, failed_at = failed_at - ${passed},
    refreshed_at = refreshed_at - ${passed}, due_at = due_at - ${passed}, attempt_at = attempt_at - ${passed}
    where id = ${grantId}`
}, orDie)

/** Another account on the grant of `member`, in use. */
export const addSharer = Effect.fnUntraced(function* (member: Member, channel: "graph" | "imap") {
  const { sql, tables: t } = yield* Database
  const id = newId()
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    values (${id}, 'microsoft', ${id}, ${id}, ${channel}, ${member.grantId}, 'active')`
  return { ...member, id }
}, orDie)

/** A second import of the account, with another token. */
export const importAgain = Effect.fnUntraced(function* (member: Member, refreshToken: string) {
  const staging = yield* ImportStaging
  const runs = yield* Runs
  const begun = yield* staging.begin({ kind: "import", trigger: "test" })
  assert(begun._tag === "New")
  yield* staging.append(begun.upload, [{
    _tag: "ImportRow",
    line: 2,
    email: member.email,
    clientId: member.clientId,
    refreshToken: Redacted.make(refreshToken),
    tenant: "common",
    provider: "microsoft",
    channel: "graph",
    tags: [],
  }])
  const { id } = yield* staging.seal(begun.upload, "")
  const owned = (yield* runs.claim("import", 100)).find((run) => run.id === id)!
  yield* staging.applyNext(owned, { onDuplicate: "update", dryRun: false, verify: false })
  yield* runs.finish(owned, "completed")
  const { items } = yield* Effect.orDie(runs.items(id, { limit: 1 }))
  return items[0]!
})

export const access = ({ token }: { readonly token: Redacted.Redacted }): string => Redacted.value(token)
