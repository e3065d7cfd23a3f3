/** The dashboard. It stands on the public API alone, with the cookie of a session. */
import { render } from "preact"
import { App } from "./App.tsx"

render(<App />, document.getElementById("app")!)
