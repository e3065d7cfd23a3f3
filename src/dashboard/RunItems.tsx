/** What became of the items of a run. */
import { call, type Page, type RunItem } from "./Api.ts"
import { words } from "./Format.ts"
import { href } from "./Router.ts"
import { Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const tones = { succeeded: "good", failed: "bad", skipped: "off", pending: "calm" } as const

const Row = ({ item, hasLines }: { item: RunItem; hasLines: boolean }) => (
  <tr>
    <th scope="row" data-label={hasLines ? "Line" : "Item"}>{item.line ?? item.position}</th>
    <td data-label="Address">
      {item.accountId === undefined
        ? item.email ?? <span class="quiet">not readable</span>
        : <a href={href(["accounts", item.accountId])}>{item.email ?? "account"}</a>}
    </td>
    <td data-label="Outcome">
      <span class={`badge ${tones[item.outcome]}`}>{item.outcome}</span>
    </td>
    <td data-label="Why" class="wide">
      {item.error === undefined ? <span class="quiet">—</span> : (
        <>
          <b>{words(item.error.code)}</b>
          {item.error.field === undefined ? "" : <>, {item.error.field}</>}: {item.error.message}{" "}
          {item.error.retryable && <span class="quiet">(may work when tried again)</span>}
        </>
      )}
    </td>
  </tr>
)

/** `changes` = what makes it worth while to load them again. `pageOf` gives the address of a page. */
export const RunItems = (
  { changes, cursor, outcome, pageOf, runId }: {
    runId: string
    outcome: string
    cursor: string | undefined
    changes: string
    pageOf: (cursor: string | undefined) => string
  },
) => {
  const loaded = useLoad(
    `items ${runId} ${outcome} ${cursor ?? ""} ${changes}`,
    (signal) =>
      call<Page<RunItem>>(`v1/runs/${encodeURIComponent(runId)}/items`, {
        query: { outcome, cursor, limit: 100 },
        signal,
      }),
  )
  return (
    <Shown loaded={loaded} what="items">
      {({ items, nextCursor }) => {
        if (items.length === 0) return <p class="quiet">{outcome === "" ? "No items." : `No ${outcome} items.`}</p>
        const hasLines = items.some(({ line }) => line !== undefined)
        return (
          <>
            <table>
              <caption class="unseen">Items of the run</caption>
              <thead>
                <tr>
                  <th scope="col">{hasLines ? "Line" : "Item"}</th>
                  <th scope="col">Address</th>
                  <th scope="col">Outcome</th>
                  <th scope="col" class="wide">Why</th>
                </tr>
              </thead>
              <tbody>{items.map((item) => <Row key={item.position} item={item} hasLines={hasLines} />)}</tbody>
            </table>
            {(cursor !== undefined || nextCursor !== null) && (
              <nav class="pager" aria-label="Pages of items">
                {cursor !== undefined && <a class="button" href={pageOf(undefined)}>First page</a>}
                {nextCursor !== null && <a class="button" href={pageOf(nextCursor)}>Next page</a>}
              </nav>
            )}
          </>
        )
      }}
    </Shown>
  )
}
