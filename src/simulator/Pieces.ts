/** Answers whose body goes out piece by piece, each in its own time. */
import type { Answer } from "./Answer.ts"
import type { DelayLine } from "./DelayLine.ts"

type Bytes = Uint8Array<ArrayBuffer>

/** What becomes of an answer in pieces. */
export interface Fate {
  /** Told once: whether the last piece is leaving, or the connection broke before. */
  readonly settle: (sent: boolean) => void
  /** Told if the connection broke while the last piece went out. */
  readonly lost: () => void
}

/** @param before resolves when the piece of that number, from 0, is due */
const inPieces = (
  answer: Answer,
  pieces: ReadonlyArray<Bytes>,
  before: (piece: number) => Promise<void>,
  fate: Fate,
): Response => {
  let next = 0
  let state: "waiting" | "sent" | "broken" = "waiting"
  const body = new ReadableStream<Bytes>({
    async pull(controller) {
      const number = next++
      const piece = pieces[number]
      await before(number)
      if (state === "broken" || piece === undefined) return
      if (next === pieces.length) {
        state = "sent"
        fate.settle(true)
      }
      controller.enqueue(piece)
      if (next === pieces.length) controller.close()
    },
    cancel() {
      if (state === "sent") fate.lost()
      else fate.settle(false)
      state = "broken"
    },
  })
  return new Response(body, { status: answer.status, headers: answer.headers })
}

const encoder = new TextEncoder()
const blank = encoder.encode(" ")

/**
 * An answer in two pieces: a blank, and the body once `ready` resolves. A server that has a request body of some size
 * before it does not notice that the client went away until it writes; so it writes early, and the connection of a dead
 * client breaks before the body is due. JSON may begin with a blank (RFC 8259 §2).
 */
export const watched = (answer: Answer, ready: () => Promise<void>, fate: Fate): Response =>
  inPieces(
    answer,
    [blank, encoder.encode(answer.body)],
    (piece) => piece === 0 ? Promise.resolve() : ready(),
    fate,
  )

/** Milliseconds that a `slow` answer takes. */
const slowTime = 2000
/** Pieces of a `slow` answer. */
const slowPieces = 8

/** A `slow` or `drip` answer; the latter takes `hangLimit` milliseconds, and no less than one for each byte. */
export const unhurried = (answer: Answer, delay: DelayLine, hangLimit: number, fate: Fate): Response => {
  const bytes = encoder.encode(answer.body)
  const isDrip = answer.manner === "drip"
  const size = isDrip ? 1 : Math.max(1, Math.ceil(bytes.length / slowPieces))
  const pieces: Array<Bytes> = []
  for (let at = 0; at < bytes.length; at += size) pieces.push(bytes.subarray(at, at + size))
  if (pieces.length === 0) pieces.push(bytes)
  const pace = Math.max(1, Math.round((isDrip ? hangLimit : slowTime) / pieces.length))
  return inPieces(answer, pieces, () => delay.wait(performance.now(), pace), fate)
}
