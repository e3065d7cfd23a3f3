/** Authorization codes: who signed in to which app, and what the code is bound to. */
import { createHash } from "node:crypto"
import type { App } from "./Population.ts"

/** How long a code can be redeemed, in milliseconds. */
export const codeLifetime = 600_000

export interface Code {
  readonly app: App
  readonly index: number
  readonly redirectUri: string
  /** S256 (RFC 7636 §4.2), if the app sent one. */
  readonly challenge: string | undefined
  /** Scopes as they were asked for. */
  readonly scope: string
  /** What the code can be redeemed for, as a bit mask: at Microsoft, all that the user consented to for this app. */
  readonly consent: number
  readonly nonce: string | undefined
  /** Whether its redemption gives a refresh token. */
  readonly offline: boolean
  /** Epoch milliseconds. */
  readonly issuedAt: number
  isRedeemed: boolean
}

/** S256 of RFC 7636 §4.2. */
export const challengeOf = (verifier: string): string => createHash("sha256").update(verifier).digest("base64url")

export class Codes {
  private readonly codes = new Map<string, Code>()

  issue(code: Omit<Code, "isRedeemed">): string {
    // A spent code is remembered for a while, so that its replay can be told from garbage.
    for (const [text, { issuedAt }] of this.codes) {
      if (code.issuedAt - issuedAt <= 2 * codeLifetime) break
      this.codes.delete(text)
    }
    const text = `${code.app.provider === "google" ? "4/0SIM" : "M.C5_SIM.2.U."}${crypto.randomUUID()}`
    this.codes.set(text, { ...code, isRedeemed: false })
    return text
  }

  get(text: string): Code | undefined {
    return this.codes.get(text)
  }
}
