/** How far a run is, as a bar, in numbers, and read aloud now and then. */
import { useEffect, useRef, useState } from "preact/hooks"
import type { Run } from "./Api.ts"
import { count, duration } from "./Format.ts"
import { hasEnded } from "./useRun.ts"

const percentOf = ({ processed, total }: Run): number => total === 0 ? 0 : Math.floor(100 * processed / total)

/** What is left, at the pace so far; undefined while that says nothing. */
const remaining = (run: Run): number | undefined => {
  if (run.state !== "running" || run.startedAt === null || run.processed === 0) return undefined
  const seconds = (Date.now() - new Date(run.startedAt).getTime()) / 1_000
  return seconds < 2 ? undefined : (run.total - run.processed) * seconds / run.processed
}

/** Each quarter, and the end: more would talk over everything else. */
const spoken = (run: Run): string =>
  hasEnded(run)
    ? `The ${run.kind} is ${run.state}: ${run.succeeded} succeeded, ${run.failed} failed, ${run.skipped} skipped.`
    : run.state === "queued"
    ? `The ${run.kind} is waiting to start.`
    : `${Math.floor(percentOf(run) / 25) * 25} percent.`

const Spoken = ({ run }: { run: Run }) => {
  const text = spoken(run)
  const [said, say] = useState("")
  const first = useRef(true)
  useEffect(() => {
    // How things stood when the page was opened is read with the page.
    if (first.current) first.current = false
    else say(text)
  }, [text])
  return <p class="unseen" role="status">{said}</p>
}

export const RunProgress = ({ run }: { run: Run }) => {
  const percent = percentOf(run)
  const left = remaining(run)
  const part = (name: "succeeded" | "failed" | "skipped", tone: string) =>
    run[name] > 0 && <i class={tone} style={{ width: `${100 * run[name] / run.total}%` }} />
  return (
    <div class="progress">
      <div
        class="bar"
        role="progressbar"
        aria-label={`Progress of the ${run.kind}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={percent}
        aria-valuetext={`${run.processed} of ${run.total}`}
      >
        {part("succeeded", "good")}
        {part("failed", "bad")}
        {part("skipped", "off")}
      </div>
      <p class="counts">
        <span>
          <b>{count(run.processed)}</b> of {count(run.total)}
          {run.total > 0 && ` (${percent} %)`}
        </span>
        <span class="good">{count(run.succeeded)} succeeded</span>
        <span class={run.failed > 0 ? "bad" : ""}>{count(run.failed)} failed</span>
        {run.skipped > 0 && <span>{count(run.skipped)} skipped</span>}
        {left !== undefined && <span class="quiet">about {duration(left)} left</span>}
      </p>
      <Spoken run={run} />
    </div>
  )
}
