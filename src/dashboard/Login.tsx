/** A key for a session. The key is sent once, and kept nowhere in the browser. */
import { useState } from "preact/hooks"
import { call, type Session } from "./Api.ts"

export const Login = ({ onSession, said }: { onSession: (session: Session) => void; said: string }) => {
  const [fault, setFault] = useState("")
  const [isBusy, setBusy] = useState(false)

  const submit = async (event: SubmitEvent) => {
    event.preventDefault()
    const form = event.currentTarget as HTMLFormElement
    const key = String(new FormData(form).get("key")).trim()
    if (key === "") return setFault("Enter a key.")
    setBusy(true)
    setFault("")
    try {
      onSession(await call<Session>("v1/session", { json: { key } }))
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error))
      setBusy(false)
    }
  }

  return (
    <main class="login">
      <h1>Mailfleet</h1>
      <p>Sign in with an API key. What you see and may do is what the key may do.</p>
      <form onSubmit={(event) => void submit(event)}>
        <label for="key">API key</label>
        <input
          id="key"
          name="key"
          type="password"
          autocomplete="current-password"
          aria-describedby="key-help key-fault"
          aria-invalid={fault !== ""}
          autofocus
        />
        <p class="quiet" id="key-help">
          The admin key (of an embedded server: in the file <code>admin.key</code> of its data folder), or one that{" "}
          <code>mailfleet keys create</code> made.
        </p>
        <button type="submit" class="primary" disabled={isBusy}>Log in</button>
        <p id="key-fault" class="fault" role="alert">{fault}</p>
      </form>
      <p role="status">{said}</p>
      <p class="quiet">
        <a href="docs">API reference</a>
      </p>
    </main>
  )
}
