/** What {@link createClient} gives: the names of the library, over HTTP. */
import type { Account, AccountStatus, Channel, Provider, Resource } from "../domain/Account.ts"
import type { App } from "../domain/App.ts"
import type { AuditEntry } from "../domain/AuditEntry.ts"
import type { Erasure } from "../domain/Erasure.ts"
import type { ConnectSession } from "../domain/ConnectSession.ts"
import type { Event, EventKind } from "../domain/Event.ts"
import type { Grant, GrantKind } from "../domain/Grant.ts"
import type { Change, Folder, Message, MessageWithBody, Thread } from "../domain/Mail.ts"
import type { OnDuplicate, Outcome, Run, RunItem, RunKind, RunState } from "../domain/Run.ts"
import type { TagPolicy } from "../domain/TagPolicy.ts"
import type { DeliveryOutcome, DeliveryState, Webhook, WebhookDelivery } from "../domain/Webhook.ts"
import type { Given, Plain } from "../promises/Plain.ts"
import type { AccountPatch, NewAccount } from "../api/Accounts.ts"
import type { AppPatch, NewApp } from "../api/Apps.ts"
import type { NewConnectSession } from "../api/ConnectSessions.ts"
import type { NewGrant } from "../api/Grants.ts"
import type { Stats } from "../api/Operations.ts"
import type { NewWebhook, WebhookPatch, WebhookWithSecret } from "../api/Webhooks.ts"

/** One page of a list; `nextCursor` null = the last. */
export interface Page<A> {
  /** In the order of the list. */
  readonly items: ReadonlyArray<A>
  /** Leads to the next page. */
  readonly nextCursor: string | null
}

/** Which page: 50 items from the beginning unless it says otherwise, at most 500. */
export interface PageOptions {
  /** Items at most, from 1 to 500. */
  readonly limit?: number
  /** `nextCursor` of the page before. */
  readonly cursor?: string
}

/** A list: a page at a time, or all of it as it is taken. `F` is what it can be filtered by. */
export interface List<A, F = unknown> {
  /** One page. */
  readonly list: (options?: F & PageOptions) => Promise<Page<A>>
  /** Every item, page after page, as they are taken. */
  readonly all: (options?: F) => AsyncIterable<A>
}

/** Which accounts; all of what is given must match. */
export interface AccountFilter {
  /** Its present status. */
  readonly status?: AccountStatus
  /** A tag that it carries. */
  readonly tag?: string
  /** A part of the address, without regard to case. */
  readonly search?: string
  /** Where the mailbox is. */
  readonly provider?: Provider
}

/** Accounts to work on. Disabled accounts are left out, or skipped where named by id. */
export type AccountSelection =
  | { readonly accountIds: ReadonlyArray<string> }
  | { readonly filter: AccountFilter & { readonly refreshedBefore?: Date } }
  | { readonly all: true }

/** Which messages; all of what is given must match. */
export interface MessageFilter {
  /** Words of subject, addresses, names of attachments and text. */
  readonly q?: string
  /** The sender's address, or `@` and its domain. */
  readonly from?: string
  /** True: only what is unread; false: only what is read. */
  readonly unread?: boolean
  /** True: only with attachments; false: only without. */
  readonly hasAttachments?: boolean
  /** From this time on. */
  readonly receivedAfter?: Date
  /** Before this time. */
  readonly receivedBefore?: Date
  /** Only of this account; `folder` and `threadId` need it. */
  readonly accountId?: string
  /** A folder's id, or a role such as `inbox`. */
  readonly folder?: string
  /** Only of this thread. */
  readonly threadId?: string
}

/** How a file of accounts is taken in. */
export interface ImportOptions {
  /** Default `csv`. */
  readonly format?: "csv" | "ndjson" | "json" | "lines"
  /** What happens to a row whose account exists. Default `skip`. */
  readonly onDuplicate?: OnDuplicate
  /** Check the file only. Default false. */
  readonly dryRun?: boolean
  /** Redeem each refresh token once. Default true. */
  readonly verify?: boolean
  /** For rows that name none. */
  readonly provider?: Provider
  /** For rows that name none. Default: what was granted decides. */
  readonly channel?: Channel
  /** For every row. */
  readonly tags?: ReadonlyArray<string>
  /** The same key with the same file answers with the same run. Default: a new one for each call. */
  readonly idempotencyKey?: string
}

/** How a run is asked for. */
export interface RunOptions {
  /** The same key with the same selection answers with the same run. Default: a new one for each call. */
  readonly idempotencyKey?: string
}

/** An access token that was handed out. */
export interface IssuedToken {
  /** The bearer token itself. */
  readonly accessToken: string
  /** What it opens. */
  readonly resource: Resource
  /** When the provider stops taking it. */
  readonly expiresAt: Date
}

/**
 * The API with promises. Errors are the problem classes that the API answers with, each with a stable `code`; what is not there is
 * `undefined` rather than an error.
 */
export interface Client {
  /** Takes in a file of accounts. Answers with its run once the server has stored all of it; `runs.ended` waits for the rest. */
  readonly import: (
    file: string | Uint8Array | ReadableStream<Uint8Array>,
    options?: ImportOptions,
  ) => Promise<Plain<Run>>
  /** Asks for a run that redeems the refresh token of each account. */
  readonly refresh: (accounts: AccountSelection, options?: RunOptions) => Promise<Plain<Run>>
  /** Asks for a run that brings the stored mail of each account in step. */
  readonly sync: (accounts: AccountSelection, options?: RunOptions) => Promise<Plain<Run>>
  /** A valid access token of an account. `minValidity` is written like `10 minutes`, an hour at most. */
  readonly accessToken: (
    accountId: string,
    options?: { readonly resource?: Resource; readonly minValidity?: string },
  ) => Promise<IssuedToken>
  /** Mailboxes. */
  readonly accounts: List<Plain<Account>, AccountFilter & { readonly endsBefore?: Date }> & {
    readonly get: (id: string) => Promise<Plain<Account> | undefined>
    /** Stores one account and redeems its token; the account's status says what came of it. */
    readonly add: (account: Given<typeof NewAccount.Type>) => Promise<Plain<Account>>
    readonly patch: (id: string, patch: Given<typeof AccountPatch.Type>) => Promise<Plain<Account> | undefined>
    /** Deletes the account with its mail. False = there was none. */
    readonly remove: (id: string) => Promise<boolean>
  }
  /** Imports, refreshes and syncs over many accounts. */
  readonly runs: List<Plain<Run>, { readonly kind?: RunKind; readonly state?: RunState }> & {
    readonly get: (id: string) => Promise<Plain<Run> | undefined>
    /** A page of what became of each item. */
    readonly items: (
      id: string,
      options?: PageOptions & { readonly outcome?: Outcome },
    ) => Promise<Page<Plain<RunItem>>>
    /** The run once it has ended, however it ended. */
    readonly ended: (run: { readonly id: string }) => Promise<Plain<Run>>
    /** The run each time it changed, until it has ended. */
    readonly watch: (run: { readonly id: string }) => AsyncIterable<Plain<Run>>
    readonly cancel: (id: string) => Promise<Plain<Run>>
    /** A new run over the failed items that have an account; undefined = there are none. */
    readonly retry: (run: { readonly id: string }, options?: RunOptions) => Promise<Plain<Run> | undefined>
  }
  /** Stored mail. */
  readonly messages: List<Plain<Message>, MessageFilter> & {
    readonly get: (id: string) => Promise<Plain<MessageWithBody> | undefined>
    /** A page of the threads of an account, by their newest messages. */
    readonly threads: (accountId: string, options?: PageOptions) => Promise<Page<Plain<Thread>>>
    /** The content of an attachment, as it comes from the provider. */
    readonly attachment: (id: string, attachmentId: string) => AsyncIterable<Uint8Array>
  }
  /** Folders of an account. */
  readonly folders: { readonly list: (accountId: string) => Promise<ReadonlyArray<Plain<Folder>>> }
  /**
   * The change log, a page at a time; `nextCursor` is the position to go on from, and `after: "latest"` asks for that of now.
   * Rejected with `position_expired` where changes after a position are deleted by now: list the messages anew.
   */
  readonly changes: {
    readonly list: (
      options?: { readonly after?: string; readonly limit?: number },
    ) => Promise<{ readonly items: ReadonlyArray<Plain<Change>>; readonly nextCursor: string }>
  }
  /**
   * Every change after a position, or from the oldest that is kept, and each new one as it comes; after `latest` only these. A
   * connection that breaks is made again. Ends with `position_expired` where the next changes are deleted by now.
   */
  readonly followChanges: (options?: { readonly after?: string }) => AsyncIterable<Plain<Change>>
  /** OAuth clients. Secrets go in and never come out. */
  readonly apps: List<Plain<App>> & {
    readonly get: (id: string) => Promise<Plain<App> | undefined>
    readonly add: (app: Given<typeof NewApp.Type>) => Promise<Plain<App>>
    readonly patch: (id: string, patch: Given<typeof AppPatch.Type>) => Promise<Plain<App> | undefined>
  }
  /** What users and administrators allowed the apps to do. */
  readonly grants: List<Plain<Grant>, { readonly kind?: GrantKind; readonly appId?: string }> & {
    readonly get: (id: string) => Promise<Plain<Grant> | undefined>
    readonly create: (grant: Given<typeof NewGrant.Type>) => Promise<Plain<Grant>>
    /** Deletes a grant that has no accounts. False = there was none. */
    readonly remove: (id: string) => Promise<boolean>
  }
  /** Links by which people sign in. */
  readonly connect: {
    readonly create: (session: Given<typeof NewConnectSession.Type>) => Promise<Plain<ConnectSession>>
    readonly get: (id: string) => Promise<Plain<ConnectSession> | undefined>
  }
  /** The refresh policies of tags. */
  readonly policies: List<Plain<TagPolicy>> & {
    readonly set: (tag: string, policy: TagPolicy["policy"]) => Promise<Plain<TagPolicy>>
    /** False = the tag has no policy. */
    readonly unset: (tag: string) => Promise<boolean>
  }
  /** Endpoints that are sent what happens. A secret is in the answers of `create` and `rotateSecret`, and nowhere else. */
  readonly webhooks: List<Plain<Webhook>> & {
    readonly get: (id: string) => Promise<Plain<Webhook> | undefined>
    readonly create: (webhook: typeof NewWebhook.Type) => Promise<Plain<typeof WebhookWithSecret.Type>>
    readonly patch: (id: string, patch: typeof WebhookPatch.Type) => Promise<Plain<Webhook> | undefined>
    /** False = there was none. */
    readonly remove: (id: string) => Promise<boolean>
    /** The secret of before signs as well for 24 hours. */
    readonly rotateSecret: (id: string) => Promise<Plain<typeof WebhookWithSecret.Type> | undefined>
    /** Sends one `webhook.test`, and answers what came of it. */
    readonly test: (id: string) => Promise<Plain<DeliveryOutcome> | undefined>
    /** Sends what comes after a position of the change log, whatever was sent of it already. */
    readonly replay: (id: string, after: string) => Promise<Plain<Webhook> | undefined>
    /** A page of deliveries, newest first. */
    readonly deliveries: (
      id: string,
      options?: PageOptions & { readonly state?: DeliveryState },
    ) => Promise<Page<Plain<WebhookDelivery>>>
  }
  /** What became of accounts that were removed. */
  readonly erasures: List<Plain<Erasure>> & {
    readonly get: (id: string) => Promise<Plain<Erasure> | undefined>
  }
  /** What operators are told of the fleet as a whole. */
  readonly events: List<Plain<Event>, { readonly kind?: EventKind; readonly subject?: string }>
  /** Who was given what, and who changed what. */
  readonly audit: List<Plain<AuditEntry>, { readonly accountId?: string }>
  /** The fleet at a glance. */
  readonly stats: () => Promise<Plain<Stats>>
  /** Ends what is under way, streams included. */
  readonly close: () => Promise<void>
  /** As `close`. */
  readonly [Symbol.asyncDispose]: () => Promise<void>
}
