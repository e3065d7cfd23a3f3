/** What a page says of each message, as one row for the statement that merges it. */
import { newId } from "../../domain/Ids.ts"
import type { Page, RemoteMessage, Upsert } from "../../mail/Mailbox.ts"
import { namesOf, toColumns } from "./MessageFields.ts"
import { postgresCount } from "../PostgresText.ts"

/** Of a text or HTML so many UTF-16 units are stored: more is no letter, and an answer with it would be hard to read. */
export const longestBody = 4 * 1024 * 1024

/** Keys stand in an index, whose rows have less than 2.7 KB. */
const longestTwinKey = 500

/**
 * `shown`: it is in the folder. `removed`: it is not. `known`: these are fields of it, wherever it is.
 */
export type Word = "shown" | "removed" | "known"

/** The last word on a message, with all that the words before it brought. */
export interface Told {
  readonly remoteId: string
  readonly word: Word
  readonly fields: Partial<RemoteMessage>
  /** Null = the folder that the page is of. */
  readonly folderRemoteId: string | null
  readonly ifKnown: boolean
  readonly twinKey: string | null
}

/** By what a message is known again: its Message-ID, whatever the channel, else what the channel has for it. */
const twinKeyOf = ({ fields, twinKey }: Upsert): string | null =>
  (fields.internetMessageId ?? twinKey)?.trim().slice(0, longestTwinKey) || null

const shortened = (text: string | null | undefined): string | null | undefined =>
  text !== null && text !== undefined && text.length > longestBody ? text.slice(0, longestBody) : text

/** A body is stored, or it is left as it is: a look at the headers takes none away. */
const withBody = (fields: Partial<RemoteMessage>): Partial<RemoteMessage> => {
  const { attachments, bodyReason, bodyState, html, text, ...rest } = fields
  const size = rest.size === undefined ? {} : { size: postgresCount(rest.size) }
  const listed = attachments === undefined ? {} : { attachments }
  if (bodyState === "headers" || (bodyState === undefined && text === undefined && html === undefined)) {
    return { ...rest, ...size, ...(attachments?.length === 0 ? {} : listed) }
  }
  const body = {
    ...(text === undefined ? {} : { text: shortened(text) }),
    ...(html === undefined ? {} : { html: shortened(html) }),
  }
  const isCut = body.text !== text || body.html !== html
  return {
    ...rest,
    ...size,
    ...listed,
    ...body,
    ...(isCut
      ? { bodyState: "truncated", bodyReason: `only the first ${longestBody / 1024 / 1024} Mi characters are stored` }
      : { bodyState: bodyState ?? "complete", bodyReason: bodyReason ?? null }),
  } as Partial<RemoteMessage>
}

/** One for each message of a page, in the order in which they came first. */
export const toldBy = (changes: Page["changes"]): ReadonlyArray<Told> => {
  const latest = new Map<string, Told>()
  for (const change of changes) {
    const before = latest.get(change.remoteId)
    if (change._tag === "Removed") {
      latest.set(change.remoteId, {
        remoteId: change.remoteId,
        word: "removed",
        fields: {},
        folderRemoteId: null,
        ifKnown: false,
        twinKey: null,
      })
    } else {
      const again = before?.word === "shown" ? before : undefined
      latest.set(change.remoteId, {
        remoteId: change.remoteId,
        word: "shown",
        fields: { ...again?.fields, ...withBody(change.fields) },
        folderRemoteId: change.folderRemoteId ?? again?.folderRemoteId ?? null,
        ifKnown: (change.ifKnown ?? false) && (again?.ifKnown ?? true),
        twinKey: twinKeyOf(change) ?? again?.twinKey ?? null,
      })
    }
  }
  return [...latest.values()]
}

/** Bodies of messages that are stored, wherever they lie. */
export const toldOfBodies = (bodies: ReadonlyMap<string, Partial<RemoteMessage>>): ReadonlyArray<Told> =>
  [...bodies].map(([remoteId, fields]) => ({
    remoteId,
    word: "known",
    fields: withBody(fields),
    folderRemoteId: null,
    ifKnown: true,
    twinKey: null,
  }))

/** As the statement takes them. */
export const toRows = (told: ReadonlyArray<Told>): ReadonlyArray<Record<string, unknown>> =>
  told.map(({ fields, folderRemoteId, ifKnown, remoteId, twinKey, word }, ord) => ({
    ord,
    remote_id: remoteId,
    new_id: newId(),
    word,
    folder_remote_id: folderRemoteId,
    if_known: ifKnown,
    twin_key: twinKey,
    has: namesOf(fields),
    ...toColumns(fields),
  }))
