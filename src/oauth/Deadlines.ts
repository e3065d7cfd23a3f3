/** What aborts the requests whose time has passed. Requests that begin at nearly the same time share one signal and one timer. */

export interface Deadline {
  readonly signal: AbortSignal
  /** The request has ended: to be called once, whatever came of it. */
  readonly leave: () => void
}

/** The part of its time that a request may lose because it shares the deadline of an earlier one. */
const shared = 1 / 80

/**
 * Answers the deadline of a request that begins now: after `millis`, or up to 1/80 less. A controller and a timer for each
 * took a quarter of the time of a request. No timer is left once all requests have ended.
 */
export const makeDeadlines = (millis: number): () => Deadline => {
  let current: { readonly enter: () => Deadline } | undefined

  const open = () => {
    const controller = new AbortController()
    let under = 0
    const forget = () => {
      if (current === group) current = undefined
    }
    const timers = [setTimeout(forget, millis * shared), setTimeout(() => controller.abort(), millis)]
    const leave = () => {
      if (--under > 0) return
      timers.forEach(clearTimeout)
      forget()
    }
    const deadline: Deadline = { signal: controller.signal, leave }
    const group = {
      enter: () => {
        under++
        return deadline
      },
    }
    return group
  }

  return () => (current ??= open()).enter()
}
