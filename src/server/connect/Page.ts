/** The frame of the pages of a sign-in: no script, nothing from elsewhere, all that is put in escaped. */
import { HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"
import { type Language, languages, texts } from "./Texts.ts"

const style = `
:root { color-scheme: light dark; --text: #1b1b1f; --back: #fff; --quiet: #55555e; --act: #1f4fb4; --on: #fff;
  font: 100%/1.6 system-ui, sans-serif; color: var(--text); background: var(--back) }
@media (prefers-color-scheme: dark) {
  :root { --text: #ececf1; --back: #17171b; --quiet: #b4b4bf; --act: #9dbcff; --on: #10131c }
}
body { margin: 0 auto; padding: 2rem 1.25rem; max-width: 34rem; overflow-wrap: anywhere }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem }
p { margin: 0 0 1rem }
a { color: var(--act) }
.quiet { color: var(--quiet) }
button, .button { display: inline-block; box-sizing: border-box; min-height: 2.75rem; padding: .6rem 1.4rem; border: 0;
  border-radius: .4rem; font: inherit; font-weight: 600; color: var(--on); background: var(--act); cursor: pointer;
  text-decoration: none }
:focus-visible { outline: .2rem solid var(--act); outline-offset: .2rem }
@media (forced-colors: active) { button, .button { border: 1px solid } }
nav { margin-top: 2.5rem }
nav ul { list-style: none; margin: 0; padding: 0; display: flex; gap: 1.25rem }
nav a { display: inline-block; padding: .6rem 0 }
nav [aria-current] { color: inherit; font-weight: 600; text-decoration: none }
`

const styleHash = `'sha256-${createHash("sha256").update(style).digest("base64")}'`

export const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;")

/** Puts values in place of names such as `{email}`, both escaped; a value stands apart from what is written around it. */
export const fill = (text: string, values: Readonly<Record<string, string | undefined>> = {}): string =>
  escape(text).replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? ""
    return name === "provider" ? escape(value) : `<bdi><strong>${escape(value)}</strong></bdi>`
  })

/** The same as plain text, for the title. */
const plain = (text: string, values: Readonly<Record<string, string | undefined>>): string =>
  escape(text.replace(/\{(\w+)\}/g, (_, name: string) => values[name] ?? ""))

export interface PageOptions {
  readonly language: Language
  readonly title: string
  readonly values?: Readonly<Record<string, string | undefined>>
  /** HTML. */
  readonly body: ReadonlyArray<string>
  readonly status?: number
  /** Something went wrong: said at once by those who read pages aloud. */
  readonly isAlert?: boolean
  /** Where the form of the page may lead, redirects included; undefined = it has none. */
  readonly formAction?: ReadonlyArray<string>
  /** The page can be had in other languages under its own address. */
  readonly offersLanguages?: boolean
}

const choice = (current: Language): string =>
  `<nav aria-label="${escape(texts[current].languageLabel)}"><ul>${
    languages.map((one) =>
      `<li><a href="?lang=${one}" lang="${texts[one].tag}" hreflang="${texts[one].tag}"${
        one === current ? ' aria-current="true"' : ""
      }>${escape(texts[one].name)}</a></li>`
    ).join("")
  }</ul></nav>`

export const page = (options: PageOptions): HttpServerResponse.HttpServerResponse => {
  const { body, formAction, isAlert = false, language, offersLanguages = false, status = 200, title, values = {} } =
    options
  const heading = plain(title, values)
  const html = `<!doctype html>
<html lang="${texts[language].tag}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${heading}</title>
<style>${style}</style>
</head>
<body>
<main>
<div${isAlert ? ' role="alert"' : ""}>
<h1>${heading}</h1>
${body.join("\n")}
</div>
</main>
${offersLanguages ? choice(language) : ""}
</body>
</html>
`
  return HttpServerResponse.text(html, {
    status,
    contentType: "text/html; charset=utf-8",
    headers: {
      "content-language": texts[language].tag,
      "content-security-policy":
        `default-src 'none'; style-src ${styleHash}; base-uri 'none'; frame-ancestors 'none'; form-action ${
          formAction === undefined ? "'none'" : formAction.join(" ")
        }`,
      vary: "accept-language",
    },
  })
}
