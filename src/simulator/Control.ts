/** What a test does to the provider, and what it reads off it. */
import { Duration, Schema } from "effect"
import { X509Certificate } from "node:crypto"
import type { Configuration, NewApp, NewFolder, NewMessages, Script } from "./ControlPayloads.ts"
import { type Folder, root } from "./Folders.ts"
import type { Counter } from "./Counters.ts"
import type { Grant } from "./Grants.ts"
import { newestRefreshToken } from "./ImportFile.ts"
import type { Mailbox, Message, MessageChange } from "./Mailbox.ts"
import type { Settings } from "./Options.ts"
import type { App, Provider, Registration } from "./Population.ts"
import type { Reason } from "./Refusals.ts"
import { maskOf, namesOf } from "./Scopes.ts"
import type { World } from "./World.ts"

/** A control call named something that does not exist. */
export class NotFound extends Schema.TaggedError<NotFound>()("SimulatorNotFound", { message: Schema.String }) {}

/** A control call that makes no sense for what it names, such as an AADSTS code for a Google account. */
export class Unfit extends Schema.TaggedError<Unfit>()("SimulatorUnfit", { message: Schema.String }) {}

/**
 * All methods answer at once; what names an unknown account, app, folder or message throws {@link NotFound}, and a
 * reason of the other provider {@link Unfit}.
 */
export class Control {
  constructor(protected readonly world: World) {}

  // What was seen

  /**
   * Requests, concurrency, answers, lost answers and violations since `since` (epoch milliseconds): the start or the last
   * reset. `token` is Microsoft's token endpoint.
   */
  counters() {
    const { counters, population, uses, violations, wire } = this.world
    const busiest = uses.busiest(20).filter(({ index }) => index >= 0)
    return {
      ...counters.snapshot(),
      lostAnswers: wire.lostAnswers.length,
      mailboxes: {
        touched: uses.touched,
        /** Most requests that one app had in flight to one mailbox. */
        peak: busiest[0]?.peak ?? 0,
        busiest: busiest.map(({ app, index, peak }) => ({
          email: population.email(index),
          clientId: population.apps[app]?.clientId ?? "",
          peak,
        })),
      },
      violations: violations.snapshot().counts,
    }
  }

  resetCounters(): void {
    const { counters, uses, violations, wire } = this.world
    counters.reset(this.world.now())
    uses.reset()
    violations.reset()
    wire.reset()
  }

  /** Answers by status for each second since the last reset in which there were any, at most the last 3,600. */
  answersPerSecond(endpoint: "token" | "googleToken" | "graph" = "token") {
    const counter: Counter = this.world.counters[endpoint]
    return counter.perSecond()
  }

  violations() {
    return this.world.violations.snapshot()
  }

  /** Rotated tokens whose answer certainly did not arrive. */
  lostAnswers() {
    return this.world.wire.lostAnswers.slice()
  }

  /**
   * Accounts whose newest refresh token was on the wire at a moment.
   *
   * @param at epoch milliseconds; now if left out
   * @param slack how long after it left, in milliseconds, an answer still counts as not stored; default 0
   */
  onTheWire(at: number = this.world.now(), slack = 0) {
    return this.world.wire.at(at, slack)
  }

  // Accounts

  /** State of the grants that were ever asked for, or of the revoked ones among them. */
  grants(filter: { readonly revoked?: boolean } = {}) {
    const { touched } = this.world.grants
    return [...touched].flatMap(([index, grant]) =>
      filter.revoked === undefined || filter.revoked === (grant.revoked !== undefined)
        ? [this.grantState(index, grant)]
        : []
    )
  }

  account(email: string) {
    const index = this.indexOf(email)
    const { clientId, provider, secret } = this.world.grants.appOf(index)
    return {
      ...this.grantState(index, this.world.grants.get(index)),
      provider,
      clientId,
      clientSecret: secret ?? null,
      personal: this.world.population.isPersonal(index),
      refreshToken: newestRefreshToken(this.world, index),
    }
  }

  /**
   * Redemptions are refused until {@link unlock}: with an AADSTS code, 50057 if none is given, where 70000 says "service
   * abuse mode"; or with a Google error, by default `admin_policy_enforced`.
   */
  lock(email: string, code?: Reason): void {
    const reason = this.reasonFor(email, code, { microsoft: 50057, google: "admin_policy_enforced" })
    this.grant(email).lock = reason
  }

  unlock(email: string): void {
    this.grant(email).lock = undefined
  }

  /**
   * The grant is dead; access tokens live on until they expire, as Microsoft's do. By default the code is 50173, or
   * `invalid_grant` for a Google account.
   */
  revoke(email: string, code?: Reason): void {
    const reason = this.reasonFor(email, code, { microsoft: 50173, google: "invalid_grant" })
    this.grant(email).revoked = reason
  }

  /** The user signs in anew: the tokens of before are dead, and a new refresh token is handed out. */
  signIn(email: string): string {
    const index = this.indexOf(email)
    this.world.grants.signIn(index)
    return newestRefreshToken(this.world, index)
  }

  consent(email: string, scopes: ReadonlyArray<string> | null): void {
    this.grant(email).consent = scopes === null ? undefined : maskOf(scopes)
  }

  /** Graph refuses the access tokens issued so far. */
  withdrawAccessTokens(email: string): void {
    this.grant(email).accessNotBefore = this.world.now() + 1
  }

  /** The owner of a mailbox lets another user read it, by a token with a `.Shared` permission; or no longer. */
  share(email: string, reader: string, isShared: boolean): void {
    const { sharedWith } = this.mailboxOf(email)
    if (isShared) sharedWith.add(this.indexOf(reader))
    else sharedWith.delete(this.indexOf(reader))
  }

  /** Graph answers everything about this mailbox with an error, e.g. 404 `MailboxNotEnabledForRESTAPI`. */
  refuseMailbox(email: string, refusal: { readonly status: number; readonly code: string } | null): void {
    this.mailboxOf(email).refusal = refusal ?? undefined
  }

  // Apps, faults and options

  apps() {
    return this.world.population.apps.map(appState)
  }

  /** Registers an app at Microsoft, or changes one; of an app with redirect URIs, no others are served. */
  registerApp({ certificates, ...rest }: NewApp) {
    const registration: Registration = {
      ...rest,
      ...(certificates === undefined ? {} : { certificates: certificates.map(readCertificate) }),
    }

    const known = this.world.population.app(registration.clientId ?? "")
    if (known?.provider === "google") throw new Unfit({ message: `${known.clientId} is an app of Google's` })
    return appState(this.world.population.register(registration))
  }

  /** Every token request of an app is refused, e.g. with 7000222 or `deleted_client`; `null` ends it. */
  failApp(clientId: string, code: Reason | null): void {
    const app = this.appOf(clientId)
    app.fault = code === null ? undefined : fit(app.provider, code)
  }

  /**
   * The old secret of an app is worth nothing from now on; a public client becomes a confidential one.
   *
   * @param secret made up if left out
   * @returns the new secret
   */
  changeSecret(clientId: string, secret?: string): string {
    return this.world.population.changeSecret(this.appOf(clientId), secret)
  }

  script({ answers, email, endpoint }: Script): void {
    const index = email === undefined ? undefined : this.indexOf(email)
    if (index !== undefined && this.world.population.providerOf(index) !== providers[endpoint]) {
      throw new Unfit({ message: `${email} never asks the endpoint ${endpoint}` })
    }
    this.world.faults.script(endpoint, index, answers)
  }

  clearScripts(): void {
    this.world.faults.clear()
  }

  /** Changes options while the simulator runs, and returns all as they are now. */
  configure(change: Configuration): Settings {
    const { settings } = this.world
    const {
      accessTokenLifetime: life,
      clockSkew,
      deltaLifetime,
      hangLimit,
      latency,
      retryAfter,
      throttleDelay,
      tokenConcurrencyLimit,
      tokenRateLimit,
      ...rest
    } = change
    Object.assign(settings, rest)
    if (clockSkew !== undefined) settings.clockSkew = Duration.toMillis(clockSkew)
    if (throttleDelay !== undefined) {
      settings.throttleDelay = throttleDelay === "latency" ? throttleDelay : Duration.toMillis(throttleDelay)
    }
    if (tokenRateLimit !== undefined) settings.tokenRateLimit = tokenRateLimit ?? Infinity
    if (latency !== undefined) settings.latency = Duration.toMillis(latency)
    if (retryAfter !== undefined) settings.retryAfter = Duration.toMillis(retryAfter)
    if (hangLimit !== undefined) settings.hangLimit = Duration.toMillis(hangLimit)
    if (life !== undefined) settings.accessTokenLifetime = life === "random" ? life : Duration.toMillis(life)
    if (deltaLifetime !== undefined) {
      settings.deltaLifetime = deltaLifetime === null ? Infinity : Duration.toMillis(deltaLifetime)
    }
    if (tokenConcurrencyLimit !== undefined) settings.tokenConcurrencyLimit = tokenConcurrencyLimit ?? Infinity
    return { ...settings }
  }

  // Mail

  /** Everything that a mailbox holds: what a client that is in step must have. */
  mailbox(email: string) {
    const mailbox = this.mailboxOf(email)
    return {
      email: mailbox.email,
      folders: mailbox.folders().map((folder) => folderState(mailbox, folder)),
      messages: [...mailbox.messages()].map((message) => messageState(mailbox, message)),
    }
  }

  /** Delivers new mail and returns the messages. */
  deliver(email: string, { count = 1, ...delivery }: NewMessages = {}) {
    const mailbox = this.mailboxOf(email)
    const folder = this.folderOf(mailbox, delivery.folder ?? "inbox").ordinal
    return Array.from({ length: count }, () => messageState(mailbox, mailbox.deliver(delivery, folder)))
  }

  editMessage(email: string, id: string, change: MessageChange) {
    const mailbox = this.mailboxOf(email)
    const message = this.messageOf(mailbox, id)
    return messageState(mailbox, mailbox.edit(message.ordinal, change) ?? message)
  }

  moveMessage(email: string, id: string, folder: string) {
    const mailbox = this.mailboxOf(email)
    const message = this.messageOf(mailbox, id)
    return messageState(mailbox, mailbox.move(message.ordinal, this.folderOf(mailbox, folder).ordinal) ?? message)
  }

  /** Deletes for good; a user's delete is a move to `deleteditems`. */
  removeMessage(email: string, id: string): void {
    const mailbox = this.mailboxOf(email)
    mailbox.remove(this.messageOf(mailbox, id).ordinal)
  }

  addFolder(email: string, { displayName, hidden, parent }: NewFolder) {
    const mailbox = this.mailboxOf(email)
    const around = parent === undefined ? root : this.folderOf(mailbox, parent).ordinal
    return folderState(mailbox, mailbox.addFolder(displayName, around, hidden))
  }

  /** Removes a folder with its folders and messages. */
  removeFolder(email: string, folder: string): void {
    const mailbox = this.mailboxOf(email)
    mailbox.removeFolder(this.folderOf(mailbox, folder).ordinal)
  }

  /** Forgets all delta and skip tokens of a mailbox. */
  expireCursors(email: string, form?: "410" | "code"): void {
    const mailbox = this.mailboxOf(email)
    mailbox.deltaEpoch++
    mailbox.lostAs = form
  }

  /** As if the account's app had sent that many more requests to its mailbox in this 10-minute window. */
  spendRequests(email: string, requests: number): void {
    const index = this.indexOf(email)
    this.world.uses.get(index, this.world.grants.appOf(index).index).spend(requests, this.world.now())
  }

  private indexOf(email: string): number {
    const index = this.world.population.indexOf(email)
    if (index < 0) throw new NotFound({ message: `no account ${email}` })
    return index
  }

  private appOf(clientId: string): App {
    const app = this.world.population.app(clientId)
    if (app === undefined) throw new NotFound({ message: `no app ${clientId}` })
    return app
  }

  private reasonFor(email: string, reason: Reason | undefined, usual: Readonly<Record<Provider, Reason>>): Reason {
    const provider = this.world.population.providerOf(this.indexOf(email))
    return fit(provider, reason ?? usual[provider])
  }

  private grant(email: string): Grant {
    return this.world.grants.get(this.indexOf(email))
  }

  private mailboxOf(email: string): Mailbox {
    return this.world.mailboxes.get(this.indexOf(email))
  }

  private folderOf(mailbox: Mailbox, idOrName: string): Folder {
    const folder = mailbox.folder(idOrName)
    if (folder === undefined) throw new NotFound({ message: `no folder ${idOrName}` })
    return folder
  }

  private messageOf(mailbox: Mailbox, id: string): Message {
    const message = mailbox.find(id)
    if (message === undefined || message === "malformed") throw new NotFound({ message: `no message ${id}` })
    return message
  }

  private grantState(index: number, grant: Grant) {
    return {
      ...this.world.wire.entry(index, grant),
      family: grant.family,
      attempts: grant.attempts,
      /** AADSTS code or Google error that the grant was revoked with. */
      revoked: grant.revoked ?? null,
      /** Whether reuse of a spent token revoked it. */
      reused: grant.reused,
      lock: grant.lock ?? null,
      consent: grant.consent === undefined ? null : namesOf(grant.consent),
    }
  }
}

const providers = { token: "microsoft", graph: "microsoft", "google-token": "google" } as const

const fit = (provider: Provider, reason: Reason): Reason => {
  if ((typeof reason === "number") === (provider === "microsoft")) return reason
  throw new Unfit({ message: `${reason} is no error of ${provider === "google" ? "Google's" : "Microsoft's"}` })
}

const readCertificate = (pem: string): X509Certificate => {
  try {
    return new X509Certificate(pem)
  } catch {
    throw new Unfit({ message: "a certificate is one in PEM form" })
  }
}

const appState = (
  { certificates, clientId, consentedTenants, fault, provider, redirectUris, secret, tenant }: App,
) => ({
  provider,
  clientId,
  clientSecret: secret ?? null,
  fault: fault ?? null,
  redirectUris: redirectUris ?? null,
  tenant: tenant ?? null,
  consentedTenants: consentedTenants ?? null,
  /** Colon-separated SHA-256 thumbprints. */
  certificates: certificates.map(({ fingerprint256 }) => fingerprint256),
})

const folderState = (mailbox: Mailbox, { hidden, name, ordinal, parent, wellKnown }: Folder) => ({
  id: mailbox.folderIdOf(ordinal),
  parentId: parent < 0 ? null : mailbox.folderIdOf(parent),
  displayName: name,
  wellKnown: wellKnown ?? null,
  hidden,
})

const messageState = (mailbox: Mailbox, message: Message) => ({
  /** Immutable id. */
  id: mailbox.idOf(message),
  folderId: mailbox.folderIdOf(message.folder),
  subject: mailbox.letter(message).subject,
  isRead: message.isRead,
  flagStatus: message.flagStatus,
  /** Epoch milliseconds. */
  receivedAt: message.receivedAt,
  version: message.version,
})
