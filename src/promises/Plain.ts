/** Values as a program without Effect has them: `Date`, plain secrets, and `undefined` for what is not there. */
import { DateTime, Option, Redacted, Stream } from "effect"

/** What is plain as it is. */
export type Untouched =
  | string
  | number
  | boolean
  | bigint
  | null
  | undefined
  | Date
  | Uint8Array
  | ReadableStream
  | AbortSignal

/** What an answer is in plain terms. */
export type Plain<A> = A extends Untouched ? A
  : A extends Redacted.Redacted<infer V> ? V
  : A extends DateTime.DateTime ? Date
  : A extends Option.Option<infer V> ? Plain<V> | undefined
  : A extends Stream.Stream<infer V, infer _E, infer _R> ? AsyncIterable<Plain<V>>
  : A extends ReadonlyArray<infer V> ? ReadonlyArray<Plain<V>>
  : { readonly [K in keyof A]: Plain<A[K]> }

/** What may be given in place of a parameter: a `Date` for a time, a text for a secret. */
export type Given<A> = A extends Untouched ? A
  : A extends Redacted.Redacted<infer V> ? V | A
  : A extends DateTime.DateTime ? Date | A
  : A extends Stream.Stream<infer V, infer _E, infer _R> ? A
  : A extends ReadonlyArray<infer V> ? ReadonlyArray<Given<V>>
  : { readonly [K in keyof A]: Given<A[K]> }

const isPlainObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null &&
  (Object.getPrototypeOf(value) === Object.prototype || Object.getPrototypeOf(value) === null)

const mapObject = (value: Record<string, unknown>, change: (value: unknown, key: string) => unknown) =>
  Object.fromEntries(Object.entries(value).map(([key, member]) => [key, change(member, key)]))

const plainValue = (value: unknown): unknown => {
  if (Redacted.isRedacted(value)) return Redacted.value(value)
  if (DateTime.isDateTime(value)) return DateTime.toDateUtc(value)
  if (Option.isOption(value)) return plainValue(Option.getOrUndefined(value))
  if (Stream.isStream(value)) return Stream.toAsyncIterable(Stream.map(value as Stream.Stream<unknown>, plainValue))
  if (Array.isArray(value)) return value.map(plainValue)
  return isPlainObject(value) ? mapObject(value, plainValue) : value
}

export const plain = <A>(value: A): Plain<A> => plainValue(value) as Plain<A>

/** Members that are secrets wherever they stand. A test compares them with what the API takes. */
export const secretNames: ReadonlySet<string> = new Set(["refreshToken", "secret", "certificate", "serviceAccountKey"])

/** What was given, as our functions take it. */
export const given = (value: unknown, key?: string): unknown => {
  if (typeof value === "string") return key !== undefined && secretNames.has(key) ? Redacted.make(value) : value
  if (value instanceof Date) return DateTime.fromDateUnsafe(value)
  if (Array.isArray(value)) return value.map((member) => given(member))
  return isPlainObject(value) ? mapObject(value, given) : value
}
