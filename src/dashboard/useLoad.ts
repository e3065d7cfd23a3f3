/** Data that a view shows: loaded when it opens, again every so often while the page is seen, and when asked to. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks"
import { Problem } from "./Api.ts"

export interface Loaded<A> {
  /** The last that came; stays while newer is on its way, and when that fails. */
  readonly data: A | undefined
  readonly problem: Problem | undefined
  readonly isLoading: boolean
  readonly reload: () => void
}

/** `key` tells one thing from another: where it changes, what was loaded before is not shown for it. */
export const useLoad = <A>(
  key: string,
  load: (signal: AbortSignal) => Promise<A>,
  options: { readonly everyMillis?: number } = {},
): Loaded<A> => {
  const [state, setState] = useState<{ key: string; data?: A; problem?: Problem; isLoading: boolean }>({
    key,
    isLoading: true,
  })
  const [asked, setAsked] = useState(0)
  const latest = useRef(load)
  latest.current = load
  const { everyMillis } = options

  useEffect(() => {
    const abort = new AbortController()
    let timer: ReturnType<typeof setTimeout> | undefined
    const once = async () => {
      setState((before) => before.key === key ? { ...before, isLoading: true } : { key, isLoading: true })
      try {
        const data = await latest.current(abort.signal)
        if (!abort.signal.aborted) setState({ key, data, isLoading: false })
      } catch (error) {
        if (abort.signal.aborted) return
        const problem = error instanceof Problem ? error : new Problem(0, "fault", String(error))
        setState((before) => ({ ...before, key, problem, isLoading: false }))
      }
      if (everyMillis !== undefined && !abort.signal.aborted) timer = setTimeout(whenSeen, everyMillis)
    }
    const whenSeen = () => {
      if (!document.hidden) return void once()
      document.addEventListener("visibilitychange", whenSeen, { once: true, signal: abort.signal })
    }
    void once()
    return () => {
      abort.abort()
      clearTimeout(timer)
    }
  }, [key, asked, everyMillis])

  const reload = useCallback(() => setAsked((count) => count + 1), [])
  const isCurrent = state.key === key
  return {
    data: isCurrent ? state.data : undefined,
    problem: isCurrent ? state.problem : undefined,
    isLoading: !isCurrent || state.isLoading,
    reload,
  }
}
