/** The users of the tenant, as an app-only token sees them (Graph documentation, list users, paging). */
import type { Answer } from "./Answer.ts"
import { readSelect } from "./GraphCall.ts"
import { jsonHeaders } from "./GraphErrors.ts"
import { userResource } from "./GraphMail.ts"
import type { World } from "./World.ts"

/** Users per page: what is taken if nothing is said, and the most. */
const pageSize = 100
const pageMaximum = 999

/** Work accounts of one tenant: personal ones are in no directory. */
export const userList = ({ population }: World, tenant: number, base: string, query: URLSearchParams): Answer => {
  const top = Math.min(pageMaximum, Math.max(1, Number(query.get("$top")) || pageSize))
  const select = readSelect(query.get("$select"))
  const id = population.workTenants[tenant]
  const value: Array<Record<string, unknown>> = []
  let index = Number(query.get("$skiptoken")) || 0
  for (; index < population.size && value.length < top; index++) {
    if (population.providerOf(index) !== "microsoft" || population.tenantOf(index) !== id) continue
    const user: Record<string, unknown> = userResource(index, population.email(index))
    value.push(
      select === undefined
        ? user
        : { id: user["id"], ...Object.fromEntries(select.filter((key) => key in user).map((key) => [key, user[key]])) },
    )
  }
  const next = new URLSearchParams(query)
  next.set("$skiptoken", String(index))
  const nextLink = index < population.size ? { "@odata.nextLink": `${base}/users?${next}` } : {}
  return {
    status: 200,
    headers: { ...jsonHeaders },
    body: JSON.stringify({ "@odata.context": `${base}/$metadata#users`, ...nextLink, value }),
  }
}
