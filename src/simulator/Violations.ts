/** What a client did that the providers' documents say it must not. */

export type ViolationKind =
  /** More than 4 concurrent requests of one app to one mailbox (Microsoft Graph throttling limits). */
  | "mailbox-concurrency"
  /** More than 10,000 requests of one app to one mailbox in 10 minutes. */
  | "mailbox-rate"
  /** A secret or assertion sent by a public client (AADSTS700025). */
  | "secret-from-public-client"
  /** A token request without `scope`. */
  | "missing-scope"
  /** Scopes of several resources in one token request. */
  | "mixed-resources"
  /** An `Origin` header beside client credentials. */
  | "origin-with-credentials"
  /** Graph asked without `Prefer: IdType="ImmutableId"`: the ids change when messages move. */
  | "missing-immutable-id"
  /** A delta or next link that differs from the one handed out. */
  | "rebuilt-delta-url"
  /** A request to what had answered 429, before its `Retry-After` elapsed. */
  | "before-retry-after"
  /** A refresh token presented again after it had been replaced. */
  | "reused-refresh-token"
  /** 15 or more identical token requests in 5 minutes (AADSTS50196). */
  | "request-loop"
  /** A batch of more than 20 requests. */
  | "batch-too-large"
  /** A notification that was not acknowledged within 3 seconds (Graph documentation, change notifications). */
  | "slow-acknowledgement"

export interface Violation {
  readonly kind: ViolationKind
  /** Epoch milliseconds. */
  readonly at: number
  readonly email?: string
  readonly detail?: string
  /** Of `before-retry-after`: milliseconds since the wait was asked for. */
  readonly after?: number
}

/** Only so many are kept one by one; all are counted. */
const kept = 1000

export class Violations {
  private list: Array<Violation> = []
  private counts = new Map<ViolationKind, number>()

  add(violation: Violation): void {
    this.counts.set(violation.kind, (this.counts.get(violation.kind) ?? 0) + 1)
    if (this.list.length < kept) this.list.push(violation)
  }

  snapshot(): { counts: Partial<Record<ViolationKind, number>>; list: ReadonlyArray<Violation> } {
    return { counts: Object.fromEntries(this.counts), list: this.list.slice() }
  }

  reset(): void {
    this.list = []
    this.counts = new Map()
  }
}
