/** Sign-ins under way. The link, the browser and the state are known by their hashes only. */
import { Context, DateTime, Effect, Layer, Option, Redacted } from "effect"
import { createHash } from "node:crypto"
import type { Channel, Provider } from "../../domain/Account.ts"
import type {
  ConnectKind,
  ConnectSession,
  ConnectState,
  RefusalCode,
  SignInRefused,
} from "../../domain/ConnectSession.ts"
import { type AccountId, type AppId, type GrantId, isId, newId } from "../../domain/Ids.ts"
import { Vault } from "../../oauth/Vault.ts"
import { column, Database, orDie } from "../Database.ts"

export interface NewConnectSession {
  readonly kind: ConnectKind
  readonly appId: AppId
  readonly accountId?: AccountId | undefined
  readonly expectedEmail?: string | undefined
  readonly returnUrl?: string | undefined
  readonly tags: ReadonlyArray<string>
  readonly channel: Channel
  readonly redirectUri: string
  readonly link: Redacted.Redacted
  readonly ttlSeconds: number
}

/** A session with what only this server needs to know of it. */
export interface StoredSession {
  readonly session: ConnectSession
  readonly provider: Provider
  readonly channel: Channel
  readonly redirectUri: string
}

/** A session whose code somebody is to enter on another machine. */
export interface WaitingDevice extends StoredSession {
  readonly secret: Redacted.Redacted
  /** As it is stored, by which a change made meanwhile is seen. */
  readonly sealed: Uint8Array
}

interface Row {
  readonly id: string
  readonly kind: ConnectKind
  readonly state: ConnectState
  readonly app_id: string
  readonly provider: Provider
  readonly account_id: string | null
  readonly expected_email: string | null
  readonly return_url: string | null
  readonly tags: ReadonlyArray<string>
  readonly channel: Channel
  readonly redirect_uri: string
  readonly created_at: Date
  readonly expires_at: Date
  readonly error_code: RefusalCode | null
  readonly error_message: string | null
  readonly connected_account_id: string | null
  readonly grant_id: string | null
}

const toStored = (row: Row): StoredSession => ({
  session: {
    id: row.id,
    kind: row.kind,
    state: row.state,
    appId: row.app_id,
    ...(row.account_id === null ? {} : { accountId: row.account_id }),
    ...(row.expected_email === null ? {} : { expectedEmail: row.expected_email }),
    ...(row.return_url === null ? {} : { returnUrl: row.return_url }),
    tags: row.tags,
    createdAt: DateTime.fromDateUnsafe(row.created_at),
    expiresAt: DateTime.fromDateUnsafe(row.expires_at),
    ...(row.error_code === null ? {} : { error: { code: row.error_code, message: row.error_message ?? "" } }),
    ...(row.connected_account_id === null ? {} : { connectedAccountId: row.connected_account_id }),
    ...(row.grant_id === null ? {} : { grantId: row.grant_id }),
  },
  provider: row.provider,
  channel: row.channel,
  redirectUri: row.redirect_uri,
})

/** Of 256 random bits no more than this is needed: there is nothing to guess. */
const hash = (secret: Redacted.Redacted): Uint8Array =>
  Uint8Array.from(createHash("sha256").update(Redacted.value(secret)).digest())

export const sessionOwner = (id: string): string => `connect:${id}`

const first = (rows: ReadonlyArray<Row>) => Option.map(Option.fromUndefinedOr(rows[0]), toStored)

export class ConnectSessions extends Context.Service<ConnectSessions, {
  readonly create: (session: NewConnectSession) => Effect.Effect<StoredSession>
  readonly get: (id: string) => Effect.Effect<Option.Option<StoredSession>>
  /** The app that the grant of an account belongs to. */
  readonly appOf: (accountId: AccountId) => Effect.Effect<Option.Option<AppId>>
  readonly byLink: (link: Redacted.Redacted) => Effect.Effect<Option.Option<StoredSession>>
  readonly byState: (state: Redacted.Redacted) => Effect.Effect<Option.Option<StoredSession>>
  /**
   * Spends a link: whoever bears `browser` from now on may finish the sign-in that comes back with `state`. False = it is
   * spent already, or has ended.
   */
  readonly start: (
    link: Redacted.Redacted,
    flow: {
      readonly browser: Redacted.Redacted
      readonly state: Redacted.Redacted
      readonly secret: Redacted.Redacted
      readonly ttlSeconds: number
    },
  ) => Effect.Effect<boolean>
  /** Spends a state and answers with the secret of its flow. None = it is spent, has ended, or is another browser's. */
  readonly take: (
    state: Redacted.Redacted,
    browser: Redacted.Redacted,
  ) => Effect.Effect<Option.Option<StoredSession & { readonly secret: Redacted.Redacted }>>
  /** Sends the browser of a session out once more. False = its time is over. */
  readonly goOn: (
    id: string,
    flow: { readonly state: Redacted.Redacted; readonly secret: Redacted.Redacted },
  ) => Effect.Effect<boolean>
  /** Spends a link for a device: the code that it was given. False = it is spent already, or has ended. */
  readonly startDevice: (id: string, secret: Redacted.Redacted, ttlSeconds: number) => Effect.Effect<boolean>
  /** The code of a device that waits. None = nobody waits any more, or it is no device's. */
  readonly deviceOf: (id: string) => Effect.Effect<Option.Option<WaitingDevice>>
  /** Writes down what is known of the code now. None = somebody else has, or nobody waits any more. */
  readonly noteDevice: (before: WaitingDevice, secret: Redacted.Redacted) => Effect.Effect<Option.Option<WaitingDevice>>
  /** Whether the state of a session has been spent. */
  readonly isTaken: (id: string) => Effect.Effect<boolean>
  /** The end of a session that was started, or whose link was given up. */
  readonly refuse: (id: string, refused: Pick<SignInRefused, "code" | "message">) => Effect.Effect<void>
  /** The end of an administrator's consent. That of a sign-in is a part of what stores it. */
  readonly consented: (id: string, grantId: GrantId) => Effect.Effect<void>
}>()("mailfleet/storage/ConnectSessions") {
  static readonly layer: Layer.Layer<ConnectSessions, never, Database | Vault> = Layer.effect(
    ConnectSessions,
    Effect.gen(function* () {
      const { sql, tables: t } = yield* Database
      const vault = yield* Vault

      const columns = sql.literal(`s.id, s.kind,
        case when s.state in ('open', 'started') and s.expires_at <= now() then 'expired' else s.state end as state,
        s.app_id, p.provider, s.account_id, s.expected_email, s.return_url, s.tags, s.channel, s.redirect_uri, s.created_at,
        s.expires_at, s.error_code, s.error_message, s.connected_account_id, s.grant_id`)
      const from = sql`${t.connect_sessions} s join ${t.apps} p on p.id = s.app_id`

      const get = Effect.fn("ConnectSessions.get")(function* (id: string) {
        if (!isId(id)) return Option.none()
        return first(yield* sql<Row>`select ${columns} from ${from} where s.id = ${id}`)
      }, orDie)

      /** What is taken is gone before it is used: a process that dies meanwhile leaves a session that expires. */
      const take = Effect.fn("ConnectSessions.take")(function* (state: Redacted.Redacted, browser: Redacted.Redacted) {
        const rows = yield* sql<Row & { readonly taken: Uint8Array }>`with found as (
            select id, secret from ${t.connect_sessions} where state_hash = ${hash(state)}
              and browser_hash = ${hash(browser)} and state = 'started' and expires_at > now() and secret is not null
            for update
          ), taken as (
            update ${t.connect_sessions} s set secret = null from found where s.id = found.id returning s.id
          )
          select ${columns}, found.secret as taken from found join taken using (id)
          join ${from} on s.id = found.id`
        const row = rows[0]
        if (row === undefined) return Option.none()
        const secret = yield* Effect.option(vault.open(sessionOwner(row.id), row.taken))
        return Option.map(secret, (secret) => ({ ...toStored(row), secret }))
      }, orDie)

      return ConnectSessions.of({
        create: Effect.fn("ConnectSessions.create")(function* (made: NewConnectSession) {
          const id = newId()
          yield* orDie(
            sql`insert into ${t.connect_sessions} (id, kind, app_id, account_id, expected_email, return_url, tags,
              channel, redirect_uri, link_hash, expires_at)
            values (${id}, ${made.kind}, ${made.appId}, ${made.accountId ?? null}, ${made.expectedEmail ?? null},
              ${made.returnUrl ?? null}, ${column("text", made.tags)}, ${made.channel}, ${made.redirectUri},
              ${hash(made.link)}, now() + make_interval(secs => ${made.ttlSeconds}::float8))`,
          )
          return Option.getOrThrow(yield* get(id))
        }),
        get,
        appOf: (accountId) =>
          orDie(Effect.map(
            sql<{ app_id: string }>`select g.app_id from ${t.accounts} a join ${t.grants} g on g.id = a.grant_id
              where a.id = ${accountId}`,
            (rows) => Option.map(Option.fromUndefinedOr(rows[0]), ({ app_id }) => app_id),
          )),
        // Served by the unique indexes of the hashes.
        byLink: (link) =>
          orDie(Effect.map(sql<Row>`select ${columns} from ${from} where s.link_hash = ${hash(link)}`, first)),
        byState: (state) =>
          orDie(Effect.map(sql<Row>`select ${columns} from ${from} where s.state_hash = ${hash(state)}`, first)),
        start: Effect.fn("ConnectSessions.start")(function* (link, { browser, secret, state, ttlSeconds }) {
          const found = yield* sql<{ id: string }>`select id from ${t.connect_sessions} where link_hash = ${hash(link)}`
          if (found[0] === undefined) return false
          const { id } = found[0]
          // A person who opens the link late has the time to sign in all the same.
          const started = yield* sql`update ${t.connect_sessions} set state = 'started', opened_at = now(),
              browser_hash = ${hash(browser)}, state_hash = ${hash(state)},
              secret = ${vault.seal(sessionOwner(id), Redacted.value(secret))},
              expires_at = greatest(expires_at, now() + make_interval(secs => ${ttlSeconds}::float8))
            where id = ${id} and state = 'open' and expires_at > now() returning id`
          return started.length > 0
        }, orDie),
        take,
        goOn: (id, { secret, state }) =>
          orDie(Effect.map(
            sql`update ${t.connect_sessions} set state_hash = ${hash(state)},
                secret = ${vault.seal(sessionOwner(id), Redacted.value(secret))}
              where id = ${id} and state = 'started' and secret is null and expires_at > now() returning id`,
            (rows) => rows.length > 0,
          )),
        startDevice: Effect.fn("ConnectSessions.startDevice")(function* (id, secret, ttlSeconds) {
          const started = yield* sql`update ${t.connect_sessions} set state = 'started', opened_at = now(),
              secret = ${vault.seal(sessionOwner(id), Redacted.value(secret))},
              expires_at = now() + make_interval(secs => ${ttlSeconds}::float8)
            where id = ${id} and state = 'open' and expires_at > now() returning id`
          return started.length > 0
        }, orDie),
        deviceOf: Effect.fn("ConnectSessions.deviceOf")(function* (id: string) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<Row & { readonly sealed: Uint8Array }>`select ${columns}, s.secret as sealed
            from ${from} where s.id = ${id} and s.state = 'started' and s.expires_at > now() and s.secret is not null
              and s.state_hash is null`
          const row = rows[0]
          if (row === undefined) return Option.none()
          const secret = yield* Effect.option(vault.open(sessionOwner(row.id), row.sealed))
          return Option.map(secret, (secret) => ({ ...toStored(row), secret, sealed: row.sealed }))
        }, orDie),
        noteDevice: Effect.fn("ConnectSessions.noteDevice")(
          function* (before: WaitingDevice, secret: Redacted.Redacted) {
            const { id } = before.session
            const sealed = vault.seal(sessionOwner(id), Redacted.value(secret))
            const noted = yield* sql`update ${t.connect_sessions} set secret = ${sealed}
            where id = ${id} and state = 'started' and secret = ${before.sealed} returning id`
            return noted.length > 0 ? Option.some({ ...before, secret, sealed }) : Option.none()
          },
          orDie,
        ),
        isTaken: (id) =>
          orDie(Effect.map(
            sql`select 1 from ${t.connect_sessions} where id = ${id} and state_hash is not null and secret is null`,
            (rows) => rows.length > 0,
          )),
        refuse: Effect.fn("ConnectSessions.refuse")(function* (id, { code, message }) {
          yield* sql`update ${t.connect_sessions} set state = 'refused', error_code = ${code}, error_message = ${message},
              secret = null, finished_at = now()
            where id = ${id} and state in ('open', 'started')`
        }, orDie),
        consented: Effect.fn("ConnectSessions.consented")(function* (id, grantId) {
          yield* sql`update ${t.connect_sessions} set state = 'connected', grant_id = ${grantId}, finished_at = now()
            where id = ${id} and state = 'started'`
        }, orDie),
      })
    }),
  )
}
