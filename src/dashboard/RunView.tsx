/** One run: its progress as it happens, and what became of its items. */
import { call, newIdempotencyKey, type Run } from "./Api.ts"
import { duration } from "./Format.ts"
import { go, href } from "./Router.ts"
import { runName } from "./RunCard.tsx"
import { RunItems } from "./RunItems.tsx"
import { RunProgress } from "./RunProgress.tsx"
import { useMay } from "./Session.ts"
import { Action, Ago, Loading, ProblemNote, StateBadge } from "./Ui.tsx"
import { hasEnded, useRun } from "./useRun.ts"

const took = ({ finishedAt, startedAt }: Run): string | undefined =>
  startedAt === null || finishedAt === null
    ? undefined
    : duration((new Date(finishedAt).getTime() - new Date(startedAt).getTime()) / 1_000)

const retry = async (run: Run) => {
  const again = await call<Run>(`v1/runs/${run.id}/retry`, {
    method: "POST",
    headers: { "idempotency-key": newIdempotencyKey() },
  })
  go(href(["runs", again.id]))
}

const Actions = ({ run }: { run: Run }) => {
  const may = useMay()
  if (!may("runs:write")) return null
  return (
    <p class="actions">
      {!hasEnded(run) && (
        <Action danger run={() => call(`v1/runs/${run.id}/cancel`, { method: "POST" })}>Cancel this run</Action>
      )}
      {hasEnded(run) && run.failed > 0 && !run.dryRun && <Action run={() => retry(run)}>Retry what failed</Action>}
    </p>
  )
}

const outcomes = ["failed", "succeeded", "skipped", "pending"]

export const RunView = ({ id, query }: { id: string; query: Readonly<Record<string, string>> }) => {
  const { problem, run } = useRun(id)
  const { cursor, outcome = "failed" } = query
  if (run === undefined) {
    return (
      <>
        <h1>Run</h1>
        {problem === undefined ? <Loading what="the run" /> : <ProblemNote problem={problem} />}
      </>
    )
  }
  const time = took(run)
  return (
    <>
      <h1>
        {runName(run)} <StateBadge state={run.state} />
      </h1>
      {problem !== undefined && <ProblemNote problem={problem} />}
      <RunProgress run={run} />
      <p class="quiet">
        Asked for <Ago at={run.createdAt} /> by {run.trigger}
        {run.startedAt !== null && (
          <>
            , begun <Ago at={run.startedAt} />
          </>
        )}
        {time !== undefined && `, took ${time}`}
        {run.retryOf !== undefined && (
          <>
            , runs again what failed in <a href={href(["runs", run.retryOf])}>this run</a>
          </>
        )}.
      </p>
      <Actions run={run} />
      <section aria-labelledby="items">
        <h2 id="items">Items</h2>
        <ul class="tabs">
          {outcomes.map((name) => (
            <li key={name}>
              <a href={href(["runs", id], { outcome: name })} aria-current={name === outcome ? "true" : undefined}>
                {name} {name === "pending" ? run.total - run.processed : run[name as "failed"]}
              </a>
            </li>
          ))}
        </ul>
        <RunItems
          runId={id}
          outcome={outcome}
          cursor={cursor}
          changes={hasEnded(run) ? "ended" : `${outcome} ${Math.floor(20 * run.processed / Math.max(1, run.total))}`}
          pageOf={(next) => href(["runs", id], { outcome, cursor: next })}
        />
      </section>
    </>
  )
}
