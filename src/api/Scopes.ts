/**
 * The scope that each call needs, by the names of its group and endpoint. A call that is not named here
 * needs `admin`; the probes, what providers call, and signing in to the dashboard need no key.
 */
import type { Scope } from "../domain/ApiKey.ts"

const scopes: Readonly<Record<string, Scope>> = {
  "imports.create": "runs:write",
  "work.refresh": "runs:write",
  "work.sync": "runs:write",
  "runs.list": "accounts:read",
  "runs.get": "accounts:read",
  "runs.items": "accounts:read",
  "runs.events": "accounts:read",
  "runs.cancel": "runs:write",
  "runs.retry": "runs:write",
  "accounts.list": "accounts:read",
  "accounts.get": "accounts:read",
  "accounts.create": "accounts:write",
  "accounts.update": "accounts:write",
  "accounts.remove": "accounts:write",
  "accounts.accessToken": "tokens:read",
  "apps.list": "accounts:read",
  "apps.get": "accounts:read",
  "apps.create": "admin",
  "apps.update": "admin",
  "grants.list": "accounts:read",
  "grants.get": "accounts:read",
  "grants.create": "accounts:write",
  "grants.remove": "accounts:write",
  "grants.mailboxes": "accounts:read",
  "grants.addAccounts": "accounts:write",
  "connectSessions.create": "accounts:write",
  "connectSessions.get": "accounts:read",
  "connectSessions.startDevice": "accounts:write",
  "connectSessions.pollDevice": "accounts:write",
  "keys.list": "admin",
  "keys.create": "admin",
  "keys.revoke": "admin",
  "policies.list": "accounts:read",
  "policies.set": "admin",
  "policies.unset": "admin",
  "mail.folders": "messages:read",
  "mail.accountMessages": "messages:read",
  "mail.threads": "messages:read",
  "mail.attachment": "messages:read",
  "mail.messages": "messages:read",
  "mail.message": "messages:read",
  "mail.changes": "messages:read",
  "mail.changeStream": "messages:read",
  "events.list": "accounts:read",
  "audit.list": "admin",
  "operations.stats": "accounts:read",
  "operations.history": "accounts:read",
  "operations.due": "accounts:read",
  "operations.metrics": "accounts:read",
}

export const named: ReadonlyArray<string> = Object.keys(scopes)

export const scopeOf = (group: string, endpoint: string): Scope => scopes[`${group}.${endpoint}`] ?? "admin"
