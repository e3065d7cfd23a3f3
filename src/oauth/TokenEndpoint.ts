/** A form sent to a token endpoint, and its answer read with mistrust (RFC 6749 §5.1, §5.2, §6). */
import { Clock, Duration, Effect, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { parseRetryAfter } from "../domain/ProviderError.ts"
import { makeDeadlines } from "./Deadlines.ts"
import type { OAuthProvider, Redemption } from "./OAuthProvider.ts"

export type Redeem = OAuthProvider["Service"]["redeem"]
export type Obtain = OAuthProvider["Service"]["obtain"]

/** From the first byte sent to the last one read. Shorter than the lease of a grant (20 s). */
export const tokenTimeout: Duration.Input = "8 seconds"

/** Answers are a few kilobytes; what is longer than this is none. */
const longestBody = 1024 * 1024

/** Where the provider names no life of the access token, or none that makes sense (RFC 6749 §5.1 leaves it optional). */
const cautiousLife = 300

/** The longest life that Microsoft gives an access token (configurable token lifetimes: 28 hours), in seconds. */
const longestLife = 28 * 3_600

/** What any provider may answer with, good or bad. A field of the wrong type counts as absent; others are ignored. */
export interface TokenBody {
  readonly access_token: string | undefined
  readonly refresh_token: string | undefined
  readonly expires_in: number | string | undefined
  readonly scope: string | undefined
  readonly error: string | undefined
  readonly error_description: string | undefined
  readonly error_codes: ReadonlyArray<number | string> | undefined
  readonly suberror: string | undefined
  readonly trace_id: string | undefined
  readonly correlation_id: string | undefined
  readonly token_type: string | undefined
  /** Of sign-ins that asked for it. */
  readonly id_token: string | undefined
  /** Google's, where the access was given for a limited time. */
  readonly refresh_token_expires_in: number | string | undefined
}

const asText = (value: unknown) => typeof value === "string" ? value : undefined
const isNumeric = (value: unknown) => typeof value === "number" || typeof value === "string"

/** By hand: a schema took a tenth of the time of a redemption. Undefined where the text is no JSON object. */
export const decodeBody = (text: string): TokenBody | undefined => {
  let json: Record<string, unknown>
  try {
    json = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined
  const { error_codes, expires_in, refresh_token_expires_in } = json
  return {
    access_token: asText(json.access_token),
    refresh_token: asText(json.refresh_token),
    expires_in: isNumeric(expires_in) ? expires_in as number | string : undefined,
    scope: asText(json.scope),
    error: asText(json.error),
    error_description: asText(json.error_description),
    error_codes: Array.isArray(error_codes) && error_codes.every(isNumeric) ? error_codes : undefined,
    suberror: asText(json.suberror),
    trace_id: asText(json.trace_id),
    correlation_id: asText(json.correlation_id),
    token_type: asText(json.token_type),
    id_token: asText(json.id_token),
    refresh_token_expires_in: isNumeric(refresh_token_expires_in)
      ? refresh_token_expires_in as number | string
      : undefined,
  }
}

export interface TokenAnswer {
  /** The HTTP status; 0 = no answer came. */
  readonly status: number
  /** 429, or another refusal that carries a `Retry-After`. */
  readonly slowDown: boolean
  /** Undefined where the answer names no pause. */
  readonly retryAfterMillis: number | undefined
  /** Undefined where the answer did not come whole, or is no JSON object. */
  readonly body: TokenBody | undefined
}

export type TokenEndpoint = (url: string, form: Readonly<Record<string, string>>) => Effect.Effect<TokenAnswer>

const noAnswer: TokenAnswer = { status: 0, slowDown: false, retryAfterMillis: undefined, body: undefined }

const headers = { accept: "application/json", "content-type": "application/x-www-form-urlencoded" }

/**
 * Never fails: what does not come is an answer with status 0, or one without a body. The errors of `fetch` may hold the whole
 * request, secrets included, and end here. A redirect is an answer, for it could carry the token elsewhere.
 *
 * By `fetch` itself, in the reference `FetchHttpClient.Fetch`: an `HttpClient` took more time than the request (docs/decisions/0020).
 * Whoever interrupts it does not wait for what was sent, which ends by its own deadline.
 */
export const makeTokenEndpoint = (timeout: Duration.Input): Effect.Effect<TokenEndpoint> =>
  Effect.gen(function* () {
    const fetch = yield* FetchHttpClient.Fetch
    const clock = yield* Clock.Clock
    const deadline = makeDeadlines(Duration.toMillis(timeout))

    const exchange = async (url: string, body: string): Promise<TokenAnswer> => {
      const { leave, signal } = deadline()
      let answer = noAnswer
      try {
        const response = await fetch(url, { method: "POST", headers, body, redirect: "manual", signal })
        answer = headOf(response, clock)
        return { ...answer, body: decodeBody(await textOf(response)) }
      } catch {
        return answer
      } finally {
        leave()
      }
    }

    return (url, form) => Effect.promise(() => exchange(url, encodeForm(form)))
  })

const encodeForm = (form: Readonly<Record<string, string>>): string =>
  Object.entries(form).map(([name, value]) => `${name}=${encodeURIComponent(value.toWellFormed())}`).join("&")

const headOf = ({ headers, status }: Response, clock: Clock.Clock): TokenAnswer => {
  if (isSuccess(status)) return { ...noAnswer, status }
  const header = headers.get("retry-after") ?? undefined
  const millis = parseRetryAfter(header, headers.get("date") ?? undefined, clock.currentTimeMillisUnsafe())
  return {
    status,
    slowDown: status === 429 || (header !== undefined && header.trim() !== ""),
    // A pause of nothing is no pause: the caller's own backoff serves better than a request in the same moment.
    retryAfterMillis: millis === 0 ? undefined : millis,
    body: undefined,
  }
}

/** Throws where the body is too long. */
const textOf = async (response: Response): Promise<string> => {
  const { body, headers } = response
  if (body === null) return ""
  // Most answers announce their length, and reading these at once costs half of what a stream does.
  const announced = headers.get("content-length")
  if (announced !== null && Number(announced) <= longestBody && !headers.has("content-encoding")) {
    return await response.text()
  }
  const decoder = new TextDecoder()
  let length = 0
  let text = ""
  for await (const bytes of body) {
    length += bytes.length
    if (length > longestBody) throw new RangeError("the answer of a token endpoint is too long")
    text += decoder.decode(bytes, { stream: true })
  }
  return text + decoder.decode()
}

export const isSuccess = (status: number): boolean => status >= 200 && status < 300

/** The characters of an access token (RFC 6749, appendix A.12); any other would break the header that carries it. */
const accessTokenForm = /^[\x20-\x7e]+$/

/** What a 2xx answer brought; undefined where it brought no access token. */
export const redemptionOf = (answer: TokenAnswer): Redemption | undefined => {
  const { body, status } = answer
  const accessToken = body?.access_token?.trim() ?? ""
  if (body === undefined || !isSuccess(status) || !accessTokenForm.test(accessToken)) return undefined
  return {
    accessToken: Redacted.make(accessToken),
    expiresIn: lifeOf(body.expires_in),
    ...successorOf(answer),
    ...(body.scope === undefined ? {} : { scope: body.scope }),
  }
}

/** The rotated refresh token of a 2xx answer, whatever else is missing there. */
export const successorOf = ({ body, status }: TokenAnswer): Pick<Redemption, "refreshToken"> => {
  const refreshToken = body?.refresh_token?.trim() ?? ""
  return isSuccess(status) && refreshToken !== "" ? { refreshToken: Redacted.make(refreshToken) } : {}
}

/** Seconds. Microsoft's older endpoint sent them as a string. */
const lifeOf = (expiresIn: number | string | undefined): number => {
  const seconds = typeof expiresIn === "string" ? expiresIn.trim() === "" ? NaN : Number(expiresIn) : expiresIn ?? NaN
  return Number.isFinite(seconds) && seconds >= 1 ? Math.min(Math.floor(seconds), longestLife) : cautiousLife
}
