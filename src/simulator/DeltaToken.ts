/**
 * The opaque part of delta and next links. It holds all that a round needs, so that 100,000 mailboxes may be in the
 * middle of one without the simulator remembering any.
 */
import { seal } from "./Random.ts"

export interface DeltaToken {
  /** `skip`: in the middle of a round. `delta`: between two rounds. */
  readonly kind: "skip" | "delta"
  readonly index: number
  /** Folder ordinal. */
  readonly folder: number
  /** Log position that the round starts at; -1 in a first round, which lists all. */
  readonly from: number
  /** Log position that the round ends at, and the next one starts at. */
  readonly to: number
  /** First round: ordinal that the next page starts below. Later ones: number of changes handed out. */
  readonly next: number
  /** Whether the page before this one was an empty one. */
  readonly emptied: boolean
  /** Epoch milliseconds. */
  readonly issuedAt: number
  readonly epoch: number
  /** Query options of the first call, as they were given there. */
  readonly select: string
  readonly filter: string
  readonly changeType: string
  readonly top: string
}

/** @param seed of the simulator, which the token is sealed with */
export const writeDeltaToken = (seed: number, token: DeltaToken): string => {
  const text = [
    token.kind,
    token.index,
    token.folder,
    token.from,
    token.to,
    token.next,
    token.emptied ? 1 : 0,
    token.issuedAt,
    token.epoch,
    encodeURIComponent(token.select),
    encodeURIComponent(token.filter),
    token.changeType,
    token.top,
  ].join("|")
  return btoa(`${seal(seed, text)}|${text}`).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "")
}

export const readDeltaToken = (seed: number, value: string): DeltaToken | undefined => {
  if (!/^[A-Za-z0-9_-]+$/.test(value) || value.length % 4 === 1) return undefined
  const plain = atob(value.replaceAll("-", "+").replaceAll("_", "/"))
  const text = plain.slice(12)
  if (plain.slice(0, 11) !== seal(seed, text)) return undefined
  const parts = text.split("|")
  const part = (i: number) => parts[i] ?? ""
  return {
    kind: part(0) === "skip" ? "skip" : "delta",
    index: Number(part(1)),
    folder: Number(part(2)),
    from: Number(part(3)),
    to: Number(part(4)),
    next: Number(part(5)),
    emptied: part(6) === "1",
    issuedAt: Number(part(7)),
    epoch: Number(part(8)),
    select: decodeURIComponent(part(9)),
    filter: decodeURIComponent(part(10)),
    changeType: part(11),
    top: part(12),
  }
}
