/** Whose session it is, for views that show only what it may do. */
import { createContext } from "preact"
import { useContext } from "preact/hooks"
import type { Scope, Session } from "./Api.ts"

export const SessionContext = createContext<Session | undefined>(undefined)

export const useMay = (): (scope: Scope) => boolean => {
  const scopes = useContext(SessionContext)?.scopes ?? []
  return (scope) => scopes.includes(scope) || scopes.includes("admin")
}
