/** A service whose methods answer with promises, under the names that they have in Effect. */
import { Effect, type Stream } from "effect"
import { type Given, given, type Plain, plain } from "./Plain.ts"

/** Parameters in plain terms. */
export type GivenAll<P> = { readonly [K in keyof P]: Given<P[K]> }

/**
 * The same methods with plain values. What is an effect by itself becomes a method without parameters; what answers with a stream
 * gives an `AsyncIterable`. A promise is rejected with the error that the effect fails with.
 */
export type Promised<S> = S extends Effect.Effect<infer A, infer _E, infer _R> ? () => Promise<Plain<A>>
  : S extends (...parameters: infer P) => Effect.Effect<Stream.Stream<infer A, infer _SE>, infer _E>
    ? (...parameters: GivenAll<P>) => Promise<AsyncIterable<Plain<A>>>
  : S extends (...parameters: infer P) => Effect.Effect<infer A, infer _E, infer _R>
    ? (...parameters: GivenAll<P>) => Promise<Plain<A>>
  : { readonly [K in keyof S]: Promised<S[K]> }

export type RunPromise = <A, E>(effect: Effect.Effect<A, E>) => Promise<A>

type Method = (...parameters: ReadonlyArray<unknown>) => Effect.Effect<unknown, unknown>

const promisedValue = (value: unknown, run: RunPromise): unknown => {
  if (Effect.isEffect(value)) return () => run(value as Effect.Effect<unknown, unknown>).then(plain)
  if (typeof value === "function") {
    return (...parameters: ReadonlyArray<unknown>) =>
      run(Effect.suspend(() => (value as Method)(...parameters.map((parameter) => given(parameter))))).then(plain)
  }
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>).map(([name, member]) => [name, promisedValue(member, run)]),
  )
}

export const promised = <S>(service: S, run: RunPromise): Promised<S> => promisedValue(service, run) as Promised<S>

/** One page of a list; `nextCursor` null = the last. */
interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}

/** How many items `all` asks for at once: the most that a list gives. */
const pageSize = 500

/** Every item of a list, page after page, as they are taken. */
export const all = async function* <A>(
  page: (at: { readonly limit: number; readonly cursor?: string }) => Promise<Page<A>>,
): AsyncGenerator<A, void, undefined> {
  let cursor: string | undefined
  do {
    const { items, nextCursor } = await page({ limit: pageSize, ...(cursor === undefined ? {} : { cursor }) })
    yield* items
    cursor = nextCursor ?? undefined
  } while (cursor !== undefined)
}
