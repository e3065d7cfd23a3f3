/** Waiting, cheaply and precisely: thousands of answers that wait equally long share one timer. */

/** Answers may leave this many milliseconds before their time, so that one wake-up serves all that are all but due. */
const slack = 0.3

interface Waiter {
  readonly deadline: number
  readonly resume: () => void
}

/** Those who wait equally long come due in the order of their arrival: a queue with one timer for its head. */
class Line {
  private queue: Array<Waiter> = []
  private head = 0
  private timer: ReturnType<typeof setTimeout> | undefined

  add(waiter: Waiter): void {
    this.queue.push(waiter)
    if (this.timer === undefined) this.arm(waiter.deadline)
  }

  releaseAll(): void {
    clearTimeout(this.timer)
    this.timer = undefined
    const waiting = this.queue.slice(this.head)
    this.queue = []
    this.head = 0
    for (const waiter of waiting) waiter.resume()
  }

  private arm(deadline: number): void {
    this.timer = setTimeout(this.fire, Math.max(0, Math.ceil(deadline - performance.now() - slack)))
  }

  private fire = (): void => {
    this.timer = undefined
    const due = performance.now() + slack
    let waiter = this.queue[this.head]
    while (waiter !== undefined && waiter.deadline <= due) {
      this.head++
      waiter.resume()
      waiter = this.queue[this.head]
    }
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head)
      this.head = 0
    }
    if (waiter !== undefined) this.arm(waiter.deadline)
    else if (this.head === this.queue.length) {
      this.queue = []
      this.head = 0
    }
  }
}

/** All waiting of one simulator; closing it lets everybody go at once. */
export class DelayLine {
  private readonly lines = new Map<number, Line>()
  private readonly hanging = new Set<() => void>()
  private closed = false

  /** Waits until `duration` milliseconds after `start` (a reading of `performance.now()`). */
  wait(start: number, duration: number): Promise<void> {
    return new Promise((resume) => {
      if (this.closed) return resume()
      let line = this.lines.get(duration)
      if (line === undefined) this.lines.set(duration, line = new Line())
      line.add({ deadline: start + duration, resume })
    })
  }

  /** Waits until the client is gone or `limit` milliseconds have passed, whichever is first. */
  hang(signal: AbortSignal, limit: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.closed || signal.aborted) return resolve()
      const resume = () => {
        clearTimeout(timer)
        signal.removeEventListener("abort", resume)
        this.hanging.delete(resume)
        resolve()
      }
      const timer = setTimeout(resume, limit)
      signal.addEventListener("abort", resume)
      this.hanging.add(resume)
    })
  }

  close(): void {
    this.closed = true
    for (const line of this.lines.values()) line.releaseAll()
    for (const resume of [...this.hanging]) resume()
  }
}
