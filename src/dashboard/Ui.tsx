/** What all views are made of. */
import type { ComponentChildren } from "preact"
import { useEffect, useState } from "preact/hooks"
import type { Account, Problem, Run } from "./Api.ts"
import { absolute, relative, words } from "./Format.ts"
import type { Loaded } from "./useLoad.ts"

const scopeWords: Readonly<Record<string, string>> = {
  "accounts:read": "see accounts and how the fleet is",
  "accounts:write": "change accounts",
  "runs:write": "import, refresh, sync, or cancel",
  "messages:read": "read mail",
  "tokens:read": "be given access tokens",
  admin: "do what administrators do",
}

export const ScopeNote = ({ scope }: { scope: string }) => (
  <p class="note">
    Your key may not {scopeWords[scope] ?? "do this"}. It would need the scope <code>{scope}</code> for that.
  </p>
)

/** Polite where the key reaches not so far; plain where something is wrong. */
export const ProblemNote = ({ problem, retry }: { problem: Problem; retry?: () => void }) =>
  problem.status === 403 && problem.scope !== undefined
    ? <ScopeNote scope={problem.scope} />
    : (
      <div class="note bad" role="alert">
        <p>
          {problem.status === 404 ? "There is nothing under this address. It may have been deleted." : problem.message}
        </p>
        {retry !== undefined && <button type="button" onClick={retry}>Try again</button>}
      </div>
    )

export const Loading = ({ what }: { what: string }) => <p class="quiet loading" role="status">Loading {what}…</p>

/** The data where there is some; else what is the matter. A fault while older data is shown is told beside it. */
export const Shown = <A,>(
  { children, loaded, what }: { loaded: Loaded<A>; what: string; children: (data: A) => ComponentChildren },
) => {
  const { data, problem, reload } = loaded
  return (
    <>
      {problem !== undefined && <ProblemNote problem={problem} retry={reload} />}
      {data !== undefined ? children(data) : problem === undefined && <Loading what={what} />}
    </>
  )
}

/** A time as the distance from now, which grows as one looks; the tooltip has it in full. */
export const Ago = ({ at, none = "never" }: { at: string | null | undefined; none?: string }) => {
  const [, tick] = useState(0)
  useEffect(() => {
    const timer = setInterval(() => tick((count) => count + 1), 15_000)
    return () => clearInterval(timer)
  }, [])
  if (at === null || at === undefined) return <span class="quiet">{none}</span>
  return <time dateTime={at} title={absolute(at)}>{relative(at)}</time>
}

const statusTones: Readonly<Record<Account["status"], string>> = {
  active: "good",
  pending: "calm",
  needs_reauth: "bad",
  blocked: "warn",
  disabled: "off",
}

export const StatusBadge = ({ status }: { status: Account["status"] }) => (
  <span class={`badge ${statusTones[status]}`}>{words(status)}</span>
)

const stateTones: Readonly<Record<Run["state"], string>> = {
  queued: "calm",
  running: "calm",
  completed: "good",
  cancelled: "off",
  failed: "bad",
}

export const StateBadge = ({ state }: { state: Run["state"] }) => (
  <span class={`badge ${stateTones[state]}`}>{words(state)}</span>
)

/** The way through a list by its cursor. The browser's back button leads back. */
export const Pager = (
  { first, next }: { first: string | undefined; next: string | undefined },
) =>
  first === undefined && next === undefined ? null : (
    <nav class="pager" aria-label="Pages">
      {first !== undefined && <a class="button" href={first}>First page</a>}
      {next !== undefined && <a class="button" href={next}>Next page</a>}
    </nav>
  )

/** Copies, and says so. */
export const CopyButton = ({ text, children }: { text: string; children: ComponentChildren }) => {
  const [said, say] = useState("")
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text)
      say("Copied")
    } catch {
      say("Your browser does not allow it: select the link and copy it")
    }
  }
  return (
    <span class="copy">
      <button type="button" onClick={() => void copy()}>{children}</button>
      <span class="quiet" role="status">{said}</span>
    </span>
  )
}

/** A button whose work takes a moment, and may be refused. */
export const Action = (
  { children, danger = false, disabled = false, run }: {
    children: ComponentChildren
    run: () => Promise<unknown>
    danger?: boolean
    disabled?: boolean
  },
) => {
  const [isBusy, setBusy] = useState(false)
  const [fault, setFault] = useState<string>()
  const start = async () => {
    setBusy(true)
    setFault(undefined)
    try {
      await run()
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error))
    }
    setBusy(false)
  }
  return (
    <span class="action">
      <button
        type="button"
        class={danger ? "danger" : undefined}
        disabled={disabled || isBusy}
        aria-busy={isBusy}
        onClick={() => void start()}
      >
        {children}
      </button>
      {fault !== undefined && <span class="fault" role="alert">{fault}</span>}
    </span>
  )
}
