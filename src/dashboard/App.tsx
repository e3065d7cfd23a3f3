/** The frame of the page: who is signed in, the way around, and the view that the address names. */
import { useEffect, useRef, useState } from "preact/hooks"
import { Accounts } from "./Accounts.tsx"
import { AccountView } from "./AccountView.tsx"
import { call, Problem, type Scope, type Session, sessionEnded } from "./Api.ts"
import { Events } from "./Events.tsx"
import { Import } from "./Import.tsx"
import { Login } from "./Login.tsx"
import { Mailbox } from "./Mailbox.tsx"
import { Overview } from "./Overview.tsx"
import { href, type Route, useRoute } from "./Router.ts"
import { Runs } from "./Runs.tsx"
import { RunView } from "./RunView.tsx"
import { SessionContext, useMay } from "./Session.ts"
import { Loading, ScopeNote } from "./Ui.tsx"

const places: ReadonlyArray<readonly [path: string, name: string, scope: Scope]> = [
  ["", "Overview", "accounts:read"],
  ["accounts", "Accounts", "accounts:read"],
  ["runs", "Runs", "accounts:read"],
  ["import", "Import", "runs:write"],
  ["mail", "Mail", "messages:read"],
  ["events", "Events", "accounts:read"],
]

/** The page's title: what tells tabs and the steps of the history apart. */
const titleOf = ({ path: [place = "", id, part] }: Route): string => {
  if (id !== undefined && part === "mail") return "Mail of an account"
  if (id !== undefined && place === "accounts") return "Account"
  if (id !== undefined && place === "runs") return "Run"
  return places.find(([path]) => path === place)?.[1] ?? "Nothing here"
}

const View = ({ route }: { route: Route }) => {
  const may = useMay()
  const [place = "", id, part] = route.path
  const [, name = "", scope] = places.find(([path]) => path === place) ?? []
  if (scope !== undefined && !may(scope)) {
    return (
      <>
        <h1>{name}</h1>
        <ScopeNote scope={scope} />
      </>
    )
  }
  if (place === "") return <Overview />
  if (place === "accounts" && id !== undefined && part === "mail") return <Mailbox accountId={id} query={route.query} />
  if (place === "accounts" && id !== undefined) return <AccountView id={id} />
  if (place === "accounts") return <Accounts query={route.query} />
  if (place === "runs" && id !== undefined) return <RunView id={id} query={route.query} />
  if (place === "runs") return <Runs query={route.query} />
  if (place === "import") return <Import />
  if (place === "mail") return <Mailbox query={route.query} />
  if (place === "events") return <Events query={route.query} />
  return (
    <>
      <h1>Nothing here</h1>
      <p>
        There is no such page. <a href="#/">To the overview</a>
      </p>
    </>
  )
}

const Header = ({ place, session }: { place: string; session: Session }) => {
  const may = (scope: Scope) => session.scopes.includes(scope) || session.scopes.includes("admin")
  const [fault, setFault] = useState("")
  const logOut = async () => {
    try {
      await call("v1/session", { method: "DELETE" })
      sessionEnded.dispatchEvent(new CustomEvent("ended", { detail: "You are logged out." }))
    } catch (error) {
      setFault(error instanceof Error ? error.message : "")
    }
  }
  return (
    <header>
      <a class="brand" href="#/">Mailfleet</a>
      <nav aria-label="Main">
        <ul>
          {places.filter(([, , scope]) => may(scope)).map(([path, name]) => (
            <li key={path}>
              <a href={href([path].filter(Boolean))} aria-current={path === place ? "page" : undefined}>{name}</a>
            </li>
          ))}
        </ul>
      </nav>
      <div class="who">
        <span class="name" title={`May: ${session.scopes.join(", ")}`}>{session.name}</span>
        <button type="button" onClick={() => void logOut()}>Log out</button>
        {fault !== "" && <span class="fault" role="alert">{fault}</span>}
      </div>
    </header>
  )
}

export const App = () => {
  const route = useRoute()
  const [session, setSession] = useState<Session | "unknown" | undefined>("unknown")
  const [said, say] = useState("")
  const main = useRef<HTMLElement>(null)
  const isFirst = useRef(true)

  useEffect(() => {
    const ended = (event: globalThis.Event) => {
      setSession((before) => {
        if (typeof before === "object") say((event as CustomEvent).detail ?? "Your session has ended.")
        return undefined
      })
    }
    sessionEnded.addEventListener("ended", ended)
    call<Session | null>("v1/session").then((found) => setSession(found ?? undefined), (error) => {
      if (error instanceof Problem) say(error.message)
      setSession(undefined)
    })
    return () => sessionEnded.removeEventListener("ended", ended)
  }, [])

  const isIn = session !== undefined && session !== "unknown"
  const title = isIn ? titleOf(route) : "Log in"
  useEffect(() => {
    document.title = `${title} · Mailfleet`
  }, [title])

  // Those who read by ear, or go by keyboard, begin at the new view.
  const where = route.path.join("/")
  useEffect(() => {
    if (isFirst.current) isFirst.current = false
    else main.current?.focus()
    scrollTo(0, 0)
  }, [where])

  if (session === "unknown") {
    return (
      <main>
        <Loading what="Mailfleet" />
      </main>
    )
  }
  if (session === undefined) {
    return (
      <Login
        said={said}
        onSession={(next) => {
          say("")
          setSession(next)
        }}
      />
    )
  }
  return (
    <SessionContext.Provider value={session}>
      <a
        class="skip"
        href="#main"
        onClick={(event) => {
          event.preventDefault()
          main.current?.focus()
        }}
      >
        Skip to content
      </a>
      <Header place={route.path[0] ?? ""} session={session} />
      <main id="main" ref={main} tabIndex={-1}>
        <View route={route} />
      </main>
    </SessionContext.Provider>
  )
}
