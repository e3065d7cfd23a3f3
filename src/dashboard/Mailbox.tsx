/** Stored mail: of one account, or of the whole fleet. */
import { useEffect, useState } from "preact/hooks"
import { type Account, call, type Folder, type Message, type Page } from "./Api.ts"
import { absolute, count } from "./Format.ts"
import { MessageView } from "./MessageView.tsx"
import { go, href } from "./Router.ts"
import { Pager, Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

type Query = Readonly<Record<string, string>>

const who = ({ from }: Message): string => from === null ? "(no sender)" : from.name || from.address

const Row = ({ link, message, isOpen }: { message: Message; link: string; isOpen: boolean }) => (
  <li class={message.isRead ? undefined : "unread"}>
    <a href={link} aria-current={isOpen ? "true" : undefined}>
      <span class="from" dir="auto">{who(message)}</span>
      <span class="when">{message.receivedAt === null ? "" : absolute(message.receivedAt)}</span>
      <span class="subject" dir="auto">
        {!message.isRead && <span class="unseen">unread:</span>} {message.subject || "(no subject)"}{" "}
        {message.hasAttachments && <span class="quiet">· with attachments</span>}
      </span>
      <span class="preview" dir="auto">{message.preview}</span>
    </a>
  </li>
)

const FolderChoice = ({ accountId, query }: { accountId: string; query: Query }) => {
  const loaded = useLoad(
    `folders ${accountId}`,
    (signal) =>
      call<Page<Folder>>(`v1/accounts/${encodeURIComponent(accountId)}/folders`, { query: { limit: 500 }, signal }),
  )
  return (
    <label>
      Folder
      <select
        value={query["folder"] ?? ""}
        onChange={(event) =>
          go(href(["accounts", accountId, "mail"], { q: query["q"], folder: event.currentTarget.value }))}
      >
        <option value="">all</option>
        {loaded.data?.items.map((folder) => (
          <option key={folder.id} value={folder.id}>{folder.displayName} ({count(folder.messages)})</option>
        ))}
      </select>
    </label>
  )
}

const Search = ({ q, onSearch }: { q: string; onSearch: (q: string) => void }) => {
  const [text, setText] = useState(q)
  useEffect(() => setText(q), [q])
  return (
    <form
      role="search"
      class="search"
      onSubmit={(event) => {
        event.preventDefault()
        onSearch(text.trim())
      }}
    >
      <label>
        Words
        <input type="search" value={text} maxLength={1_000} onInput={(event) => setText(event.currentTarget.value)} />
      </label>
      <button type="submit">Search</button>
    </form>
  )
}

const Heading = ({ accountId }: { accountId: string | undefined }) => {
  const loaded = useLoad<Account | undefined>(
    `name ${accountId}`,
    async (signal) =>
      accountId === undefined
        ? undefined
        : await call<Account>(`v1/accounts/${encodeURIComponent(accountId)}`, { signal }),
  )
  if (accountId === undefined) return <h1>Mail of the fleet</h1>
  return (
    <>
      <p class="back">
        <a href={href(["accounts", accountId])}>To the account</a>
      </p>
      <h1>Mail of {loaded.data?.email ?? "an account"}</h1>
    </>
  )
}

export const Mailbox = ({ accountId, query }: { accountId?: string; query: Query }) => {
  const { cursor, folder, message: openId, q = "" } = query
  const path = accountId === undefined ? ["mail"] : ["accounts", accountId, "mail"]
  const list = { q, folder, cursor }
  const loaded = useLoad(
    `messages ${JSON.stringify([accountId, list])}`,
    (signal) =>
      call<Page<Message>>(
        accountId === undefined ? "v1/messages" : `v1/accounts/${encodeURIComponent(accountId)}/messages`,
        {
          query: { limit: 50, q, folder, cursor },
          signal,
        },
      ),
  )
  return (
    <>
      <Heading accountId={accountId} />
      <div class="filters">
        {accountId !== undefined && <FolderChoice accountId={accountId} query={query} />}
        <Search q={q} onSearch={(next) => go(href(path, { folder, q: next }))} />
      </div>
      <div class={openId === undefined ? "mail" : "mail open"}>
        <div class="list">
          <Shown loaded={loaded} what="messages">
            {({ items, nextCursor }) =>
              items.length === 0
                ? <p class="quiet">{q === "" ? "No messages are stored here." : "No message has these words."}</p>
                : (
                  <>
                    <ul class="messages" aria-label="Messages, newest first">
                      {items.map((message) => (
                        <Row
                          key={message.id}
                          message={message}
                          link={href(path, { ...list, message: message.id })}
                          isOpen={message.id === openId}
                        />
                      ))}
                    </ul>
                    <Pager
                      first={cursor === undefined ? undefined : href(path, { q, folder })}
                      next={nextCursor === null ? undefined : href(path, { q, folder, cursor: nextCursor })}
                    />
                  </>
                )}
          </Shown>
        </div>
        {openId !== undefined && <MessageView id={openId} close={href(path, list)} />}
      </div>
    </>
  )
}
