/** Where the page is, kept in the hash of its URL: `#/accounts?status=blocked`. Links are plain links. */
import { useEffect, useState } from "preact/hooks"

export interface Route {
  /** `accounts`, id, … */
  readonly path: ReadonlyArray<string>
  readonly query: Readonly<Record<string, string>>
}

export const parse = (hash: string): Route => {
  const [path = "", search = ""] = hash.replace(/^#\/?/, "").split("?", 2)
  return {
    path: path.split("/").filter((part) => part !== "").map(decode),
    query: Object.fromEntries(new URLSearchParams(search)),
  }
}

/** What somebody typed into the address bar may be no encoding at all. */
const decode = (part: string): string => {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

/** Parameters that are undefined or empty are left out. */
export const href = (
  path: ReadonlyArray<string>,
  query: Readonly<Record<string, string | undefined>> = {},
): string => {
  const search = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== "") search.set(name, value)
  const text = search.toString()
  return `#/${path.map(encodeURIComponent).join("/")}${text === "" ? "" : `?${text}`}`
}

export const go = (to: string): void => {
  location.hash = to
}

/** Without an entry in the history: what somebody types into a search is not a step of its own. */
export const replace = (to: string): void => {
  history.replaceState(null, "", to)
  dispatchEvent(new HashChangeEvent("hashchange"))
}

export const useRoute = (): Route => {
  const [route, setRoute] = useState(() => parse(location.hash))
  useEffect(() => {
    const follow = () => setRoute(parse(location.hash))
    addEventListener("hashchange", follow)
    return () => removeEventListener("hashchange", follow)
  }, [])
  return route
}
