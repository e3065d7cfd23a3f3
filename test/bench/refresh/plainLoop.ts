/** The barest way to do many at once: as many loops over one iterator. */
import { concurrency, refresh, run } from "./plain.ts"

await run((accounts) => {
  const left = accounts.values()
  const loop = async () => {
    for (const account of left) await refresh(account)
  }
  return Promise.all(Array.from({ length: concurrency }, loop))
})
