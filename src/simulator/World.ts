/** What the endpoints of one simulator share. */
import { Assertions } from "./Assertions.ts"
import { Codes } from "./Codes.ts"
import { Counters } from "./Counters.ts"
import { DelayLine } from "./DelayLine.ts"
import { DeviceCodes } from "./DeviceCodes.ts"
import { Faults } from "./Faults.ts"
import { GmailMailboxes } from "./GmailMailbox.ts"
import { GmailQuotas } from "./GmailQuota.ts"
import { GoogleGrants } from "./GoogleGrants.ts"
import { Grants } from "./Grants.ts"
import { GraphSubscriptions } from "./GraphSubscriptions.ts"
import { MailboxUses, Pause } from "./Limits.ts"
import { Mailboxes } from "./Mailboxes.ts"
import type { Settings } from "./Options.ts"
import { Population } from "./Population.ts"
import { ServiceAccounts } from "./ServiceAccounts.ts"
import { SigningKey } from "./SigningKey.ts"
import { Violations } from "./Violations.ts"
import { Wire } from "./Wire.ts"

export class World {
  readonly population: Population
  readonly grants: Grants
  readonly googleGrants: GoogleGrants
  readonly serviceAccounts: ServiceAccounts
  readonly mailboxes: Mailboxes
  readonly gmailboxes: GmailMailboxes
  readonly quotas = new GmailQuotas()
  readonly uses: MailboxUses
  readonly subscriptions: GraphSubscriptions
  readonly faults: Faults
  readonly wire: Wire
  readonly counters: Counters
  readonly violations = new Violations()
  readonly assertions = new Assertions()
  readonly codes = new Codes()
  readonly devices = new DeviceCodes()
  readonly signingKey = new SigningKey()
  readonly delay = new DelayLine()
  /** Epoch milliseconds. */
  readonly startedAt: number
  /** Waits that the token endpoints asked for, by app number. */
  private readonly pauses = new Map<number, Pause>()

  /** @param now reads the clock, epoch milliseconds */
  constructor(readonly settings: Settings, readonly now: () => number) {
    this.population = new Population(settings)
    this.counters = new Counters(now())
    this.startedAt = now()
    this.grants = new Grants(settings, this.population, now)
    this.googleGrants = new GoogleGrants(settings.seed, this.population, this.grants, this.startedAt)
    this.serviceAccounts = new ServiceAccounts(this.population)
    this.mailboxes = new Mailboxes(settings, this.population, now)
    this.gmailboxes = new GmailMailboxes(settings, this.population, now)
    this.uses = new MailboxUses()
    this.subscriptions = new GraphSubscriptions(this)
    this.faults = new Faults(settings)
    this.wire = new Wire(this.grants, this.population)
  }

  pause(app: number): Pause {
    let pause = this.pauses.get(app)
    if (pause === undefined) this.pauses.set(app, pause = new Pause())
    return pause
  }
}
