/**
 * The audit log as a chain: the hash of each entry covers the entry before, so that none can be changed, taken out or moved
 * without all that follow it being written anew. Whoever writes them all anew is found by a head that was noted elsewhere.
 */
import { Effect, Schema, Stream } from "effect"
import { hash } from "node:crypto"
import { Buffer } from "node:buffer"

const Hash = Schema.String.check(Schema.isPattern(/^[0-9a-f]{64}$/, { expected: "64 hexadecimal digits" }))
const Position = Schema.String.check(Schema.isPattern(/^(?:0|[1-9]\d{0,17})$/, { expected: "a position" }))

/** An entry as it is stored and hashed. Ids of what belongs to an account are pseudonyms. */
export const AuditLink = Schema.Struct({
  position: Position,
  /** ISO 8601 in UTC, with milliseconds. */
  at: Schema.String,
  actor: Schema.String,
  action: Schema.String,
  subject: Schema.NullOr(Schema.String),
  grant: Schema.NullOr(Schema.String),
  object: Schema.NullOr(Schema.String),
  resource: Schema.NullOr(Schema.String),
  detail: Schema.NullOr(Schema.String),
  outcome: Schema.String,
  hash: Hash,
})
export type AuditLink = typeof AuditLink.Type

/** A place in the chain: an entry's position and hash. Noted elsewhere, it proves what the log held then. */
export const AuditHead = Schema.Struct({ position: Position, hash: Hash })
export type AuditHead = typeof AuditHead.Type

/** The hash of an entry that follows one with the hash `before`. Frozen: every entry ever written depends on it. */
export const linkHash = (before: string, link: Omit<AuditLink, "hash">): string => {
  const { action, actor, at, detail, grant, object, outcome, position, resource, subject } = link
  const entry = JSON.stringify([position, at, actor, action, subject, grant, object, resource, detail, outcome])
  return hash("sha256", Buffer.concat([Buffer.from(before, "hex"), Buffer.from(entry)]), "hex")
}

/** What is wrong with a chain, at the first entry that shows it. */
export const AuditFault = Schema.Struct({
  position: Schema.String,
  /**
   * - `changed`: the entry is not the one that was written, or one before it is not
   * - `missing`: an entry that should stand here is not there
   * - `truncated`: the log ends before the head that was noted
   * - `rewritten`: the log has another entry than was noted at that position
   */
  code: Schema.Literals(["changed", "missing", "truncated", "rewritten"]),
  message: Schema.String,
})
export type AuditFault = typeof AuditFault.Type

/** What looking through a chain came to. */
export const AuditVerdict = Schema.Struct({
  /** Entries that were looked at. */
  entries: Schema.Number,
  /** What the oldest entry follows: where retention has cut the log off, or its beginning. */
  anchor: AuditHead,
  /** The last entry that is in order. */
  head: AuditHead,
  fault: Schema.NullOr(AuditFault),
  /** Whether a noted head was met. Null = none was given, or retention has taken the entries up to there. */
  noted: Schema.NullOr(Schema.Boolean),
})
export type AuditVerdict = typeof AuditVerdict.Type

interface Walk {
  readonly entries: number
  readonly head: AuditHead
  readonly noted: boolean
  readonly fault: AuditFault | null
}

const after = (position: string): string => String(BigInt(position) + 1n)

const fault = (position: string, code: AuditFault["code"], message: string): AuditFault => ({ position, code, message })

const isAt = (head: AuditHead, noted: AuditHead | undefined) => noted !== undefined && head.position === noted.position

const rewritten = ({ position }: AuditHead) =>
  fault(position, "rewritten", "the entry is not the one whose head was noted: the log was written anew")

const step = (walk: Walk, link: AuditLink, noted: AuditHead | undefined): Walk => {
  const next = after(walk.head.position)
  if (link.position !== next) {
    return {
      ...walk,
      fault: fault(next, "missing", `an entry is missing: ${link.position} follows ${walk.head.position}`),
    }
  }
  if (linkHash(walk.head.hash, link) !== link.hash) {
    return {
      ...walk,
      fault: fault(next, "changed", "the entry is not the one that was written, or does not belong here"),
    }
  }
  const head = { position: link.position, hash: link.hash }
  if (isAt(head, noted) && noted!.hash !== link.hash) return { ...walk, fault: rewritten(head) }
  return { entries: walk.entries + 1, head, noted: walk.noted || isAt(head, noted), fault: null }
}

/**
 * Looks through a chain, oldest entry first, up to the first fault.
 *
 * @param anchor what the first entry follows
 * @param noted a head that an earlier look had, and that this log must hold
 */
export const verifyChain = <E, R>(
  anchor: AuditHead,
  links: Stream.Stream<AuditLink, E, R>,
  noted?: AuditHead | undefined,
): Effect.Effect<AuditVerdict, E, R> =>
  Effect.gen(function* () {
    let walk: Walk = {
      entries: 0,
      head: anchor,
      noted: isAt(anchor, noted),
      fault: isAt(anchor, noted) && noted!.hash !== anchor.hash ? rewritten(anchor) : null,
    }
    yield* links.pipe(
      Stream.takeWhile(() => walk.fault === null),
      Stream.runForEach((link) =>
        Effect.sync(() => {
          // The rest of a page that the fault stands on has been let through already.
          if (walk.fault === null) walk = step(walk, link, noted)
        })
      ),
    )
    const isBehind = noted !== undefined && BigInt(noted.position) < BigInt(anchor.position)
    const isCut = noted !== undefined && !walk.noted && !isBehind && walk.fault === null
    return {
      entries: walk.entries,
      anchor,
      head: walk.head,
      fault: isCut
        ? fault(
          after(walk.head.position),
          "truncated",
          `the log ends before position ${noted.position}, which was noted`,
        )
        : walk.fault,
      noted: noted === undefined || isBehind ? null : walk.noted,
    }
  })
