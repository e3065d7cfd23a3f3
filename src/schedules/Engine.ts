/** All services of the engine, put together. What it stands on - settings, database, HTTP client - comes from outside. */
import { Layer } from "effect"
import type { RunnerStorage, Sharding } from "effect/cluster"
import type { HttpClient } from "effect/http"
import type { Settings, SettingsError } from "../domain/Settings.ts"
import { Gmail } from "../mail/gmail/Gmail.ts"
import { GmailWatch } from "../mail/gmail/GmailWatch.ts"
import { Graph } from "../mail/graph/Graph.ts"
import { GraphSubscriptions } from "../mail/graph/GraphSubscriptions.ts"
import { TenantDirectory } from "../mail/graph/TenantDirectory.ts"
import { Imap } from "../mail/imap/Imap.ts"
import { ImapIdle } from "../mail/imap/ImapIdle.ts"
import { ImapTransport } from "../mail/imap/ImapTransport.ts"
import { Mailboxes } from "../mail/Mailboxes.ts"
import { MimeParser } from "../mail/mime/MimeParser.ts"
import type { GrantStore } from "../oauth/GrantStore.ts"
import { layerProviders } from "../oauth/Providers.ts"
import { SignIn } from "../oauth/SignIn.ts"
import { SignInDevice } from "../oauth/SignInDevice.ts"
import { Tokens } from "../oauth/Tokens.ts"
import { Vault } from "../oauth/Vault.ts"
import { AdaptiveConcurrency } from "../pacing/AdaptiveConcurrency.ts"
import { AppBreaker } from "../pacing/AppBreaker.ts"
import { ConnectionLimiter } from "../pacing/ConnectionLimiter.ts"
import { MailboxLimiter } from "../pacing/MailboxLimiter.ts"
import * as MailboxPlaces from "../pacing/MailboxPlaces.ts"
import { MailboxUnits } from "../pacing/MailboxUnits.ts"
import { ReauthSpike } from "../pacing/ReauthSpike.ts"
import { SyncPace } from "../pacing/SyncPace.ts"
import { Throttle } from "../pacing/Throttle.ts"
import { TokenRate } from "../pacing/TokenRate.ts"
import { AccessTokens } from "../programs/AccessTokens.ts"
import { AppRequests } from "../programs/AppRequests.ts"
import { Concurrency } from "../programs/Concurrency.ts"
import { ConnectDevice } from "../programs/ConnectDevice.ts"
import { Attachments } from "../programs/Attachments.ts"
import { Connect } from "../programs/Connect.ts"
import * as OperatorEvents from "../programs/OperatorEvents.ts"
import { Erasing } from "../programs/Erasing.ts"
import { GrantRequests } from "../programs/GrantRequests.ts"
import { PublicUrl } from "../programs/PublicUrl.ts"
import { Reconnect } from "../programs/Reconnect.ts"
import { ReconnectLinks } from "../programs/ReconnectLinks.ts"
import { RotateEncryption } from "../programs/RotateEncryption.ts"
import { RunRequests } from "../programs/RunRequests.ts"
import { RunWorker } from "../programs/RunWorker.ts"
import { SyncAccount } from "../programs/SyncAccount.ts"
import { WebhookAddress } from "../programs/webhooks/WebhookAddress.ts"
import { WebhookRequests } from "../programs/webhooks/WebhookRequests.ts"
import { WebhookSender } from "../programs/webhooks/WebhookSender.ts"
import { WebhookSession } from "../programs/webhooks/WebhookSession.ts"
import { Accounts } from "../storage/Accounts.ts"
import { AppOnlyGrants } from "../storage/grants/AppOnlyGrants.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { ApiKeys } from "../storage/ApiKeys.ts"
import { Audit } from "../storage/Audit.ts"
import { ConnectSessions } from "../storage/grants/ConnectSessions.ts"
import { BodyKeeping } from "../storage/mail/BodyKeeping.ts"
import { Changes } from "../storage/mail/Changes.ts"
import { DashboardSessions } from "../storage/DashboardSessions.ts"
import type { Database } from "../storage/Database.ts"
import { layerDataKeys } from "../storage/encryption/DataKeys.ts"
import { Rotations } from "../storage/encryption/Rotations.ts"
import { DueGrants } from "../storage/grants/DueGrants.ts"
import { DueStats } from "../storage/grants/DueStats.ts"
import { Endings } from "../storage/grants/Endings.ts"
import { Erasures } from "../storage/Erasures.ts"
import { Events } from "../storage/Events.ts"
import { GrantAccounts } from "../storage/grants/GrantAccounts.ts"
import { GrantCatalog } from "../storage/grants/GrantCatalog.ts"
import { Folders } from "../storage/mail/Folders.ts"
import { layerGrantStore } from "../storage/grants/Grants.ts"
import { IdleWatches } from "../storage/mail/IdleWatches.ts"
import { ImportStaging } from "../storage/runs/ImportStaging.ts"
import { MailKeeping } from "../storage/mail/MailKeeping.ts"
import { Messages } from "../storage/mail/Messages.ts"
import { MessageWriter } from "../storage/mail/MessageWriter.ts"
import { Notifications } from "../storage/mail/Notifications.ts"
import { layerSharedPauses } from "../storage/Pauses.ts"
import { Policies } from "../storage/grants/Policies.ts"
import { Reattempts } from "../storage/grants/Reattempts.ts"
import { Reconnects } from "../storage/grants/Reconnects.ts"
import { Runs } from "../storage/runs/Runs.ts"
import { SignedIn } from "../storage/grants/SignedIn.ts"
import { Stats } from "../storage/Stats.ts"
import { Subscriptions } from "../storage/mail/Subscriptions.ts"
import { Sweeps } from "../storage/Sweeps.ts"
import { SyncCounts } from "../storage/mail/SyncCounts.ts"
import { SyncLeases } from "../storage/mail/SyncLeases.ts"
import { SyncTurns } from "../storage/mail/SyncTurns.ts"
import { WebhookOutbox } from "../storage/webhooks/WebhookOutbox.ts"
import { Webhooks } from "../storage/webhooks/Webhooks.ts"
import * as BackgroundRefresh from "./BackgroundRefresh.ts"
import * as BackgroundSync from "./BackgroundSync.ts"
import { Cluster } from "./Cluster.ts"
import * as EncryptionRotation from "./EncryptionRotation.ts"
import * as GmailPush from "./GmailPush.ts"
import * as GraphPush from "./GraphPush.ts"
import * as Housekeeping from "./Housekeeping.ts"
import * as ImapWatch from "./ImapWatch.ts"
import * as Inbox from "./Inbox.ts"
import * as LagLog from "./LagLog.ts"
import * as SyncLagLog from "./SyncLagLog.ts"
import * as WebhookSchedule from "./Webhooks.ts"

export type Engine =
  | Attachments
  | AccessTokens
  | Accounts
  | AdaptiveConcurrency
  | AppBreaker
  | AppRequests
  | Apps
  | ApiKeys
  | Audit
  | BodyKeeping
  | Changes
  | Cluster
  | Concurrency
  | Connect
  | ConnectDevice
  | DashboardSessions
  | DueGrants
  | DueStats
  | Endings
  | Erasing
  | Erasures
  | Events
  | Folders
  | GrantCatalog
  | GrantRequests
  | GrantStore
  | GmailWatch
  | GraphSubscriptions
  | IdleWatches
  | ImapIdle
  | ImportStaging
  | MailKeeping
  | Messages
  | Notifications
  | Policies
  | PublicUrl
  | Reconnect
  | ReconnectLinks
  | Reconnects
  | RotateEncryption
  | RunRequests
  | Runs
  | Stats
  | Subscriptions
  | Sweeps
  | SyncAccount
  | Throttle
  | Tokens
  | WebhookOutbox
  | WebhookRequests
  | Webhooks
  | WebhookSession

const storage = Layer.mergeAll(
  Accounts.layer,
  AppOnlyGrants.layer,
  Apps.layer,
  ApiKeys.layer,
  Audit.layer,
  Changes.layer,
  ConnectSessions.layer,
  DashboardSessions.layer,
  DueGrants.layer,
  DueStats.layer,
  Endings.layer,
  Erasures.layer,
  Events.layer,
  Folders.layer,
  GrantAccounts.layer,
  GrantCatalog.layer,
  IdleWatches.layer,
  Messages.layer,
  MessageWriter.layer,
  MailKeeping.layer.pipe(Layer.provideMerge(BodyKeeping.layer)),
  Notifications.layer,
  Policies.layer,
  Reattempts.layer,
  Reconnects.layer.pipe(Layer.provide(Accounts.layer)),
  Rotations.layer,
  SignedIn.layer,
  Subscriptions.layer,
  SyncCounts.layer,
  SyncLeases.layer,
  SyncTurns.layer,
  Sweeps.layer,
  WebhookOutbox.layer,
  Webhooks.layer,
  ImportStaging.layer.pipe(Layer.provideMerge(Runs.layer)),
  layerGrantStore,
).pipe(Layer.provideMerge(Vault.layer), Layer.provideMerge(layerDataKeys))

/** What each process finds out for itself, whether or not there are others. */
const ownPacing = Layer.mergeAll(
  AdaptiveConcurrency.layer,
  AppBreaker.layer,
  ConnectionLimiter.layer,
  ReauthSpike.layer,
  SyncPace.layer,
  TokenRate.layer,
)

const pacingAlone = Layer.mergeAll(MailboxLimiter.layer, MailboxUnits.layer, Throttle.layer)

const pacingTogether = Layer.merge(MailboxPlaces.layer, Throttle.layerShared.pipe(Layer.provide(layerSharedPauses)))

const tokens = Tokens.layer.pipe(Layer.provide(layerProviders))

const mail = Mailboxes.layer.pipe(
  Layer.provide([Gmail.layer, Graph.layer, Imap.layer]),
  Layer.provideMerge(ImapIdle.layer),
  Layer.provide([ImapTransport.layer, MimeParser.layer]),
)

const webhooks = Layer.mergeAll(WebhookRequests.layer, WebhookSession.layer).pipe(
  Layer.provide(WebhookSender.layer),
  Layer.provide(WebhookAddress.layerSystem),
)

const engineWith = <E, R>(together: Layer.Layer<Cluster | MailboxLimiter | MailboxUnits | Throttle, E, R>) =>
  RunRequests
    .layer
    .pipe(
      Layer.provideMerge(RunWorker.layer),
      Layer.provideMerge(Concurrency.layer),
      Layer.provideMerge(Layer.merge(SyncAccount.layer, Attachments.layer)),
      Layer.provideMerge(mail),
      Layer.provideMerge(
        Layer.mergeAll(
          AccessTokens.layer,
          AppRequests.layer,
          Erasing.layer,
          GmailWatch.layer,
          GraphSubscriptions.layer,
        ),
      ),
      Layer.provideMerge(GrantRequests.layer.pipe(Layer.provide(TenantDirectory.layer))),
      Layer.provideMerge(Reconnect.layer),
      Layer.provideMerge(Connect.layer.pipe(Layer.provide(SignIn.layer))),
      Layer.provideMerge(ConnectDevice.layer.pipe(Layer.provide(SignInDevice.layer))),
      Layer.provideMerge(webhooks),
      Layer.provideMerge(ReconnectLinks.layer.pipe(Layer.provideMerge(PublicUrl.layer))),
      Layer.provide(OperatorEvents.layer),
      Layer.provideMerge(tokens),
      Layer.provideMerge(Layer.merge(Stats.layer, RotateEncryption.layer)),
      Layer.provideMerge(Layer.merge(together, ownPacing)),
      Layer.provideMerge(storage),
    )

/** Accepts, and works on, imports, refreshes and syncs; serves tokens and mail. In a process by itself. */
export const layerEngine: Layer.Layer<Engine, SettingsError, Database | HttpClient.HttpClient | Settings> = engineWith(
  Layer.merge(pacingAlone, Cluster.layerAlone),
)

/** The same in a process of a cluster. */
export const layerEngineInCluster: Layer.Layer<
  Engine,
  SettingsError,
  Database | HttpClient.HttpClient | Settings | Sharding.Sharding | RunnerStorage.RunnerStorage
> = engineWith(Layer.merge(pacingTogether, Cluster.layer))

/** The schedules that keep grants alive and mail in step, and tidy up. */
export const layerSchedules: Layer.Layer<never, never, Engine | Settings> = Layer.mergeAll(
  BackgroundRefresh.layer,
  BackgroundSync.layer,
  EncryptionRotation.layer,
  GmailPush.layer,
  GraphPush.layer,
  Housekeeping.layer,
  ImapWatch.layer,
  Inbox.layer,
  LagLog.layer,
  SyncLagLog.layer,
  WebhookSchedule.layer,
)
