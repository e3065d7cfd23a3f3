/** The change log as server-sent events. */
import { Schema, Stream } from "effect"
import { ChangeEvent } from "../api/Mail.ts"
import type { Change } from "../domain/Mail.ts"
import { eventStream, frame } from "./EventStream.ts"
import type { Shutdown } from "./Shutdown.ts"

const encode = Schema.encodeSync(ChangeEvent)

const toFrame = (change: Change): string =>
  frame(change.position, change.kind, encode({ event: change.kind, data: change }).data)

export const changeEvents = (shutdown: Shutdown["Service"]) => (changes: Stream.Stream<Change>) =>
  eventStream(shutdown, Stream.map(changes, toFrame))
