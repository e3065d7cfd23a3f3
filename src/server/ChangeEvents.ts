/** The change log as server-sent events. */
import { Schema, Stream } from "effect"
import type { PositionExpired } from "../storage/mail/Positions.ts"
import { ChangeEvent } from "../api/Mail.ts"
import type { Change } from "../domain/Mail.ts"
import { eventStream, frame } from "./EventStream.ts"
import type { Shutdown } from "./Shutdown.ts"

const encode = Schema.encodeSync(ChangeEvent)

const toFrame = (change: Change): string =>
  frame(change.position, change.kind, encode({ event: change.kind, data: change }).data)

/** Where the next entries are deleted before the reader takes them, the stream ends: who connects again is told why, by 410. */
export const changeEvents = (shutdown: Shutdown["Service"]) => (changes: Stream.Stream<Change, PositionExpired>) =>
  eventStream(shutdown, changes.pipe(Stream.map(toFrame), Stream.catch(() => Stream.empty)))
