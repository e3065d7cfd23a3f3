/** A run that goes on, in short. */
import type { Run } from "./Api.ts"
import { href } from "./Router.ts"
import { RunProgress } from "./RunProgress.tsx"
import { Ago, StateBadge } from "./Ui.tsx"
import { useRun } from "./useRun.ts"

export const RunCard = ({ run: first }: { run: Run }) => {
  const { run = first } = useRun(first.id, first)
  return (
    <article class="card">
      <p class="head">
        <a href={href(["runs", run.id])}>{runName(run)}</a> <StateBadge state={run.state} />{" "}
        <span class="quiet">
          <Ago at={run.createdAt} />
        </span>
      </p>
      <RunProgress run={run} />
    </article>
  )
}

const kinds = { import: "Import", refresh: "Refresh", sync: "Sync" } as const

export const runName = (run: Run): string => run.dryRun ? "Dry run of an import" : kinds[run.kind]
