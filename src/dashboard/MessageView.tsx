/** One message. Its HTML stands in a frame where nothing runs, and that loads nothing from anywhere. */
import { useEffect, useRef } from "preact/hooks"
import { call, type FullMessage } from "./Api.ts"
import { absolute, bytes } from "./Format.ts"
import { href } from "./Router.ts"
import { Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

type Address = NonNullable<FullMessage["from"]>

const written = ({ address, name }: Address): string =>
  name === "" || name === address ? address : `${name} <${address}>`

const Addresses = ({ of, what }: { what: string; of: ReadonlyArray<Address> }) =>
  of.length === 0 ? null : (
    <div>
      <dt>{what}</dt>
      <dd>{of.map(written).join(", ")}</dd>
    </div>
  )

const states: Readonly<Record<FullMessage["bodyState"], string | undefined>> = {
  complete: undefined,
  headers: "Only its header is stored, by choice or because the text has not been fetched yet.",
  truncated: "Only the beginning of its text is stored.",
  refused: "Its text could not be read.",
}

const Body = ({ message: { bodyReason, bodyState, html, id, text } }: { message: FullMessage }) => (
  <>
    {states[bodyState] !== undefined && <p class="note">{states[bodyState]} {bodyReason}</p>}
    {html !== null
      ? (
        <>
          <iframe
            title="Text of the message"
            sandbox=""
            referrerpolicy="no-referrer"
            src={`dashboard/messages/${encodeURIComponent(id)}`}
          />
          <p class="quiet">Pictures from elsewhere, scripts, forms and links are blocked.</p>
        </>
      )
      : text !== null && <pre class="text" dir="auto">{text}</pre>}
  </>
)

const Attachments = ({ message }: { message: FullMessage }) =>
  message.attachments.length === 0 ? null : (
    <>
      <h3>Attachments</h3>
      <ul class="attachments">
        {message.attachments.map(({ contentType, id, name, size }) => (
          <li key={id}>
            <a href={`v1/messages/${message.id}/attachments/${encodeURIComponent(id)}`} download>
              {name || "without a name"}
            </a>{" "}
            <span class="quiet">{contentType}{size !== null && `, ${bytes(size)}`}</span>
          </li>
        ))}
      </ul>
    </>
  )

export const MessageView = ({ close, id }: { id: string; close: string }) => {
  const loaded = useLoad(
    `message ${id}`,
    (signal) => call<FullMessage>(`v1/messages/${encodeURIComponent(id)}`, { signal }),
  )
  const box = useRef<HTMLElement>(null)
  useEffect(() => box.current?.focus(), [id])
  return (
    <article class="message" ref={box} tabIndex={-1} aria-label="Message">
      <p class="actions">
        <a class="button" href={close}>Close the message</a>
        {loaded.data !== undefined && (
          <a class="button" href={href(["accounts", loaded.data.accountId])}>
            Its account
          </a>
        )}
      </p>
      <Shown loaded={loaded} what="the message">
        {(message) => (
          <>
            <h2 dir="auto">{message.subject || "(no subject)"}</h2>
            <dl class="envelope">
              <Addresses what="From" of={message.from === null ? [] : [message.from]} />
              <Addresses what="To" of={message.to} />
              <Addresses what="Cc" of={message.cc} />
              {message.receivedAt !== null && (
                <div>
                  <dt>Received</dt>
                  <dd>{absolute(message.receivedAt)}</dd>
                </div>
              )}
            </dl>
            <Body message={message} />
            <Attachments message={message} />
          </>
        )}
      </Shown>
    </article>
  )
}
