/** What is asked for: the scopes that an app names for a channel, else those of the settings. */
import type { Channel, Resource } from "../domain/Account.ts"
import type { AppCredentials } from "../domain/App.ts"
import { openIdScopes } from "../domain/AppRules.ts"
import type { SettingsValues } from "../domain/Settings.ts"

export type ScopeSettings = Pick<SettingsValues, "microsoftGraphScope" | "microsoftImapScope">

/** An app that is itself gets all that was consented to, of one resource, by naming no scope of it (client credentials flow). */
export const appOnlyScope = (
  settings: Pick<SettingsValues, "microsoftAppScope">,
  resource: Resource,
): string => resource === "graph" ? settings.microsoftAppScope.trim() : outlookAppScope

/** Mail protocols of Exchange Online (authenticate an IMAP connection using OAuth). */
const outlookAppScope = "https://outlook.office365.com/.default"

/** Opens a mailbox through the Gmail API and through IMAP (Gmail API, choose scopes). */
const googleScope = "https://mail.google.com/"

/** The channel under which an app names the scopes of a resource. Google's open a mailbox for both of its channels. */
const channelOf: Readonly<Record<Resource, Channel>> = { graph: "graph", "outlook-imap": "imap", gmail: "gmail" }

const words = (scopes: string): ReadonlyArray<string> => scopes.split(/\s+/).filter((scope) => scope !== "")

/** With those of `more` that are not there yet. */
const joined = (scopes: string, more: Iterable<string>): string => [...new Set([...words(scopes), ...more])].join(" ")

/**
 * The scopes of a token request, separated by blanks. Microsoft sends no refresh token unless `offline_access` is among
 * them; Google has no such scope.
 */
export const scopesOf = (app: Pick<AppCredentials, "scopes">, settings: ScopeSettings, resource: Resource): string => {
  const named = app.scopes?.[channelOf[resource]]
  switch (resource) {
    case "gmail":
      return named ?? googleScope
    case "graph":
      return named === undefined ? settings.microsoftGraphScope.trim() : joined(named, ["offline_access"])
    case "outlook-imap":
      return named === undefined ? settings.microsoftImapScope.trim() : joined(named, ["offline_access"])
  }
}

/** The same for a sign-in, which also asks who it is that signs in. */
export const signInScopes = (
  app: Pick<AppCredentials, "scopes">,
  settings: ScopeSettings,
  resource: Resource,
): string =>
  joined(
    scopesOf(app, settings, resource),
    [...openIdScopes].filter((scope) => resource !== "gmail" || scope !== "offline_access"),
  )
