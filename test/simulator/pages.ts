/** Pages as a person goes through them, without a browser. */
import { Effect } from "effect"

export interface Page {
  readonly status: number
  readonly html: string
  /** Where the answer leads to. */
  readonly location: URL | undefined
}

const read = async (response: Response): Promise<Page> => {
  const location = response.headers.get("location")
  return {
    status: response.status,
    html: await response.text(),
    location: location === null ? undefined : new URL(location),
  }
}

export const open = (url: string) => Effect.promise(async () => read(await fetch(url, { redirect: "manual" })))

/** Sends a page's form: its hidden fields, what was typed, and the button that was pressed. */
export const press = (url: string, { html }: Page, fields: Record<string, string>) => {
  const hidden = [...html.matchAll(/type="hidden" name="([^"]*)" value="([^"]*)"/g)].map(([, name, value]) => [
    name ?? "",
    value ?? "",
  ])
  const body = new URLSearchParams({ ...Object.fromEntries(hidden), ...fields })
  return Effect.promise(async () => read(await fetch(url, { method: "POST", body, redirect: "manual" })))
}

/** The claims of a JWT, unverified. */
export const claimsOf = (jwt: string) => JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString())
