/** The fleet at a glance. */
import { call, type Event, type Page, type Run, type Stats } from "./Api.ts"
import { DuePlots } from "./DuePlots.tsx"
import { EventList } from "./Events.tsx"
import { count, counted, duration, words } from "./Format.ts"
import { HistoryPlots } from "./HistoryPlots.tsx"
import { href } from "./Router.ts"
import { RunCard } from "./RunCard.tsx"
import { Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const tones = { active: "good", pending: "calm", needs_reauth: "bad", blocked: "warn", disabled: "off" } as const

const Tiles = ({ stats }: { stats: Stats }) => (
  <ul class="tiles" aria-label="Accounts by status">
    <li>
      <a href="#/accounts">
        <b>{count(stats.accounts.total)}</b> accounts
      </a>
    </li>
    {Object.entries(tones).map(([status, tone]) => (
      <li key={status} class={tone}>
        <a href={href(["accounts"], { status })}>
          <b>{count(stats.accounts.byStatus[status as keyof typeof tones])}</b> {words(status)}
        </a>
      </li>
    ))}
  </ul>
)

/** One bar for all, each part as wide as its share. */
const Shares = ({ stats }: { stats: Stats }) => (
  <div class="shares" aria-hidden="true">
    {Object.entries(tones).map(([status, tone]) => {
      const accounts = stats.accounts.byStatus[status as keyof typeof tones]
      return accounts > 0 && <i key={status} class={tone} style={{ flexGrow: accounts }} />
    })}
  </div>
)

const behind = ({ due, lagSeconds }: { due: number; lagSeconds: number }): string =>
  due === 0 ? "in time" : `${count(due)} overdue, the oldest by ${duration(lagSeconds)}`

const failing = (classes: Readonly<Record<string, number>>): string => {
  const some = Object.entries(classes).filter(([, failing]) => failing > 0)
  return some.length === 0 ? "none" : some.map(([name, failing]) => `${count(failing)} ${words(name)}`).join(", ")
}

const Facts = ({ stats }: { stats: Stats }) => (
  <dl class="facts">
    <div>
      <dt>Refreshing</dt>
      <dd>{behind(stats.refresh)}</dd>
    </div>
    <div>
      <dt>Failing grants</dt>
      <dd>{failing(stats.refresh.failing)}</dd>
    </div>
    <div>
      <dt>Tokens that end</dt>
      <dd>
        {count(stats.refresh.ending.withinDay)} within a day, {count(stats.refresh.ending.withinWeek)} within a week
        {stats.refresh.ending.withinWeek > 0 && (
          <>
            . <a href={href(["accounts"], { ends: "7" })}>Which?</a>
          </>
        )}
      </dd>
    </div>
    <div>
      <dt>Syncing</dt>
      <dd>{behind(stats.sync)}</dd>
    </div>
    <div>
      <dt>Failing mailboxes</dt>
      <dd>{failing(stats.sync.failing)}</dd>
    </div>
    <div>
      <dt>Stored mail</dt>
      <dd>{counted(stats.messages, "message")}</dd>
    </div>
  </dl>
)

const Running = () => {
  const loaded = useLoad("running", async (signal) => {
    const ofState = (state: string) => call<Page<Run>>("v1/runs", { query: { state, limit: 10 }, signal })
    const [running, queued] = await Promise.all([ofState("running"), ofState("queued")])
    return [...running.items, ...queued.items]
  }, { everyMillis: 5_000 })
  return (
    <section aria-labelledby="running">
      <h2 id="running">Running now</h2>
      <Shown loaded={loaded} what="runs">
        {(runs) =>
          runs.length === 0
            ? (
              <p class="quiet">
                No import, refresh or sync that somebody asked for. What the schedules do is in the plots.{" "}
                <a href="#/runs">Past runs</a>
              </p>
            )
            : (
              <ul class="cards">
                {runs.map((run) => (
                  <li key={run.id}>
                    <RunCard run={run} />
                  </li>
                ))}
              </ul>
            )}
      </Shown>
    </section>
  )
}

const LatestEvents = () => {
  const loaded = useLoad(
    "latest events",
    (signal) => call<Page<Event>>("v1/events", { query: { limit: 6 }, signal }),
    { everyMillis: 30_000 },
  )
  return (
    <section aria-labelledby="events">
      <h2 id="events">Latest events</h2>
      <Shown loaded={loaded} what="events">
        {({ items }) => (
          <>
            <EventList events={items} />
            {items.length > 0 && (
              <p>
                <a href="#/events">All events</a>
              </p>
            )}
          </>
        )}
      </Shown>
    </section>
  )
}

export const Overview = () => {
  const loaded = useLoad("stats", (signal) => call<Stats>("v1/stats", { signal }), { everyMillis: 10_000 })
  return (
    <>
      <h1>Overview</h1>
      <Shown loaded={loaded} what="the fleet">
        {(stats) => (
          <>
            {stats.accounts.total === 0 && (
              <p class="note">
                There are no accounts yet. <a href="#/import">Import a file of accounts</a> to begin.
              </p>
            )}
            {stats.sync.reach.advice !== undefined && <p class="note">{stats.sync.reach.advice}</p>}
            <Tiles stats={stats} />
            <Shares stats={stats} />
            <Facts stats={stats} />
          </>
        )}
      </Shown>
      <Running />
      <DuePlots />
      <HistoryPlots />
      <LatestEvents />
    </>
  )
}
