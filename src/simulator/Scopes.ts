/**
 * What the `scope` of a token request means (Microsoft identity platform, scopes and permissions).
 *
 * A set of permissions is a bit mask over {@link catalogue}, so that an access token can carry it.
 */

export type Resource = "graph" | "outlook"

const urls = { graph: "https://graph.microsoft.com/", outlook: "https://outlook.office.com/" } as const

const catalogue: ReadonlyArray<readonly [Resource, string]> = [
  ["graph", "User.Read"],
  ["graph", "Mail.Read"],
  ["graph", "Mail.ReadWrite"],
  ["graph", "Mail.Send"],
  ["graph", "Mail.ReadBasic"],
  ["graph", "MailboxSettings.Read"],
  ["outlook", "IMAP.AccessAsUser.All"],
  ["outlook", "POP.AccessAsUser.All"],
  ["outlook", "SMTP.Send"],
  ["graph", "Mail.Read.Shared"],
  ["graph", "Mail.ReadWrite.Shared"],
]

const openIdScopes = new Set(["openid", "profile", "email", "offline_access"])

/** A scope request that can be met. */
export interface Asked {
  readonly resource: Resource
  /** Permissions as a bit mask. */
  readonly mask: number
  readonly offline: boolean
  readonly openid: boolean
}

/** A scope request that is wrong in itself, with the AADSTS code that says so. */
export interface Refused {
  readonly code: number
  readonly detail: string
}

const masks = new WeakMap<ReadonlyArray<string>, number>()

/** Bits of scopes in full or short form; unknown ones are left out. */
export const maskOf = (scopes: ReadonlyArray<string>): number => {
  let mask = masks.get(scopes)
  if (mask !== undefined) return mask
  mask = 0
  for (const scope of scopes) {
    const found = locate(scope)
    if (found !== undefined && found.bit >= 0) mask |= 1 << found.bit
  }
  masks.set(scopes, mask)
  return mask
}

/** All permissions of one resource. */
export const ofResource = (mask: number, resource: Resource): number =>
  catalogue.reduce((kept, [owner], bit) => owner === resource ? kept | (mask & (1 << bit)) : kept, 0)

/** The scopes of a mask in full form. */
export const namesOf = (mask: number): Array<string> =>
  catalogue.flatMap(([resource, name], bit) => (mask & (1 << bit)) === 0 ? [] : [urls[resource] + name])

const defaultBit = -2

/** A bare name is a Graph permission; outlook.office365.com is the same resource as outlook.office.com. */
const locate = (scope: string): { resource: Resource; bit: number } | undefined => {
  const short = /^[A-Za-z]+(\.[A-Za-z]+)*$/.test(scope)
  const found = short ? ["", "graph.microsoft.com", scope] : /^https:\/\/([^/]+)\/+([^/]+)$/.exec(scope)
  const host = found?.[1]?.toLowerCase()
  const name = found?.[2]?.toLowerCase()
  const resource = host === "graph.microsoft.com"
    ? "graph"
    : host === "outlook.office.com" || host === "outlook.office365.com"
    ? "outlook"
    : undefined
  if (resource === undefined || name === undefined) return undefined
  const bit = name === ".default"
    ? defaultBit
    : catalogue.findIndex(([owner, known]) => owner === resource && known.toLowerCase() === name)
  return { resource, bit }
}

/** What `/me` itself asks for; a mail permission is enough here. */
export const profileRead = maskOf(["User.Read", "Mail.Read", "Mail.ReadWrite"])
export const graphRead = maskOf(["Mail.Read", "Mail.ReadWrite"])
/** For mailboxes that others share with the user. */
export const sharedRead = maskOf(["Mail.Read.Shared", "Mail.ReadWrite.Shared"])
export const sharedWrite = maskOf(["Mail.ReadWrite.Shared"])
export const graphWrite = maskOf(["Mail.ReadWrite"])

/**
 * Reads a scope parameter. Left out, it means what was consented first: Graph.
 *
 * @param consented bit mask of what the user consented to, which `.default` stands for
 */
export const ask = (scope: string | null, consented: number): Asked | Refused => {
  if (scope === null || scope === "") {
    return { resource: "graph", mask: ofResource(consented, "graph"), offline: true, openid: false }
  }
  if (scope !== scope.trim() || scope.includes('"')) return malformed(scope)
  let resource: Resource | undefined
  let mask = 0
  let named = false
  let byDefault = false
  let offline = false
  let openid = false
  for (const part of scope.split(" ")) {
    if (part === "") continue
    if (openIdScopes.has(part)) {
      offline ||= part === "offline_access"
      openid ||= part === "openid"
      continue
    }
    const found = locate(part)
    if (found === undefined) return { code: 500011, detail: part }
    if (resource !== undefined && resource !== found.resource) return { code: 28000, detail: scope }
    resource = found.resource
    if (found.bit === defaultBit) byDefault = true
    else if (found.bit < 0) return malformed(part)
    else {
      named = true
      mask |= 1 << found.bit
    }
  }
  if (byDefault && named) return malformed(scope)
  const target = resource ?? "graph"
  return { resource: target, mask: byDefault ? ofResource(consented, target) : mask, offline, openid }
}

const malformed = (detail: string): Refused => ({ code: 70011, detail })
