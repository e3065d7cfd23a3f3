/** What operators are told. */
import { call, type Event, type Page } from "./Api.ts"
import { words } from "./Format.ts"
import { href } from "./Router.ts"
import { Ago, Pager, Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

const tone = (kind: string): string =>
  /recovered|ended|finished/.test(kind) ? "good" : /needs_reauth|faulted|spike|disabled/.test(kind) ? "bad" : "warn"

const kindWords = (kind: string): string => words(kind.replace(".", ": "))

export const EventList = ({ events }: { events: ReadonlyArray<Event> }) =>
  events.length === 0 ? <p class="quiet">Nothing has happened that somebody should know of.</p> : (
    <ol class="timeline">
      {events.map((event) => (
        <li key={event.id} class={tone(event.kind)}>
          <p class="head">
            <b>{kindWords(event.kind)}</b> <Ago at={event.at} />
          </p>
          <p>{event.message}</p>
          {event.kind.startsWith("account.") && (
            <p>
              <a href={href(["accounts", event.subject])}>To the account</a>
            </p>
          )}
        </li>
      ))}
    </ol>
  )

export const Events = ({ query }: { query: Readonly<Record<string, string>> }) => {
  const { cursor } = query
  const loaded = useLoad(
    `events ${cursor ?? ""}`,
    (signal) => call<Page<Event>>("v1/events", { query: { limit: 50, cursor }, signal }),
  )
  return (
    <>
      <h1>Events</h1>
      <Shown loaded={loaded} what="events">
        {({ items, nextCursor }) => (
          <>
            <EventList events={items} />
            <Pager
              first={cursor === undefined ? undefined : href(["events"])}
              next={nextCursor === null ? undefined : href(["events"], { cursor: nextCursor })}
            />
          </>
        )}
      </Shown>
    </>
  )
}
