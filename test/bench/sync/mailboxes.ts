/** The mailboxes of a benchmark: who signs in to them, and what is stored of them. */
import { Effect } from "effect"
import type { Provider } from "../refresh/provider.ts"
import type { Installation } from "../../support/processes.ts"
import type { BareGraphOrder } from "./bareGraph.ts"

/** As `GraphClient` asks for: the barest loop is to ask for no fewer. */
export const pageSize = 200

/** Accounts of the provider, from its import file. */
export const accountsOf = Effect.fnUntraced(function* (
  provider: Provider,
  from: number,
  many: number,
): Effect.fn.Return<BareGraphOrder["accounts"]> {
  const body = yield* provider.file(from, many)
  const [, ...lines] = (yield* Effect.promise(() => new Response(body).text())).trimEnd().split("\n")
  return lines.map((line) => {
    const [email, clientId, refreshToken] = line.split(",")
    return { email: email!, clientId: clientId!, refreshToken: refreshToken!.replace(/^"|"$/g, "") }
  })
})

export const storedMessages = (installation: Installation): Effect.Effect<number> =>
  installation.query((sql, table) =>
    // Those of deleted accounts go with the next pass of a schedule.
    sql<{ count: number }>`select count(*)::int4 as count
      from ${table("messages")} m join ${table("accounts")} a on a.id = m.account_id`.pipe(
      Effect.map((rows) => rows[0]!.count),
      Effect.orDie,
    )
  )
