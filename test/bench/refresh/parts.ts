/** A fleet in a box: Mailfleet and a simulated provider as processes of their own, on the real Postgres. */
import { Console, Effect } from "effect"
import { benchAuto } from "./auto.ts"
import { benchCeiling } from "./ceiling.ts"
import { load, machine } from "./figures.ts"
import { benchFixed } from "./fixed.ts"
import { benchMillion } from "./million.ts"

export const parts = { a: benchFixed, b: benchAuto, c: benchCeiling, d: benchMillion }
export type Part = keyof typeof parts

export const isPart = (name: string): name is Part => name in parts

/** Runs parts one after another. What they start is stopped, and what they store is dropped, however they end. */
export const benchFleet = (names: ReadonlyArray<Part>, quick: boolean) =>
  Effect.gen(function* () {
    yield* Console.log(yield* machine)
    for (const name of names) yield* parts[name](quick)
    yield* Console.log(`\nat the end: ${load()}`)
  })
