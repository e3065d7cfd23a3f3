/** All mailboxes, each made when it is first looked at. */
import { Mailbox } from "./Mailbox.ts"
import type { Settings } from "./Options.ts"
import type { Population } from "./Population.ts"

export class Mailboxes {
  private readonly mailboxes = new Map<number, Mailbox>()

  constructor(
    private readonly settings: Settings,
    private readonly population: Population,
    private readonly now: () => number,
  ) {}

  get(index: number): Mailbox {
    let mailbox = this.mailboxes.get(index)
    if (mailbox === undefined) {
      this.mailboxes.set(index, mailbox = new Mailbox(this.settings, index, this.population.email(index), this.now))
    }
    return mailbox
  }
}
