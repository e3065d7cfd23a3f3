/** Mail in step, in a box: Mailfleet, providers, rivals and readers as processes of their own, on the real Postgres. */
import { Console, Effect } from "effect"
import { load, machine } from "../refresh/figures.ts"
import { benchChanges } from "./changes.ts"
import { benchGraph } from "./graph.ts"
import { benchImap } from "./imap.ts"
import { benchQuiet } from "./quiet.ts"
import { benchSearch } from "./search.ts"

export const parts = { a: benchImap, b: benchQuiet, c: benchGraph, d: benchSearch, e: benchChanges }
export type Part = keyof typeof parts

export const isPart = (name: string): name is Part => name in parts

/** Runs parts one after another. What they start is stopped, and what they store is dropped, however they end. */
export const benchSync = (names: ReadonlyArray<Part>, quick: boolean) =>
  Effect.gen(function* () {
    yield* Console.log(yield* machine)
    for (const name of names) yield* parts[name](quick)
    yield* Console.log(`\nat the end: ${load()}`)
  })
