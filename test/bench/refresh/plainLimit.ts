/** The usual way to do many at once: `p-limit`. */
import pLimit from "p-limit"
import { concurrency, refresh, run } from "./plain.ts"

const limit = pLimit(concurrency)

await run((accounts) => Promise.all(accounts.map((account) => limit(() => refresh(account)))))
