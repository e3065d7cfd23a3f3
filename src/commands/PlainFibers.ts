/**
 * Keeps Effect from capturing Node's async context at each suspension of a fiber. Import it before anything of Effect.
 *
 * Effect 4.1 makes an `AsyncResource` whenever a fiber suspends, so that `AsyncLocalStorage` follows it. Deno 2.9 keeps in each
 * the one that was current when it was made: a fiber that never ends, as a schedule's, holds on to all of them. It cost a
 * kilobyte for each redemption, for ever, and a part of the processor's time. Nothing here uses `AsyncLocalStorage`.
 */
import process from "node:process"

const getBuiltinModule = process.getBuiltinModule

// Effect looks for it once, while its modules are loaded.
process.getBuiltinModule =
  ((name: string) => name === "node:async_hooks" ? undefined : getBuiltinModule(name)) as typeof getBuiltinModule

/** Once Effect has been loaded, others find it again. */
export const restoreBuiltinModules = (): void => {
  process.getBuiltinModule = getBuiltinModule
}
