/** Rows and pages that tests of mail begin with. */
import { Context, Effect, Layer, Option } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { type MailAccount, type Page, type RemoteFolder, type RemoteMessage } from "../../src/mail/Mailbox.ts"
import { BodyKeeping } from "../../src/storage/mail/BodyKeeping.ts"
import { Changes } from "../../src/storage/mail/Changes.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { MailKeeping } from "../../src/storage/mail/MailKeeping.ts"
import { IdleWatches } from "../../src/storage/mail/IdleWatches.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { SyncCounts } from "../../src/storage/mail/SyncCounts.ts"
import { SyncLeases } from "../../src/storage/mail/SyncLeases.ts"
import { SyncTurns } from "../../src/storage/mail/SyncTurns.ts"

/** The repositories of mail. */
export const mailStorage = Layer.mergeAll(
  Changes.layer,
  Folders.layer,
  IdleWatches.layer,
  MailKeeping.layer.pipe(Layer.provideMerge(BodyKeeping.layer)),
  Messages.layer,
  MessageWriter.layer,
  SyncCounts.layer,
  SyncLeases.layer,
  SyncTurns.layer,
).pipe(Layer.provide(Layer.orDie(Settings.layerWith({}))))

/** Puts an account with a grant and an app of its own into the database. */
export const makeAccount = Effect.fnUntraced(function* (
  options: {
    readonly email?: string
    readonly clientId?: string
    readonly channel?: MailAccount["channel"]
    readonly provider?: MailAccount["provider"]
  },
) {
  const { sql, tables: t } = yield* Database
  const account: MailAccount = {
    id: newId(),
    email: options.email ?? `${newId()}@example.com`,
    provider: options.provider ?? "microsoft",
    channel: options.channel ?? "graph",
    grantId: newId(),
    clientId: options.clientId ?? newId(),
    byName: false,
  }
  const app = newId()
  yield* sql`insert into ${t.apps} (id, provider, client_id, tenant)
    values (${app}, ${account.provider}, ${account.clientId}, ${app})`
  yield* sql`insert into ${t.grants} (id, app_id, secret, token_hash)
    values (${account.grantId}, ${app}, ${new Uint8Array()}, ${new Uint8Array()})`
  yield* sql`insert into ${t.accounts} (id, provider, email, email_key, channel, grant_id, status)
    values (${account.id}, ${account.provider}, ${account.email}, ${account.email}, ${account.channel}, ${account.grantId},
      'active')`
  return account
}, orDie)

export const acquireLease = (accountId: string) =>
  Effect.flatMap(SyncLeases, (leases) => leases.acquire(accountId)).pipe(
    Effect.map(Option.getOrThrowWith(() => new Error("the lease is held"))),
  )

export const remoteFolder = (remoteId: string, more: Partial<RemoteFolder> = {}): RemoteFolder => ({
  remoteId,
  parentRemoteId: null,
  displayName: remoteId,
  role: null,
  totalItems: 0,
  ...more,
})

export const upsert = (remoteId: string, fields: Partial<RemoteMessage> = {}) =>
  ({ _tag: "Upsert", remoteId, fields }) as const

export const removed = (remoteId: string) => ({ _tag: "Removed", remoteId }) as const

let cursors = 0

/** The last page of a round. */
export const page = (...changes: Page["changes"]): Page => ({
  changes,
  cursor: `cursor ${++cursors}`,
  roundComplete: true,
})

/** A page that others follow. */
export const middlePage = (...changes: Page["changes"]): Page => ({ ...page(...changes), roundComplete: false })

/** All entries of an account, oldest first, without what differs from run to run. */
export const changesOf = Effect.fnUntraced(function* (accountId: string) {
  const log = yield* Changes
  const entries = []
  for (let after: string | undefined = undefined;;) {
    const { items, nextCursor }: Effect.Success<ReturnType<Context.Service.Shape<typeof Changes>["list"]>> = yield* log
      .list({ after, limit: 500 })
    entries.push(...items.filter((entry) => entry.accountId === accountId))
    if (items.length === 0) return entries
    after = nextCursor
  }
})
