/** Change notifications: subscriptions, their handshake, and what is sent to them (Graph documentation, subscription). */
import { Option, Schema } from "effect"
import type { Answer } from "./Answer.ts"
import type { LifecycleEvent } from "./ControlPayloads.ts"
import { accessDenied, graphError, jsonHeaders } from "./GraphErrors.ts"
import { type AccessToken, tenantOfApp } from "./Grants.ts"
import { immutableId, userId } from "./Ids.ts"
import type { Change } from "./MailboxLog.ts"
import { guid } from "./Random.ts"
import type { World } from "./World.ts"

const minute = 60_000
/** Longest and shortest life of a subscription to mail. */
const longest = 10_080 * minute
const shortest = 45 * minute
/** Within which the handshake must be answered, and a notification acknowledged. */
const handshakeTime = 10_000
const acknowledgement = 3_000
/** Graph tries for 4 hours; tests have less time. */
const tries = 6

interface Subscription {
  readonly id: string
  /** Whose mailbox, and the token's app and user by whose right it is watched. */
  readonly index: number
  readonly app: number
  readonly by: number
  readonly resource: string
  readonly folder: number | undefined
  readonly changeTypes: ReadonlySet<string>
  readonly notificationUrl: string
  readonly lifecycleNotificationUrl: string | undefined
  readonly clientState: string | undefined
  expiresAt: number
  reauthorizations: number
}

const decodeNew = Schema.decodeUnknownOption(Schema.Struct({
  changeType: Schema.String,
  notificationUrl: Schema.String,
  lifecycleNotificationUrl: Schema.optionalKey(Schema.String),
  resource: Schema.String,
  expirationDateTime: Schema.String,
  clientState: Schema.optionalKey(Schema.String.check(Schema.isMaxLength(128))),
}))

const decodeRenewal = Schema.decodeUnknownOption(Schema.Struct({ expirationDateTime: Schema.String }))

/** What was sent, and what came of it. */
export interface NotificationCounts {
  readonly sent: number
  readonly acknowledged: number
  readonly failed: number
}

export class GraphSubscriptions {
  private readonly subscriptions = new Map<string, Subscription>()
  private sequence = 0
  private readonly waiting = new Map<string, Array<unknown>>()
  private readonly timers = new Set<ReturnType<typeof setTimeout>>()
  private readonly closing = new AbortController()
  private counts = { sent: 0, acknowledged: 0, failed: 0 }

  constructor(private readonly world: World) {}

  /** @param path segments after `/v1.0/subscriptions` */
  async handle(
    token: AccessToken,
    base: string,
    method: string,
    path: ReadonlyArray<string>,
    body: unknown,
  ): Promise<Answer> {
    const now = this.world.now()
    const [id, verb] = path
    if (id === undefined) {
      if (method === "POST") return await this.create(token, base, body)
      const mine = this.alive().filter((subscription) => this.isOf(token, subscription))
      return json(200, { "@odata.context": `${base}/$metadata#subscriptions`, value: mine.map(resourceOf) })
    }
    const subscription = this.subscriptions.get(id)
    if (subscription === undefined || subscription.expiresAt <= now || !this.isOf(token, subscription)) {
      return graphError(404, "ResourceNotFound", "The object was not found.", now)
    }
    if (verb === "reauthorize" && method === "POST") {
      subscription.reauthorizations++
      return { status: 204, headers: {}, body: "" }
    }
    if (method === "GET") return json(200, resourceOf(subscription))
    if (method === "DELETE") {
      this.subscriptions.delete(id)
      return { status: 204, headers: {}, body: "" }
    }
    if (method !== "PATCH") return graphError(405, "Request_BadRequest", "The method is not allowed.", now)
    const renewal = decodeRenewal(body)
    const expiresAt = Option.isNone(renewal) ? undefined : this.expiry(renewal.value.expirationDateTime)
    if (expiresAt === undefined) return this.invalid("The expiration is not valid.")
    subscription.expiresAt = expiresAt
    subscription.reauthorizations++
    return json(200, resourceOf(subscription))
  }

  private async create(token: AccessToken, base: string, body: unknown): Promise<Answer> {
    const now = this.world.now()
    const asked = Option.getOrUndefined(decodeNew(body))
    if (asked === undefined) return this.invalid("The subscription is malformed.")
    const expiresAt = this.expiry(asked.expirationDateTime)
    if (expiresAt === undefined) {
      return this.invalid("Subscription expiration can only be 10080 minutes in the future.")
    }
    const urls = [asked.notificationUrl, asked.lifecycleNotificationUrl].filter((url) => url !== undefined)
    if (!urls.every(isFit)) return this.invalid("The notification URL must be https.")
    const place = this.placeOf(token, asked.resource)
    if (typeof place === "string") return place === "denied" ? accessDenied(now) : this.invalid("Unsupported resource.")
    const same = this.alive().some((other) =>
      other.app === token.app && other.by === token.index && other.resource === asked.resource &&
      other.notificationUrl === asked.notificationUrl
    )
    if (same) return graphError(409, "ExtensionError", "Operation: Create; a subscription like it exists.", now)
    for (const url of new Set(urls)) {
      if (!(await this.shakesHands(url))) {
        return graphError(400, "ValidationError", "Subscription validation request failed.", this.world.now())
      }
    }
    const subscription: Subscription = {
      id: guid(0x5b5c, this.world.settings.seed, ++this.sequence),
      ...place,
      app: token.app,
      by: token.index,
      resource: asked.resource,
      changeTypes: new Set(asked.changeType.split(",").map((type) => type.trim())),
      notificationUrl: asked.notificationUrl,
      lifecycleNotificationUrl: asked.lifecycleNotificationUrl,
      clientState: asked.clientState,
      expiresAt,
      reauthorizations: 0,
    }
    this.subscriptions.set(subscription.id, subscription)
    this.world.mailboxes.get(place.index).watcher = (folder, change) => this.changed(place.index, folder, change)
    return json(201, { "@odata.context": `${base}/$metadata#subscriptions/$entity`, ...resourceOf(subscription) })
  }

  /** Live subscriptions to a mailbox. */
  of(index: number) {
    return this.alive().filter((subscription) => subscription.index === index)
      .map(({ clientState, reauthorizations, ...rest }) => ({
        ...resourceOf({ ...rest, clientState, reauthorizations }),
        clientState: clientState ?? null,
        /** Renewals count, for they reauthorize too. */
        reauthorizations,
      }))
  }

  /** Ends the subscriptions to a mailbox without a word. */
  drop(index: number): void {
    for (const { id } of this.alive()) if (this.subscriptions.get(id)?.index === index) this.subscriptions.delete(id)
  }

  lifecycle(index: number, event: LifecycleEvent): void {
    for (const subscription of this.alive()) {
      if (subscription.index !== index || subscription.lifecycleNotificationUrl === undefined) continue
      this.enqueue(subscription.lifecycleNotificationUrl, {
        ...this.envelope(subscription),
        lifecycleEvent: event,
        resource: subscription.resource,
      })
      if (event === "subscriptionRemoved") this.subscriptions.delete(subscription.id)
    }
  }

  get notifications(): NotificationCounts {
    return { ...this.counts }
  }

  close(): void {
    this.closing.abort()
    for (const timer of this.timers) clearTimeout(timer)
    this.timers.clear()
  }

  private invalid(message: string): Answer {
    return graphError(400, "InvalidRequest", message, this.world.now())
  }

  private alive(): ReadonlyArray<Subscription> {
    const now = this.world.now()
    return [...this.subscriptions.values()].filter(({ expiresAt }) => expiresAt > now)
  }

  private isOf(token: AccessToken, { app, by }: Subscription): boolean {
    return app === token.app && by === token.index
  }

  private expiry(text: string): number | undefined {
    const now = this.world.now()
    const time = Date.parse(text)
    if (Number.isNaN(time) || time <= now || time > now + longest) return undefined
    return Math.max(time, now + shortest)
  }

  /** Delegated tokens watch the own mailbox only, those of apps any of the tenant. */
  private placeOf(
    token: AccessToken,
    resource: string,
  ): { readonly index: number; readonly folder: number | undefined } | "denied" | "unsupported" {
    const match = /^\/?(?:me|users\/([^/]+))(?:\/mailFolders(?:\/|\(')([^/')]+)(?:'\))?)?\/messages$/i.exec(resource)
    if (match === null) return "unsupported"
    const { mailboxes, population } = this.world
    const index = match[1] === undefined ? token.index : population.indexOf(decodeURIComponent(match[1]))
    if (index < 0) return "unsupported"
    if (token.index >= 0 && index !== token.index) return "denied"
    if (token.index < 0 && population.tenantOf(index) !== population.workTenants[tenantOfApp(token.index)]) {
      return "denied"
    }
    const folder = match[2] === undefined ? undefined : mailboxes.get(index).folder(match[2])
    return match[2] !== undefined && folder === undefined ? "unsupported" : { index, folder: folder?.ordinal }
  }

  private async shakesHands(url: string): Promise<boolean> {
    const token = `Validation: Testing client application reachability for subscription. <${++this.sequence}&ü+%>`
    try {
      const separator = url.includes("?") ? "&" : "?"
      const response = await fetch(`${url}${separator}validationToken=${encodeURIComponent(token)}`, {
        method: "POST",
        headers: { "content-type": "text/plain; charset=utf-8" },
        signal: AbortSignal.any([AbortSignal.timeout(handshakeTime), this.closing.signal]),
      })
      const body = await response.text()
      return response.status === 200 && body === token &&
        response.headers.get("content-type")?.startsWith("text/plain") === true
    } catch {
      return false
    }
  }

  private changed(index: number, folder: number, change: Change): void {
    const changeType = change.kind === "removed" ? "deleted" : change.kind
    const user = userId(index)
    const id = immutableId(index, change.ordinal)
    for (const subscription of this.alive()) {
      if (subscription.index !== index || !subscription.changeTypes.has(changeType)) continue
      if (subscription.folder !== undefined && subscription.folder !== folder) continue
      this.enqueue(subscription.notificationUrl, {
        ...this.envelope(subscription),
        changeType,
        resource: `Users/${user}/Messages/${id}`,
        resourceData: {
          "@odata.type": "#Microsoft.Graph.Message",
          "@odata.id": `Users/${user}/Messages/${id}`,
          "@odata.etag": 'W/"CQAAABYAAAA"',
          id,
        },
      })
    }
  }

  private envelope({ clientState, expiresAt, id, index }: Subscription) {
    return {
      subscriptionId: id,
      subscriptionExpirationDateTime: new Date(expiresAt).toISOString(),
      ...(clientState === undefined ? {} : { clientState }),
      tenantId: this.world.population.tenantOf(index),
    }
  }

  /** What comes up within a moment goes out together. */
  private enqueue(url: string, notification: unknown): void {
    const { notifications } = this.world.settings
    if (notifications === "lost") return
    const copies = notifications === "twice" ? [notification, notification] : [notification]
    const queue = this.waiting.get(url)
    if (queue !== undefined) {
      queue.push(...copies)
      return
    }
    this.waiting.set(url, copies)
    this.after(10, () => {
      const value = this.waiting.get(url) ?? []
      this.waiting.delete(url)
      void this.send(url, value, 1)
    })
  }

  private after(millis: number, run: () => void): void {
    if (this.closing.signal.aborted) return
    const timer = setTimeout(() => {
      this.timers.delete(timer)
      run()
    }, millis)
    this.timers.add(timer)
  }

  private async send(url: string, value: ReadonlyArray<unknown>, attempt: number): Promise<void> {
    this.counts.sent++
    const start = performance.now()
    try {
      const response = await fetch(url, {
        method: "POST",
        headers: { "content-type": "application/json; charset=utf-8" },
        body: JSON.stringify({ value }),
        signal: AbortSignal.any([AbortSignal.timeout(handshakeTime), this.closing.signal]),
      })
      await response.body?.cancel()
      if (performance.now() - start > acknowledgement) {
        this.world.violations.add({ kind: "slow-acknowledgement", at: this.world.now(), detail: url })
      }
      if (response.status >= 200 && response.status < 300) {
        this.counts.acknowledged++
        return
      }
    } catch {
      // Not there, or not in time: as any other failure.
    }
    this.counts.failed++
    if (attempt < tries) this.after(200 * 2 ** attempt, () => void this.send(url, value, attempt + 1))
  }
}

/** Tests have no certificates. */
const isFit = (url: string): boolean =>
  URL.canParse(url) &&
  (new URL(url).protocol === "https:" || /^http:\/\/(?:127\.0\.0\.1|localhost|\[::1\])[:/]/.test(url))

const resourceOf = (subscription: Subscription) => ({
  id: subscription.id,
  resource: subscription.resource,
  changeType: [...subscription.changeTypes].join(","),
  // It is never shown.
  clientState: null as string | null,
  notificationUrl: subscription.notificationUrl,
  lifecycleNotificationUrl: subscription.lifecycleNotificationUrl ?? null,
  expirationDateTime: new Date(subscription.expiresAt).toISOString(),
})

const json = (status: number, body: unknown): Answer => ({
  status,
  headers: { ...jsonHeaders },
  body: JSON.stringify(body),
})
