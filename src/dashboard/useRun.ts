/** A run as it goes: by server-sent events until it has ended, and by asking where the stream breaks off. */
import { useEffect, useState } from "preact/hooks"
import { call, Problem, type Run } from "./Api.ts"

export const hasEnded = (run: Run): boolean => run.state !== "queued" && run.state !== "running"

/** How soon after a broken stream the run is asked for. A session that has ended is found by that, too. */
const againMillis = 2_000

export const useRun = (
  id: string,
  first?: Run,
): { readonly run: Run | undefined; readonly problem: Problem | undefined } => {
  const [run, setRun] = useState<Run | undefined>(first)
  const [problem, setProblem] = useState<Problem>()

  useEffect(() => {
    const abort = new AbortController()
    let source: EventSource | undefined
    let timer: ReturnType<typeof setTimeout> | undefined
    setRun(first)
    setProblem(undefined)

    const ask = async () => {
      try {
        const asked = await call<Run>(`v1/runs/${encodeURIComponent(id)}`, { signal: abort.signal })
        if (abort.signal.aborted) return
        setRun(asked)
        setProblem(undefined)
        if (!hasEnded(asked)) follow()
      } catch (error) {
        if (abort.signal.aborted || !(error instanceof Problem)) return
        setProblem(error)
        if (error.status === 0 || error.status >= 500) timer = setTimeout(() => void ask(), againMillis)
      }
    }

    const follow = () => {
      source = new EventSource(`v1/runs/${encodeURIComponent(id)}/events`)
      source.addEventListener("progress", (event) => setRun(JSON.parse(event.data)))
      source.addEventListener("end", (event) => {
        setRun(JSON.parse(event.data))
        source?.close()
      })
      source.addEventListener("error", () => {
        source?.close()
        timer = setTimeout(() => void ask(), againMillis)
      })
    }

    void ask()
    return () => {
      abort.abort()
      source?.close()
      clearTimeout(timer)
    }
  }, [id])

  return { run: run?.id === id ? run : undefined, problem }
}
