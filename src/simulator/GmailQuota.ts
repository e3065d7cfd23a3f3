/** Quota units of the Gmail API (Gmail API, usage limits, for projects made since 1 May 2026), per user and project. */

/** What a request costs: by method and path, where `id` stands for any id. */
const costs: Readonly<Record<string, number>> = {
  "GET profile": 1,
  "GET labels": 1,
  "GET labels/id": 1,
  "POST labels": 5,
  "PATCH labels/id": 5,
  "PUT labels/id": 5,
  "DELETE labels/id": 5,
  "GET history": 2,
  "GET messages": 5,
  "GET messages/id": 20,
  "GET messages/id/attachments/id": 20,
  "POST messages/id/modify": 5,
  "POST messages/id/trash": 20,
  "POST messages/id/untrash": 20,
  "DELETE messages/id": 10,
  "POST watch": 100,
  "POST stop": 50,
}

/** The form of a path, which requests are counted under. */
export const formOf = (segments: ReadonlyArray<string>): string =>
  segments.map((segment, n) => n % 2 === 1 && n < 2 || n === 3 ? "id" : segment).join("/")

export const costOf = (endpoint: string): number => costs[endpoint] ?? 1

const minute = 60_000

/** Requests that one user may have in flight at once. That there is a limit is documented, what it is is not. */
export const gmailConcurrency = 10

/** What one user of one project has spent. */
export class UnitWindow {
  private start = 0
  private spent = 0

  /** Spends, unless it would be too much. */
  spend(units: number, limit: number, now: number): boolean {
    if (now - this.start >= minute) {
      this.start = now
      this.spent = 0
    }
    if (this.spent + units > limit) return false
    this.spent += units
    return true
  }
}

export class GmailQuotas {
  private readonly windows = new Map<string, UnitWindow>()

  get(index: number, app: number): UnitWindow {
    const key = `${index} ${app}`
    let window = this.windows.get(key)
    if (window === undefined) this.windows.set(key, window = new UnitWindow())
    return window
  }
}
