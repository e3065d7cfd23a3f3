/** An answer before it is put on the wire. */
export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  /**
   * `hang`: nothing is answered until the client gives up. `reset`: the connection breaks after the first byte of the
   * body; a web handler has no way to break it earlier.
   */
  readonly manner?: "hang" | "reset"
}

const encoder = new TextEncoder()
const blank = encoder.encode(" ")

export const toResponse = (answer: Answer): Response => {
  if (answer.manner === "reset") {
    // A body shorter than its announced length makes the server drop the connection, and prints nothing.
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(encoder.encode("{"))
        controller.close()
      },
    })
    return new Response(body, { status: 200, headers: { "content-type": "application/json", "content-length": "512" } })
  }
  // The client has gone by now, or has waited as long as a gateway would.
  if (answer.manner === "hang") return new Response(null, { status: 504 })
  const bodyless = answer.status === 204 || answer.status === 304
  return new Response(bodyless ? null : answer.body, { status: answer.status, headers: answer.headers })
}

/**
 * An answer in two pieces: a blank, and the body once `ready` resolves. A server that has a request body of some size
 * before it does not notice that the client went away until it writes; so it writes early, and the connection of a dead
 * client breaks before the body is due. JSON may begin with a blank (RFC 8259 §2).
 *
 * @param settle told once, whether the body went out or the connection broke before
 * @param lost told if the connection broke while the body went out
 */
export const toWatchedResponse = (
  answer: Answer,
  ready: () => Promise<void>,
  settle: (sent: boolean) => void,
  lost: () => void,
): Response => {
  let state: "waiting" | "sent" | "broken" = "waiting"
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(blank)
    },
    async pull(controller) {
      await ready()
      if (state === "broken") return
      state = "sent"
      settle(true)
      controller.enqueue(encoder.encode(answer.body))
      controller.close()
    },
    cancel() {
      if (state === "sent") lost()
      else settle(false)
      state = "broken"
    },
  })
  return new Response(body, { status: answer.status, headers: answer.headers })
}

/** `Retry-After` of a wait in milliseconds: seconds, with a fraction if it is not a whole number. */
export const retryAfter = (millis: number): string => String(Math.round(millis) / 1000)
