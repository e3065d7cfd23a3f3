/** An answer before it is put on the wire. */
export interface Answer {
  readonly status: number
  readonly headers: Record<string, string>
  readonly body: string
  /**
   * How it goes out, if not whole and at once. `hang`: nothing is answered until the client gives up. `reset`: the
   * connection breaks after the first byte of the body; a web handler has no way to break it earlier. `truncated`: half
   * of the body, with a proper end. `slow`: in pieces over 2 s. `drip`: byte by byte, over `hangLimit`.
   */
  readonly manner?: "hang" | "reset" | "truncated" | "slow" | "drip"
}

/** The answer in full, or as far as its manner lets it. */
export const toResponse = (answer: Answer): Response => {
  if (answer.manner === "reset") {
    // A body shorter than its announced length makes the server drop the connection, and prints nothing.
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode("{"))
        controller.close()
      },
    })
    return new Response(body, { status: 200, headers: { "content-type": "application/json", "content-length": "512" } })
  }
  // The client has gone by now, or has waited as long as a gateway would.
  if (answer.manner === "hang") return new Response(null, { status: 504 })
  const bodyless = answer.status === 204 || answer.status === 304
  const body = answer.manner === "truncated" ? answer.body.slice(0, answer.body.length / 2) : answer.body
  return new Response(bodyless ? null : body, { status: answer.status, headers: answer.headers })
}
