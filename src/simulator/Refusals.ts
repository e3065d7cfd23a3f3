/** Why a provider refuses a grant or an app for good: what each of the two calls it. */
import { aadsts, type AadstsDetails } from "./Aadsts.ts"
import type { Answer } from "./Answer.ts"
import { type GoogleError, googleError } from "./GoogleErrors.ts"

/** An AADSTS code, or the name of a Google error. */
export type Reason = number | GoogleError

/** @param now on the provider's own clock, epoch milliseconds */
export const refusal = (reason: Reason, now: number, details: AadstsDetails = {}): Answer =>
  typeof reason === "number" ? aadsts(reason, now, details) : googleError(reason)
