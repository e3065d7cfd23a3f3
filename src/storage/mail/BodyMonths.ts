/**
 * The months that the table of bodies is in partitions by. Ids are made of the time (UUIDv7), so a month is a range of ids, and
 * a message's id alone tells where its body is.
 */

export interface BodyMonth {
  /** Of the partition, such as `message_bodies_2026_11`. */
  readonly name: string
  /** The first id of the month, and of the next one. */
  readonly from: string
  readonly to: string
}

/** No UUIDv7 of this time or a later one sorts before it. @param millis since 1970 */
export const firstIdAt = (millis: number): string => {
  const hex = Math.max(0, millis).toString(16).padStart(12, "0")
  return `${hex.slice(0, 8)}-${hex.slice(8)}-0000-0000-000000000000`
}

/** The beginning of a time's month, UTC, or of one so many months later. */
export const monthAt = (millis: number, later = 0): number => {
  const at = new Date(millis)
  return Date.UTC(at.getUTCFullYear(), at.getUTCMonth() + later)
}

/** The month that a time is in. */
export const bodyMonth = (millis: number): BodyMonth => {
  const from = monthAt(millis)
  return {
    name: `message_bodies_${new Date(from).toISOString().slice(0, 7).replace("-", "_")}`,
    from: firstIdAt(from),
    to: firstIdAt(monthAt(from, 1)),
  }
}

/** The beginning of the month of a partition; undefined = the name is of no month. */
export const monthNamed = (name: string): number | undefined => {
  const [, year, month] = /^message_bodies_(\d{4})_(\d{2})$/.exec(name) ?? []
  return year === undefined ? undefined : Date.UTC(Number(year), Number(month) - 1)
}
