/** An answer of a token endpoint that brought no access token: what it means, in words that are ours. */
import { Effect } from "effect"
import { codeOf, type FailureClass, type Reach } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import type { RedemptionFailure } from "./OAuthProvider.ts"
import { isSuccess, successorOf, type TokenAnswer, type TokenBody } from "./TokenEndpoint.ts"

/** Why a provider module holds an answer to be a failure. */
export interface Refusal {
  readonly class: FailureClass
  /** Ours, never the provider's. */
  readonly message: string
  readonly providerCode?: string | undefined
  /** Set where the class is `throttled` or `app`. */
  readonly reach?: Reach | undefined
  readonly retryAfterMillis?: number | undefined
}

/** An empty token is not sent: the provider would blame the app for a missing parameter. */
export const noToken: Refusal = {
  class: "needs_user",
  message: "the stored refresh token is empty; import it again, or have the user sign in again",
}

/** A fault that lies before or beyond any error code: nothing came, or nothing that a token endpoint says. */
export const faultOf = ({ body, status }: TokenAnswer, settingName: string): Refusal | undefined => {
  const transient = (message: string): Refusal => ({ class: "transient", message })
  if (status === 0) {
    return transient(
      "the token endpoint did not answer in time or could not be reached; the outcome is unknown, it is tried again",
    )
  }
  if (isSuccess(status)) {
    return transient("the token endpoint answered without an access token; the outcome is unknown, it is tried again")
  }
  if (status >= 500) return transient("the token endpoint has a fault; it is tried again by itself")
  if (status < 400) {
    return transient(`the token endpoint redirects elsewhere, which is not followed; check ${settingName}`)
  }
  return body === undefined
    ? transient("the token endpoint's answer broke off or is not JSON; it is tried again, check proxies if it goes on")
    : undefined
}

export const slowDownOf = (answer: TokenAnswer, providerCode: string | undefined): Refusal | undefined =>
  answer.slowDown
    ? {
      class: "throttled",
      message: "the token endpoint asks to slow down; everything of this app waits, then it is tried again",
      providerCode,
      reach: "app",
      retryAfterMillis: answer.retryAfterMillis,
    }
    : undefined

/** The `error` of RFC 6749 §5.2 where it looks like one: it ends up in logs. */
export const errorName = (body: TokenBody | undefined): string | undefined =>
  body?.error !== undefined && body.error.length <= 40 && /^[a-z]+(?:_[a-z]+)*$/.test(body.error)
    ? body.error
    : undefined

const guid = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

const guidIn = (text: string | undefined): string | undefined =>
  text !== undefined && guid.test(text) ? text : undefined

/** @param answer undefined = nothing was sent */
export const toFailure = (refusal: Refusal, answer: TokenAnswer | undefined): RedemptionFailure => {
  const { message, providerCode, reach, retryAfterMillis } = refusal
  const traceId = guidIn(answer?.body?.trace_id)
  const correlationId = guidIn(answer?.body?.correlation_id)
  return {
    error: new ProviderError({
      class: refusal.class,
      code: codeOf[refusal.class],
      message,
      ...(providerCode === undefined ? {} : { providerCode }),
      ...(retryAfterMillis === undefined ? {} : { retryAfterMillis }),
      ...(traceId === undefined ? {} : { traceId }),
      ...(correlationId === undefined ? {} : { correlationId }),
    }),
    ...(reach === undefined ? {} : { reach }),
    ...(answer === undefined ? {} : successorOf(answer)),
  }
}

/** For the provider's support; neither codes nor ids are secret. */
export const reportUnknown = (
  { error: { class: failureClass, correlationId, providerCode, traceId } }: RedemptionFailure,
  status: number,
): Effect.Effect<void> =>
  Effect.logWarning("a token endpoint gave an answer that is not known here", {
    class: failureClass,
    status,
    ...(providerCode === undefined ? {} : { providerCode }),
    ...(traceId === undefined ? {} : { traceId }),
    ...(correlationId === undefined ? {} : { correlationId }),
  })
