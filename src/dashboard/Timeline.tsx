/** What happened to an account: what operators were told, who was given its tokens, and how it stands. */
import { type Account, type AuditEntry, call, type Event, type Page } from "./Api.ts"
import { counted, words } from "./Format.ts"
import { useMay } from "./Session.ts"
import { Ago, Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

interface Entry {
  readonly at: string
  readonly title: string
  readonly text?: string | undefined
  readonly tone: "good" | "bad" | "warn" | "calm"
}

/** Entries of each kind at most. */
const most = 50

/** How an event of this status is titled. */
const titleOf = (status: Account["status"]): string => `account: ${words(status)}`

/** How it stands now; without what an event tells already. */
const factsOf = (
  { createdAt, status, statusReason, statusSince, sync, token }: Account,
  told: ReadonlyArray<Entry>,
): ReadonlyArray<Entry> => [
  { at: createdAt, title: "added", tone: "calm" },
  ...(told.some(({ title }) => title === titleOf(status)) ? [] : [{
    at: statusSince,
    title: `became ${words(status)}`,
    text: statusReason,
    tone: status === "active" ? "good" as const : "warn" as const,
  }]),
  ...(token.refreshedAt === null ? [] : [{ at: token.refreshedAt, title: "last refreshed", tone: "good" as const }]),
  ...(token.lastError === undefined ? [] : [{
    at: token.lastError.since,
    title: `refreshing fails: ${words(token.lastError.class)}`,
    text: `${counted(token.lastError.count, "time")} by now. ${token.lastError.code}: ${token.lastError.message}`,
    tone: "bad" as const,
  }]),
  ...(sync.syncedAt === null ? [] : [{ at: sync.syncedAt, title: "last synced", tone: "good" as const }]),
  ...(sync.lastError === undefined ? [] : [{
    at: sync.lastError.at,
    title: "the last sync failed",
    text: `${sync.lastError.code}: ${sync.lastError.message}`,
    tone: "bad" as const,
  }]),
]

const ofEvent = ({ at, kind, message }: Event): Entry => ({
  at,
  title: words(kind.replace(".", ": ")),
  text: message,
  tone: kind.endsWith("recovered") ? "good" : kind === "account.needs_reauth" ? "bad" : "warn",
})

const actions: Readonly<Record<string, string>> = {
  access_token: "access token",
  sign_in: "sign-in",
  admin_consent: "consent",
  "accounts.update": "changed",
  "mail.message": "a message was read",
  "mail.attachment": "an attachment was read",
  "mail.accountMessages": "messages were listed",
  "mail.threads": "threads were listed",
}

const ofAudit = ({ action, actor, at, outcome, resource }: AuditEntry): Entry => ({
  at,
  title: `${actions[action] ?? words(action.replace(".", ": "))}: ${words(outcome)}`,
  text: `by ${actor}${resource === undefined ? "" : ` for ${resource}`}`,
  tone: "calm",
})

export const Timeline = ({ account }: { account: Account }) => {
  const may = useMay()
  const isAdmin = may("admin")
  const loaded = useLoad(`timeline ${account.id} ${account.updatedAt} ${isAdmin}`, async (signal) => {
    const events = (subject: string) => call<Page<Event>>("v1/events", { query: { subject, limit: most }, signal })
    const [ofAccount, ofGrant, audit] = await Promise.all([
      events(account.id),
      events(account.grantId),
      isAdmin
        ? call<Page<AuditEntry>>("v1/audit", { query: { accountId: account.id, limit: most }, signal })
        : { items: [] },
    ])
    return [...ofAccount.items.map(ofEvent), ...ofGrant.items.map(ofEvent), ...audit.items.map(ofAudit)]
  })
  return (
    <section aria-labelledby="timeline">
      <h2 id="timeline">Timeline</h2>
      <Shown loaded={loaded} what="the timeline">
        {(told) => (
          <ol class="timeline">
            {[...factsOf(account, told), ...told].toSorted((one, other) => other.at.localeCompare(one.at)).map((
              entry,
            ) => (
              <li key={`${entry.at} ${entry.title}`} class={entry.tone}>
                <p class="head">
                  <b>{entry.title}</b> <Ago at={entry.at} />
                </p>
                {entry.text !== undefined && <p>{entry.text}</p>}
              </li>
            ))}
          </ol>
        )}
      </Shown>
      {!isAdmin && <p class="quiet">Who was given its access tokens is seen with an admin key.</p>}
    </section>
  )
}
