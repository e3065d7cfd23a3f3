/** All runs, newest first. */
import { call, type Page, type Run } from "./Api.ts"
import { count } from "./Format.ts"
import { go, href } from "./Router.ts"
import { runName } from "./RunCard.tsx"
import { Ago, Pager, Shown, StateBadge } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const Row = ({ run }: { run: Run }) => (
  <tr>
    <th scope="row">
      <a href={href(["runs", run.id])}>{runName(run)}</a>
    </th>
    <td data-label="State">
      <StateBadge state={run.state} />
    </td>
    <td data-label="Asked for">
      <Ago at={run.createdAt} />
    </td>
    <td data-label="Items" class="number">{count(run.processed)} of {count(run.total)}</td>
    <td data-label="Succeeded" class="number">{count(run.succeeded)}</td>
    <td data-label="Failed" class={`number ${run.failed > 0 ? "bad" : ""}`}>{count(run.failed)}</td>
    <td data-label="Skipped" class="number">{count(run.skipped)}</td>
  </tr>
)

export const Runs = ({ query }: { query: Readonly<Record<string, string>> }) => {
  const { cursor, kind = "", state = "" } = query
  const loaded = useLoad(
    `runs ${kind} ${state} ${cursor ?? ""}`,
    (signal) => call<Page<Run>>("v1/runs", { query: { limit: 50, kind, state, cursor }, signal }),
    { everyMillis: 5_000 },
  )
  const filter = (change: { kind?: string; state?: string }) => go(href(["runs"], { kind, state, ...change }))
  return (
    <>
      <h1>Runs</h1>
      <form class="filters" onSubmit={(event) => event.preventDefault()}>
        <label>
          Kind
          <select value={kind} onChange={(event) => filter({ kind: event.currentTarget.value })}>
            <option value="">any</option>
            {["import", "refresh", "sync"].map((name) => <option key={name}>{name}</option>)}
          </select>
        </label>
        <label>
          State
          <select value={state} onChange={(event) => filter({ state: event.currentTarget.value })}>
            <option value="">any</option>
            {["queued", "running", "completed", "cancelled", "failed"].map((name) => <option key={name}>{name}
            </option>)}
          </select>
        </label>
      </form>
      <Shown loaded={loaded} what="runs">
        {({ items, nextCursor }) =>
          items.length === 0
            ? <p class="quiet">{kind + state === "" ? "Nobody has asked for a run yet." : "No run is like this."}</p>
            : (
              <>
                <table>
                  <caption class="unseen">Runs, newest first</caption>
                  <thead>
                    <tr>
                      <th scope="col">Run</th>
                      <th scope="col">State</th>
                      <th scope="col">Asked for</th>
                      <th scope="col" class="number">Items</th>
                      <th scope="col" class="number">Succeeded</th>
                      <th scope="col" class="number">Failed</th>
                      <th scope="col" class="number">Skipped</th>
                    </tr>
                  </thead>
                  <tbody>{items.map((run) => <Row key={run.id} run={run} />)}</tbody>
                </table>
                <Pager
                  first={cursor === undefined ? undefined : href(["runs"], { kind, state })}
                  next={nextCursor === null ? undefined : href(["runs"], { kind, state, cursor: nextCursor })}
                />
              </>
            )}
      </Shown>
    </>
  )
}
