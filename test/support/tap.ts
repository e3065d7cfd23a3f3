/** A place between the programs and the channels, where a test may put in what happens between two pages. */
import { Context, Effect, Layer } from "effect"
import type { Mailbox } from "../../src/mail/Mailbox.ts"
import { Mailboxes } from "../../src/mail/Mailboxes.ts"

export class Tap extends Context.Service<Tap, {
  /** By account: what becomes of a mailbox that is opened. */
  readonly of: Map<string, (mailbox: Mailbox) => Mailbox>
}>()("test/Tap") {
  /** Mailboxes with a tap in front. */
  static readonly layer = <R>(mailboxes: Layer.Layer<Mailboxes, never, R>): Layer.Layer<Mailboxes | Tap, never, R> =>
    Layer.effectContext(
      Effect.map(Mailboxes, (inner) => {
        const of = new Map<string, (mailbox: Mailbox) => Mailbox>()
        return Context.make(Tap, { of }).pipe(
          Context.add(Mailboxes, {
            ...inner,
            open: (account, stored) =>
              Effect.map(inner.open(account, stored), (mailbox) => of.get(account.id)?.(mailbox) ?? mailbox),
          }),
        )
      }),
    ).pipe(Layer.provide(mailboxes))
}

/** Runs `before` ahead of each page; `n` counts from 1 over all folders. */
export const beforePages = (before: (n: number) => Effect.Effect<void>) => (mailbox: Mailbox): Mailbox => {
  let n = 0
  return {
    ...mailbox,
    page: (folder, cursor) => Effect.suspend(() => Effect.andThen(before(++n), mailbox.page(folder, cursor))),
  }
}

/** Every second page is empty with the real one behind it, and the last two items of each come twice. */
export const oddPages = (mailbox: Mailbox): Mailbox => {
  const mark = "after an empty page "
  let n = 0
  return {
    ...mailbox,
    page: (folder, cursor) => {
      if (cursor !== null && !cursor.startsWith(mark) && n++ % 2 === 1) {
        return Effect.succeed({ changes: [], cursor: `${mark}${cursor}`, roundComplete: false })
      }
      const real = cursor?.startsWith(mark) === true ? cursor.slice(mark.length) : cursor
      return Effect.map(
        mailbox.page(folder, real),
        (page) => ({ ...page, changes: [...page.changes, ...page.changes.slice(-2)] }),
      )
    },
  }
}
