/** One account: why it is in its state, what to do about it, and what happened to it. */
import { adviceFor } from "./Advice.ts"
import { type Account, call, newIdempotencyKey, type Run } from "./Api.ts"
import { count, words } from "./Format.ts"
import { go, href } from "./Router.ts"
import { useMay } from "./Session.ts"
import { Timeline } from "./Timeline.tsx"
import { Action, Ago, CopyButton, Shown, StatusBadge } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const Failure = ({ failure, what }: {
  failure: { code: string; message: string; at: string; traceId?: string; correlationId?: string } | undefined
  what: string
}) =>
  failure === undefined ? null : (
    <p>
      <b>{what}</b> <Ago at={failure.at} />: <code>{failure.code}</code> {failure.message}
      {failure.traceId !== undefined && (
        <span class="quiet">
          {" "}
          For the provider's support: trace {failure.traceId}, correlation {failure.correlationId}
        </span>
      )}
    </p>
  )

const tones = { active: "good", pending: "calm", needs_reauth: "bad", blocked: "warn", disabled: "off" } as const

const Why = ({ account }: { account: Account }) => {
  const { text, title } = adviceFor(account)
  const { reconnectUrl, status, statusReason, statusSince, sync, token } = account
  const isTroubled = status === "active" && (token.lastError ?? sync.lastError) !== undefined
  return (
    <section class={`why ${isTroubled ? "warn" : tones[status]}`} aria-labelledby="why">
      <h2 id="why">{title}</h2>
      <p class="quiet">
        {words(status)} since <Ago at={statusSince} />
        {statusReason !== undefined && <>: {statusReason}</>}
      </p>
      <p>{text}</p>
      <Failure failure={token.lastError} what="The last refresh failed" />
      <Failure failure={sync.lastError} what="The last sync failed" />
      {reconnectUrl !== undefined && (
        <p class="link">
          <label>
            Link to sign in again
            <input readOnly value={reconnectUrl} onFocus={(event) => event.currentTarget.select()} />
          </label>
          <CopyButton text={reconnectUrl}>Copy link</CopyButton>
        </p>
      )}
    </section>
  )
}

const startRun = (kind: "refreshes" | "syncs", id: string) => async () => {
  const run = await call<Run>(`v1/${kind}`, {
    json: { accountIds: [id] },
    headers: { "idempotency-key": newIdempotencyKey() },
  })
  go(href(["runs", run.id]))
}

const Actions = ({ account, changed }: { account: Account; changed: () => void }) => {
  const may = useMay()
  const isOff = account.status === "disabled"
  const turn = async () => {
    await call(`v1/accounts/${account.id}`, { method: "PATCH", json: { status: isOff ? "active" : "disabled" } })
    changed()
  }
  return (
    <p class="actions">
      {may("messages:read") && <a class="button" href={href(["accounts", account.id, "mail"])}>Read its mail</a>}
      {may("runs:write") && !isOff && <Action run={startRun("refreshes", account.id)}>Refresh now</Action>}
      {may("runs:write") && !isOff && <Action run={startRun("syncs", account.id)}>Sync now</Action>}
      {may("accounts:write") && <Action danger={!isOff} run={turn}>{isOff ? "Switch on" : "Switch off"}</Action>}
    </p>
  )
}

const Facts = (
  { account: { access, channel, clientId, provider, sync, tags, tenant, token } }: { account: Account },
) => (
  <dl class="facts">
    <div>
      <dt>Read by</dt>
      <dd>{provider} {channel}, {words(access)} access</dd>
    </div>
    <div>
      <dt>App</dt>
      <dd>
        <code>{clientId}</code> {tenant !== "" && <>at {tenant}</>}
      </dd>
    </div>
    <div>
      <dt>Refreshed</dt>
      <dd>
        <Ago at={token.refreshedAt} />, next <Ago at={token.nextRefreshAt} none="not by itself" /> ({token.policy})
      </dd>
    </div>
    <div>
      <dt>Refresh token</dt>
      <dd>
        version {count(token.version)}
        {token.endsAt !== undefined && (
          <>
            , ends <Ago at={token.endsAt} /> unless used
          </>
        )}
      </dd>
    </div>
    <div>
      <dt>Synced</dt>
      <dd>
        <Ago at={sync.syncedAt} />, next <Ago at={sync.nextSyncAt} none="not by itself" />
      </dd>
    </div>
    <div>
      <dt>Stored messages</dt>
      <dd>{count(sync.messages)}</dd>
    </div>
    <div>
      <dt>Tags</dt>
      <dd>{tags.length === 0 ? "none" : tags.join(", ")}</dd>
    </div>
  </dl>
)

export const AccountView = ({ id }: { id: string }) => {
  const loaded = useLoad(
    `account ${id}`,
    (signal) => call<Account>(`v1/accounts/${encodeURIComponent(id)}`, { signal }),
    { everyMillis: 10_000 },
  )
  return (
    <>
      <p class="back">
        <a href="#/accounts">Accounts</a>
      </p>
      <Shown loaded={loaded} what="the account">
        {(account) => (
          <>
            <h1>
              {account.email} <StatusBadge status={account.status} />
            </h1>
            <Why account={account} />
            <Actions account={account} changed={loaded.reload} />
            <Facts account={account} />
            <Timeline account={account} />
          </>
        )}
      </Shown>
    </>
  )
}
