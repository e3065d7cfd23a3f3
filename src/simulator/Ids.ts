/**
 * Ids of messages and folders, which say in themselves what they stand for. They are case-sensitive, and some pairs
 * differ by nothing else. Immutable ids survive a move, default ids do not (Graph documentation, Outlook immutable ids).
 */
import { fromDigits, guid, toDigits } from "./Random.ts"

const immutable = "AAkALgAAAAAAHYQDEapmEc2byACqAC-EWg0A"
const byDefault = "AAMkADQ2ZTk4LWE1"
const folder = "AQMkADAwATMwMAItZDk"
const tail = "AAA="

/** The object id of a user, in Graph and in ID tokens. */
export const userId = (index: number): string => guid(0x3e, index)

/** What a message id stands for; `place` tells a default id of before a move from one of after it. */
export interface MessageId {
  readonly index: number
  readonly ordinal: number
  readonly place: string | undefined
}

export const immutableId = (index: number, ordinal: number): string =>
  immutable + toDigits(index, 5) + toDigits(ordinal, 4) + tail

export const placeOf = (folderOrdinal: number, moves: number): string => toDigits(folderOrdinal, 3) + toDigits(moves, 3)

export const defaultId = (index: number, ordinal: number, place: string): string =>
  byDefault + toDigits(index, 5) + place + toDigits(ordinal, 4) + tail

export const folderId = (index: number, ordinal: number): string =>
  folder + toDigits(index, 5) + toDigits(ordinal, 3) + tail

export const readMessageId = (id: string): MessageId | undefined => {
  if (!id.endsWith(tail)) return undefined
  if (id.startsWith(immutable) && id.length === immutable.length + 9 + tail.length) {
    const at = immutable.length
    const index = fromDigits(id.slice(at, at + 5))
    const ordinal = fromDigits(id.slice(at + 5, at + 9))
    return index < 0 || ordinal < 0 ? undefined : { index, ordinal, place: undefined }
  }
  if (id.startsWith(byDefault) && id.length === byDefault.length + 15 + tail.length) {
    const at = byDefault.length
    const index = fromDigits(id.slice(at, at + 5))
    const ordinal = fromDigits(id.slice(at + 11, at + 15))
    return index < 0 || ordinal < 0 ? undefined : { index, ordinal, place: id.slice(at + 5, at + 11) }
  }
  return undefined
}

export const readFolderId = (id: string): { index: number; ordinal: number } | undefined => {
  if (!id.startsWith(folder) || !id.endsWith(tail) || id.length !== folder.length + 8 + tail.length) return undefined
  const index = fromDigits(id.slice(folder.length, folder.length + 5))
  const ordinal = fromDigits(id.slice(folder.length + 5, folder.length + 8))
  return index < 0 || ordinal < 0 ? undefined : { index, ordinal }
}
