/** Token buckets of many callers, in the memory of this process: each may call at a rate, and for a while above it. */

/** Callers that are remembered at most; beyond it those that have been quiet are forgotten, and then the oldest. */
const mostCallers = 10_000

interface Bucket {
  tokens: number
  /** Milliseconds of the clock when the tokens were counted. */
  at: number
}

/** What became of one call. */
export interface Taken {
  readonly allowed: boolean
  /** Whole calls that are left now. */
  readonly remaining: number
  /** Whole seconds until the bucket is full again. */
  readonly fullIn: number
  /** Whole seconds, at least 1, until the next call is allowed. */
  readonly retryAfter: number
}

export interface TokenBuckets {
  /** @param now milliseconds of the clock */
  readonly take: (caller: string, now: number) => Taken
  /** Whether a call would be refused now; takes nothing. */
  readonly isEmpty: (caller: string, now: number) => boolean
}

/**
 * @param rate calls per second
 * @param burst calls that a caller who was quiet may make at once
 */
export const makeTokenBuckets = (rate: number, burst: number): TokenBuckets => {
  const buckets = new Map<string, Bucket>()

  const tokensOf = (bucket: Bucket | undefined, now: number): number =>
    bucket === undefined ? burst : Math.min(burst, bucket.tokens + Math.max(0, now - bucket.at) * rate / 1_000)

  const makeRoom = (now: number) => {
    if (buckets.size < mostCallers) return
    for (const [caller, bucket] of buckets) if (tokensOf(bucket, now) === burst) buckets.delete(caller)
    for (const caller of buckets.keys()) {
      if (buckets.size < mostCallers) return
      buckets.delete(caller)
    }
  }

  return {
    take: (caller, now) => {
      const bucket = buckets.get(caller)
      const before = tokensOf(bucket, now)
      const allowed = before >= 1
      const tokens = allowed ? before - 1 : before
      if (bucket === undefined) {
        makeRoom(now)
        buckets.set(caller, { tokens, at: now })
      } else {
        bucket.tokens = tokens
        bucket.at = now
      }
      return {
        allowed,
        remaining: Math.floor(tokens),
        fullIn: Math.ceil((burst - tokens) / rate),
        retryAfter: Math.max(1, Math.ceil((1 - tokens) / rate)),
      }
    },
    isEmpty: (caller, now) => tokensOf(buckets.get(caller), now) < 1,
  }
}
