/** The providers' pages for people, as plain forms that need no script. */
import type { Provider } from "./Population.ts"
import type { Fields } from "./Visit.ts"

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const names = { microsoft: "Microsoft", google: "Google" } as const

const style = `
:root { color-scheme: light dark; --accent: #0b57d0; --line: #767676; --quiet: #5f6368 }
@media (prefers-color-scheme: dark) { :root { --accent: #8ab4f8; --quiet: #bdc1c6 } }
body { margin: 0; font: 1rem/1.5 system-ui, sans-serif }
main { max-width: 26rem; margin: 0 auto; padding: 2rem 1.25rem; overflow-wrap: anywhere }
h1 { margin: .25rem 0 1rem; font-size: 1.5rem; line-height: 1.25 }
.provider { margin: 0; color: var(--quiet) }
label { display: block; margin-bottom: .25rem }
input { box-sizing: border-box; width: 100%; padding: .6rem; font: inherit; border: 1px solid var(--line); border-radius: .25rem }
ul { padding-left: 1.25rem }
.buttons { display: flex; flex-flow: row-reverse wrap; justify-content: end; gap: .75rem; margin-top: 1.5rem }
button { padding: .55rem 1.25rem; font: inherit; border: 1px solid var(--line); border-radius: .25rem; background: none; color: inherit; cursor: pointer }
button.first { border-color: var(--accent); background: var(--accent); color: Canvas }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px }
[role=alert] { padding: .75rem; border-left: 4px solid #c5221f; background: color-mix(in srgb, #c5221f 12%, Canvas) }
`

const page = (provider: Provider, title: string, body: string, status = 200): Response =>
  new Response(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>` +
      `<meta name="viewport" content="width=device-width, initial-scale=1"><style>${style}</style></head><body><main>` +
      `<p class="provider">${names[provider]}, simulated</p><h1>${title}</h1>${body}</main></body></html>`,
    { status, headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" } },
  )

const hidden = (fields: Fields): string =>
  [...fields].map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`).join("")

const alert = (problem: string | undefined): string =>
  problem === undefined ? "" : `<p id="problem" role="alert">${escape(problem)}</p>`

const faulty = (problem: string | undefined): string =>
  problem === undefined ? "" : ` aria-invalid="true" aria-describedby="problem"`

/** The button that goes on comes first, so that the Enter key presses it. */
const buttons = (decision: string, text: string): string =>
  `<p class="buttons"><button class="first" name="decision" value="${decision}">${text}</button> ` +
  `<button name="decision" value="cancel" formnovalidate>Cancel</button></p>`

/** @param email what the field holds at first */
export const signInPage = (provider: Provider, fields: Fields, email: string, problem?: string): Response =>
  page(
    provider,
    "Sign in",
    alert(problem) +
      `<form method="post">${hidden(fields)}<p><label for="login">E-mail address</label> ` +
      `<input id="login" name="login" type="email" autocomplete="username" required value="${escape(email)}"` +
      `${faulty(problem)}></p>${buttons("sign-in", "Next")}</form>`,
  )

/** @param who whom the consent is for */
export const consentPage = (
  provider: Provider,
  who: string,
  fields: Fields,
  clientId: string,
  permissions: ReadonlyArray<string>,
): Response =>
  page(
    provider,
    "Permissions requested",
    `<p>${escape(who)}: the app ${escape(clientId)} would like to</p>` +
      `<ul>${permissions.map((name) => `<li>${escape(name)}</li>`).join("")}</ul>` +
      `<form method="post">${hidden(fields)}${buttons("accept", "Accept")}</form>`,
  )

/** Where the code of a device is entered. */
export const devicePage = (provider: Provider, userCode: string, problem?: string): Response =>
  page(
    provider,
    "Enter code",
    alert(problem) +
      `<form method="post"><p><label for="user_code">Code displayed by the app or device</label> ` +
      `<input id="user_code" name="user_code" autocomplete="off" autocapitalize="characters" spellcheck="false" required ` +
      `value="${escape(userCode)}"${faulty(problem)}></p>${buttons("sign-in", "Next")}</form>`,
  )

/** The end of a sign-in that leads nowhere else. */
export const endPage = (provider: Provider, title: string, text: string): Response =>
  page(provider, title, `<p>${escape(text)}</p>`)

/**
 * Takes an answer to an app by a form instead of a redirect (OAuth 2.0 Form Post Response Mode). The script that sends it is
 * spared where there is none: then the button does.
 */
export const handOnPage = (provider: Provider, target: string, answer: Fields): Response =>
  page(
    provider,
    "Back to the app",
    `<form method="post" action="${escape(target)}">${hidden(answer)}<p class="buttons">` +
      `<button class="first">Continue</button></p></form><script>document.forms[0].submit()</script>`,
  )

/** What can be told to nobody but the person: there is no address that may be trusted with it. */
export const errorPage = (provider: Provider, description: string, status = 400): Response =>
  page(
    provider,
    "Sign in",
    `<p role="alert">Sorry, but we’re having trouble signing you in. ${escape(description)}</p>`,
    status,
  )
