/**
 * One circuit: whether anything may be sent, by what earlier answers said.
 *
 * Closed: all may be sent. Open: nothing, until a probe is due; then exactly one request is let through, and its answer
 * decides. Times are those of `Monotonic`.
 */
export interface Circuit {
  /** Refusals in a row while closed. */
  readonly refusals: number
  /** How often it has opened since it was last closed; 0 = it is closed. */
  readonly openings: number
  /** While open: when the next probe may be sent. */
  readonly probeAt: number
  /** Since when a probe is under way. */
  readonly probingSince: number | undefined
  /** Grows when it opens or closes: an answer to what was sent before says nothing of what came after. */
  readonly generation: number
}

export const closedCircuit: Circuit = {
  refusals: 0,
  openings: 0,
  probeAt: 0,
  probingSince: undefined,
  generation: 0,
}

/** What an answer says of what the circuit guards. */
export type Says = "accepted" | "refused" | "nothing"

const firstOpenMillis = 30_000
const longestOpenMillis = 15 * 60_000

/** A probe is answered within the token timeout (8 s); what waits for it looks again after this. */
const probeMillis = 10_000

export const isOpen = ({ openings }: Circuit): boolean => openings > 0

/** True where it is as if nothing had ever been refused. */
export const isUntroubled = ({ openings, refusals }: Circuit): boolean => openings === 0 && refusals === 0

/** Milliseconds until something may be sent; 0 = now. */
export const waitMillis = ({ openings, probeAt, probingSince }: Circuit, now: number): number => {
  if (openings === 0) return 0
  return probingSince === undefined ? Math.max(0, probeAt - now) : Math.max(1_000, probingSince + probeMillis - now)
}

/** Something is being sent, which `waitMillis` allowed. */
export const sent = (circuit: Circuit, now: number): Circuit =>
  isOpen(circuit) ? { ...circuit, probingSince: now } : circuit

/**
 * @param generation that of the circuit when the request was sent
 * @param opensAfter refusals in a row
 */
export const answered = (
  circuit: Circuit,
  generation: number,
  says: Says,
  now: number,
  opensAfter: number,
): Circuit => {
  if (generation !== circuit.generation) return circuit
  if (!isOpen(circuit)) {
    if (says === "nothing") return circuit
    if (says === "accepted") return { ...circuit, refusals: 0 }
    const refusals = circuit.refusals + 1
    return refusals < opensAfter ? { ...circuit, refusals } : opened(circuit, now)
  }
  if (says === "refused") return opened(circuit, now)
  return says === "accepted" ? reset(circuit) : { ...circuit, probingSince: undefined, probeAt: now + firstOpenMillis }
}

export const reset = ({ generation }: Circuit): Circuit => ({ ...closedCircuit, generation: generation + 1 })

const opened = ({ generation, openings }: Circuit, now: number): Circuit => ({
  refusals: 0,
  openings: openings + 1,
  probeAt: now + Math.min(longestOpenMillis, firstOpenMillis * 2 ** Math.min(openings, 20)),
  probingSince: undefined,
  generation: generation + 1,
})
