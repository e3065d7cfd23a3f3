/** The mail of a remote as programs see it: its channel over real connections, with a tap in front, and tokens for it. */
import { Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { codeOf } from "../../src/domain/FailureClass.ts"
import { ProviderError } from "../../src/domain/ProviderError.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { Gmail } from "../../src/mail/gmail/Gmail.ts"
import { Graph } from "../../src/mail/graph/Graph.ts"
import { Imap } from "../../src/mail/imap/Imap.ts"
import { ImapTransport } from "../../src/mail/imap/ImapTransport.ts"
import { Mailboxes } from "../../src/mail/Mailboxes.ts"
import { MimeParser } from "../../src/mail/mime/MimeParser.ts"
import { type AccessToken, Tokens } from "../../src/oauth/Tokens.ts"
import { ConnectionLimiter } from "../../src/pacing/ConnectionLimiter.ts"
import { MailboxLimiter } from "../../src/pacing/MailboxLimiter.ts"
import { MailboxUnits } from "../../src/pacing/MailboxUnits.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { Database, orDie } from "../../src/storage/Database.ts"
import { mailStorage } from "./mail.ts"
import { Remote } from "./remote.ts"
import { Tap } from "./tap.ts"

const unknownGrant = new ProviderError({ class: "needs_user", code: codeOf.needs_user, message: "no such grant" })

/** Tokens of the remote, kept until one is to be refreshed. */
const tokens: Layer.Layer<Tokens, never, Remote | Database> = Layer.effect(
  Tokens,
  Effect.gen(function* () {
    const remote = yield* Remote
    const { sql, tables: t } = yield* Database
    const kept = new Map<string, AccessToken>()
    const refresh = Effect.fnUntraced(function* (grantId: string) {
      const [row] = yield* orDie(sql<{ email: string }>`select email from ${t.accounts} where grant_id = ${grantId}`)
      if (row === undefined) return yield* unknownGrant
      const token = yield* remote.redeem(row.email)
      kept.set(grantId, token)
      return token
    })
    return Tokens.of({
      accessToken: (grantId) =>
        Effect.suspend(() => {
          const token = kept.get(grantId)
          return token === undefined ? refresh(grantId) : Effect.succeed(token)
        }),
      refresh,
      refreshSince: refresh,
    })
  }),
)

const mailboxes: Layer.Layer<Mailboxes, never, Remote | Tokens> = Layer.unwrap(
  Effect.map(Remote, ({ settings }) =>
    Mailboxes.layer.pipe(
      Layer.provide([Gmail.layer, Graph.layer, Imap.layer]),
      Layer.provide([
        ConnectionLimiter.layer,
        FetchHttpClient.layer,
        ImapTransport.layer,
        MimeParser.layer,
        Throttle.layer,
        MailboxLimiter.layer,
        MailboxUnits.layer,
      ]),
      Layer.provide(Layer.orDie(Settings.layerWith(settings))),
    )),
)

/** Everything that syncs the mail of a remote. */
export const syncingOver = (
  remote: Layer.Layer<Remote>,
): Layer.Layer<Remote | Tap | SyncAccount, never, Database> =>
  SyncAccount.layer.pipe(
    Layer.provideMerge(Tap.layer(mailboxes)),
    Layer.provide([tokens, SyncPace.layer]),
    Layer.provideMerge(remote),
    Layer.provide(Layer.orDie(Settings.layerWith({}))),
    Layer.provide(mailStorage),
  )
