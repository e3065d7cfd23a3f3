/** Microsoft's pages for people, as plain forms that need no script. */

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")

const page = (title: string, body: string, status = 200): Response =>
  new Response(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>` +
      `<meta name="viewport" content="width=device-width"></head><body><main><h1>${title}</h1>${body}</main></body></html>`,
    { status, headers: { "content-type": "text/html; charset=utf-8", "cache-control": "no-store" } },
  )

/** Fields that a form carries on to the next page. */
type Fields = ReadonlyMap<string, string>

const hidden = (fields: Fields): string =>
  [...fields].map(([name, value]) => `<input type="hidden" name="${escape(name)}" value="${escape(value)}">`).join("")

const cancel = `<button name="decision" value="cancel" formnovalidate>Cancel</button>`

/** @param email what the field holds at first */
export const signInPage = (fields: Fields, email: string, problem?: string): Response =>
  page(
    "Sign in",
    (problem === undefined ? "" : `<p id="problem" role="alert">${escape(problem)}</p>`) +
      `<form method="post">${hidden(fields)}<p><label for="login">E-mail address</label> ` +
      `<input id="login" name="login" type="email" autocomplete="username" required value="${escape(email)}"` +
      `${problem === undefined ? "" : ` aria-invalid="true" aria-describedby="problem"`}></p>` +
      `<p><button name="decision" value="sign-in">Next</button> ${cancel}</p></form>`,
  )

/** @param who whom the consent is for */
export const consentPage = (
  who: string,
  fields: Fields,
  clientId: string,
  permissions: ReadonlyArray<string>,
): Response =>
  page(
    "Permissions requested",
    `<p>${escape(who)}: the app ${escape(clientId)} would like to</p>` +
      `<ul>${permissions.map((name) => `<li>${escape(name)}</li>`).join("")}</ul>` +
      `<form method="post">${hidden(fields)}` +
      `<p><button name="decision" value="accept">Accept</button> ${cancel}</p></form>`,
  )

/** What can be told to nobody but the person: there is no address that may be trusted with it. */
export const errorPage = (description: string): Response =>
  page("Sign in", `<p role="alert">Sorry, but we’re having trouble signing you in. ${escape(description)}</p>`, 400)
