/**
 * Scopes of Google's (Google Identity, OAuth 2.0 scopes; Gmail API, choose scopes). A set of them is a bit mask over
 * {@link catalogue}, so that an access token can carry it.
 */

/** Name and address: what a testing app's refresh token may hold for longer than a week. */
const basic = [
  "openid",
  "https://www.googleapis.com/auth/userinfo.email",
  "https://www.googleapis.com/auth/userinfo.profile",
]

const catalogue: ReadonlyArray<string> = [
  ...basic,
  "https://mail.google.com/",
  "https://www.googleapis.com/auth/gmail.readonly",
  "https://www.googleapis.com/auth/gmail.modify",
  "https://www.googleapis.com/auth/gmail.metadata",
  "https://www.googleapis.com/auth/gmail.send",
  "https://www.googleapis.com/auth/gmail.labels",
  "https://www.googleapis.com/auth/gmail.imap_admin",
]

/** Short forms that OpenID Connect defines. */
const shortForms = new Map([["email", basic[1]], ["profile", basic[2]]])

const bitOf = (scope: string): number => catalogue.indexOf(shortForms.get(scope) ?? scope)

/** The bits of a scope text, or the first scope that there is not. */
export const readGoogleScopes = (text: string): number | string => {
  let mask = 0
  for (const scope of text.split(" ").filter((part) => part !== "")) {
    const bit = bitOf(scope)
    if (bit < 0) return scope
    mask |= 1 << bit
  }
  return mask
}

/** The same of a list; unknown ones are left out. */
export const googleMaskOf = (scopes: ReadonlyArray<string>): number =>
  scopes.reduce((mask, scope) => bitOf(scope) < 0 ? mask : mask | (1 << bitOf(scope)), 0)

/** The scopes of a mask in full form. */
export const googleNamesOf = (mask: number): Array<string> => catalogue.filter((_, bit) => (mask & (1 << bit)) !== 0)

export const openidMask = googleMaskOf(["openid"])
export const emailMask = googleMaskOf(["email"])
export const profileMask = googleMaskOf(["profile"])
export const basicMask = googleMaskOf(basic)

/** What the users of the import file consented to; all restricted ones. */
export const importedMask = googleMaskOf([
  "https://mail.google.com/",
  "https://www.googleapis.com/auth/gmail.modify",
])
