/** Device codes (RFC 8628): what a device asked for, and what the person made of it. */
import type { App } from "./Population.ts"

/** Letters and digits that are not mistaken for each other (RFC 8628 §6.1). */
const letters = "BCDFGHJKLMNPQRSTVWXZ"

export interface DeviceCode {
  readonly app: App
  /** Microsoft's; empty at Google. */
  readonly tenant: string
  readonly scope: string
  readonly userCode: string
  /** Epoch milliseconds. */
  readonly expiresAt: number
  /** Seconds between two polls. */
  interval: number
  /** Epoch milliseconds. */
  polledAt: number
  /** What came of it: who signed in and what it may do, as a bit mask. */
  outcome: "pending" | "declined" | "redeemed" | { readonly index: number; readonly consent: number }
}

export class DeviceCodes {
  private readonly codes = new Map<string, DeviceCode>()

  issue(code: Pick<DeviceCode, "app" | "expiresAt" | "scope" | "tenant">, now: number): [string, DeviceCode] {
    // An expired code is remembered for a while, so that it can be told from garbage.
    for (const [text, { expiresAt }] of this.codes) if (expiresAt + 3_600_000 < now) this.codes.delete(text)
    const random = crypto.getRandomValues(new Uint8Array(8))
    const userCode = Array.from(random, (byte) => letters.charAt(byte % letters.length)).join("")
    const issued: DeviceCode = { ...code, userCode, interval: 5, polledAt: 0, outcome: "pending" }
    const text = `SIM-DEVICE-${crypto.randomUUID()}`
    this.codes.set(text, issued)
    return [text, issued]
  }

  /** The code that a person typed, whose case and dashes do not count, while it waits for one. */
  typed(text: string, now: number): DeviceCode | undefined {
    const plain = text.toUpperCase().replace(/[^A-Z]/g, "")
    return [...this.codes.values()].find((code) =>
      code.userCode === plain && code.outcome === "pending" && now < code.expiresAt
    )
  }

  /** What a device is told that asks for its token; `undefined` for a code that was never its own, or is spent. */
  poll(text: string, app: App, now: number): Poll | undefined {
    const code = this.codes.get(text)
    if (code === undefined || code.app !== app || code.outcome === "redeemed") return undefined
    const { outcome, polledAt } = code
    code.polledAt = now
    if (typeof outcome === "object") {
      if (now >= code.expiresAt) return "expired"
      return { ...outcome, scope: code.scope, redeem: () => code.outcome = "redeemed" }
    }
    if (outcome === "declined") return "declined"
    if (now >= code.expiresAt) return "expired"
    if (now - polledAt >= code.interval * 1000) return "pending"
    // RFC 8628 §3.5: 5 seconds more for this and all polls to come.
    code.interval += 5
    return "too-soon"
  }
}

export type Poll = "pending" | "too-soon" | "declined" | "expired" | {
  readonly index: number
  readonly consent: number
  readonly scope: string
  readonly redeem: () => void
}
