/** Prints the megabytes that a fiber holds on to after it was suspended so many times. Wants `--v8-flags=--expose-gc`. */
import { restoreBuiltinModules } from "../../src/commands/PlainFibers.ts"

import { Effect } from "effect"

restoreBuiltinModules()

const used = (): number => {
  ;(globalThis as unknown as { readonly gc: () => void }).gc()
  return Deno.memoryUsage().heapUsed / 1e6
}
const pass = Effect.callback<void>((resume) => queueMicrotask(() => resume(Effect.void)))

await Effect.runPromise(Effect.gen(function* () {
  for (let i = 0; i < 1_000; i++) yield* pass
  const before = used()
  for (let i = 0; i < Number(Deno.args[0]); i++) yield* pass
  console.log(used() - before)
}))
