/** The accounts of the fleet, a page at a time, by what they are looked for. */
import { useEffect, useRef, useState } from "preact/hooks"
import { type Account, call, newIdempotencyKey, type Page, type Run } from "./Api.ts"
import { count, words } from "./Format.ts"
import { go, href, replace } from "./Router.ts"
import { useMay } from "./Session.ts"
import { Action, Ago, Pager, Shown, StatusBadge } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const statuses: ReadonlyArray<Account["status"]> = ["pending", "active", "needs_reauth", "blocked", "disabled"]

/** How long somebody pauses who is done typing. */
const typingMillis = 300

interface Filter {
  readonly search?: string | undefined
  readonly status?: string | undefined
  readonly provider?: string | undefined
  readonly tag?: string | undefined
  /** Days within which the refresh token ends. */
  readonly ends?: string | undefined
}

const filterOf = ({ ends, provider, search, status, tag }: Readonly<Record<string, string>>): Filter => ({
  search,
  status,
  provider,
  tag,
  ends,
})

/** A text that is searched for once somebody has paused. */
const Typed = (
  { label, onText, placeholder, value }: {
    label: string
    value: string
    placeholder: string
    onText: (text: string) => void
  },
) => {
  const [text, setText] = useState(value)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  useEffect(() => setText(value), [value])
  useEffect(() => () => clearTimeout(timer.current), [])
  const type = (next: string) => {
    setText(next)
    clearTimeout(timer.current)
    timer.current = setTimeout(() => onText(next.trim()), typingMillis)
  }
  return (
    <label>
      {label}
      <input
        type="search"
        value={text}
        placeholder={placeholder}
        maxLength={200}
        onInput={(event) => type(event.currentTarget.value)}
      />
    </label>
  )
}

const Filters = ({ filter }: { filter: Filter }) => {
  const choose = (change: Filter) => go(href(["accounts"], { ...filter, ...change }))
  const type = (change: Filter) => replace(href(["accounts"], { ...filter, ...change }))
  return (
    <form class="filters" role="search" aria-label="Accounts" onSubmit={(event) => event.preventDefault()}>
      <Typed
        label="Address"
        value={filter.search ?? ""}
        placeholder="any part of it"
        onText={(search) => type({ search })}
      />
      <label>
        Status
        <select value={filter.status ?? ""} onChange={(event) => choose({ status: event.currentTarget.value })}>
          <option value="">any</option>
          {statuses.map((status) => <option key={status} value={status}>{words(status)}</option>)}
        </select>
      </label>
      <label>
        Provider
        <select value={filter.provider ?? ""} onChange={(event) => choose({ provider: event.currentTarget.value })}>
          <option value="">any</option>
          <option value="microsoft">Microsoft</option>
          <option value="google">Google</option>
        </select>
      </label>
      <Typed label="Tag" value={filter.tag ?? ""} placeholder="any" onText={(tag) => type({ tag })} />
      <label>
        Token ends
        <select value={filter.ends ?? ""} onChange={(event) => choose({ ends: event.currentTarget.value })}>
          <option value="">whenever</option>
          <option value="1">within a day</option>
          <option value="7">within 7 days</option>
          <option value="30">within 30 days</option>
        </select>
      </label>
    </form>
  )
}

const Row = ({ account }: { account: Account }) => (
  <tr>
    <th scope="row" class="wide">
      <a href={href(["accounts", account.id])}>{account.email}</a>
    </th>
    <td data-label="Status">
      <span>
        <StatusBadge status={account.status} />
        {account.statusReason !== undefined && <span class="reason">{account.statusReason}</span>}
      </span>
    </td>
    <td data-label="Channel">{account.channel}</td>
    <td data-label="Refreshed">
      <Ago at={account.token.refreshedAt} />
    </td>
    <td data-label="Synced">
      <Ago at={account.sync.syncedAt} />
    </td>
    <td data-label="Messages" class="number">{count(account.sync.messages)}</td>
    <td data-label="Tags">{account.tags.length === 0 ? <span class="quiet">—</span> : account.tags.join(", ")}</td>
  </tr>
)

/** Work over all that match, not only those of this page. */
const Work = ({ filter }: { filter: Filter }) => {
  const may = useMay()
  const [asked, ask] = useState<"refreshes" | "syncs">()
  // Runs cannot choose by the end of a token.
  if (!may("runs:write") || (filter.ends ?? "") !== "") return null
  const { ends: _, ...chosen } = filter
  const some = Object.fromEntries(Object.entries(chosen).filter(([, value]) => (value ?? "") !== ""))
  const isAll = Object.keys(some).length === 0
  const start = async () => {
    const run = await call<Run>(`v1/${asked}`, {
      json: isAll ? { all: true } : { filter: some },
      headers: { "idempotency-key": newIdempotencyKey() },
    })
    go(href(["runs", run.id]))
  }
  const whom = isAll ? "all accounts" : "all that match"
  if (asked === undefined) {
    return (
      <p class="actions">
        <button type="button" onClick={() => ask("refreshes")}>Refresh {whom}</button>
        <button type="button" onClick={() => ask("syncs")}>Sync {whom}</button>
      </p>
    )
  }
  return (
    <div class="note" role="group" aria-label="Are you sure?">
      <p>
        {asked === "refreshes" ? "Redeem the refresh tokens" : "Sync the mail"} of {whom}, on all pages, now?
      </p>
      <p class="actions">
        <Action run={start}>Start</Action>
        <button type="button" onClick={() => ask(undefined)}>Not now</button>
      </p>
    </div>
  )
}

/** The end of the day so many days from now: it stays the same from call to call. */
const endsBefore = (days: string | undefined): string | undefined =>
  days === undefined || !/^\d{1,3}$/.test(days)
    ? undefined
    : new Date(Math.ceil(Date.now() / 3_600_000) * 3_600_000 + Number(days) * 86_400_000).toISOString()

export const Accounts = ({ query }: { query: Readonly<Record<string, string>> }) => {
  const { cursor } = query
  const filter = filterOf(query)
  const { ends, ...fields } = filter
  const loaded = useLoad(
    `accounts ${JSON.stringify([filter, cursor])}`,
    (signal) =>
      call<Page<Account>>("v1/accounts", {
        query: { limit: 50, cursor, ...fields, endsBefore: endsBefore(ends) },
        signal,
      }),
    { everyMillis: 30_000 },
  )
  const isFiltered = Object.values(filter).some((value) => (value ?? "") !== "")
  return (
    <>
      <h1>Accounts</h1>
      <Filters filter={filter} />
      <Work filter={filter} />
      <Shown loaded={loaded} what="accounts">
        {({ items, nextCursor }) =>
          items.length === 0
            ? (
              <p class="quiet">
                {isFiltered ? "No account is like this." : (
                  <>
                    There are no accounts yet. <a href="#/import">Import a file of accounts</a>.
                  </>
                )}
              </p>
            )
            : (
              <>
                <table>
                  <caption class="unseen">Accounts, oldest first</caption>
                  <thead>
                    <tr>
                      <th scope="col" class="wide">Address</th>
                      <th scope="col">Status</th>
                      <th scope="col">Channel</th>
                      <th scope="col">Refreshed</th>
                      <th scope="col">Synced</th>
                      <th scope="col" class="number">Messages</th>
                      <th scope="col">Tags</th>
                    </tr>
                  </thead>
                  <tbody>{items.map((account) => <Row key={account.id} account={account} />)}</tbody>
                </table>
                <Pager
                  first={cursor === undefined ? undefined : href(["accounts"], { ...filter })}
                  next={nextCursor === null ? undefined : href(["accounts"], { ...filter, cursor: nextCursor })}
                />
              </>
            )}
      </Shown>
    </>
  )
}
