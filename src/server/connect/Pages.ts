/** The pages of a sign-in. */
import type { HttpServerResponse } from "effect/http"
import type { Provider } from "../../domain/Account.ts"
import type { ConnectSession, SignInRefused } from "../../domain/ConnectSession.ts"
import type { Invitation } from "../../programs/Connect.ts"
import type { Connected } from "../../storage/grants/SignedIn.ts"
import { escape, fill, page } from "./Page.ts"
import { type Language, texts } from "./Texts.ts"

type Page = HttpServerResponse.HttpServerResponse

const nameOf: Readonly<Record<Provider, string>> = { microsoft: "Microsoft", google: "Google" }

const paragraph = (html: string, isQuiet = false): string => `<p${isQuiet ? ' class="quiet"' : ""}>${html}</p>`

/** @param isOnce whether the link can be used only once */
export const invitationPage = (
  language: Language,
  { expected, kind, origins, provider }: Invitation,
  isOnce: boolean,
): Page => {
  const words = texts[language]
  const values = { provider: nameOf[provider], expected }
  const { text, title } = kind === "admin_consent" ? words.consent : words.signIn
  return page({
    language,
    title,
    values,
    body: [
      paragraph(fill(text, values)),
      ...(expected === undefined ? [] : [paragraph(fill(words.signInAs, values))]),
      `<form method="post" action="?lang=${language}"><p><button>${fill(words.go, values)}</button></p></form>`,
      ...(isOnce ? [paragraph(fill(words.once), true)] : []),
    ],
    // Browsers hold redirects to it as well, and a provider may lead through several hosts of its own.
    formAction: [...new Set(["'self'", "https:", ...origins])],
    offersLanguages: true,
  })
}

const statusOf = { unknown: 404, used: 410, expired: 410, other_browser: 403 } as const

/** @param isAtLink whether the page has an address of its own, where it can be had in other languages */
export const unusablePage = (language: Language, why: keyof typeof statusOf, isAtLink = false): Page => {
  const words = texts[language]
  const { text, title } = words.unusable[why]
  return page({
    language,
    title,
    status: statusOf[why],
    isAlert: true,
    body: [paragraph(fill(text)), paragraph(fill(words.newLink))],
    offersLanguages: isAtLink,
  })
}

const onwardTo = (language: Language, url: string | undefined): ReadonlyArray<string> =>
  url === undefined ? [] : [
    `<p><a class="button" href="${escape(url)}">${fill(texts[language].onward, { host: new URL(url).host })}</a></p>`,
  ]

export interface RefusedOptions {
  readonly session: ConnectSession
  readonly provider: Provider
  readonly refused: SignInRefused
  /** Where the browser goes to from here. */
  readonly onward?: string | undefined
  /** Whether the link can be opened again. */
  readonly isOpen: boolean
}

export const refusedPage = (
  language: Language,
  { isOpen, onward, provider, refused: { actual, code, expected }, session }: RefusedOptions,
): Page => {
  const words = texts[language]
  const values = { provider: nameOf[provider], actual, expected }
  const { text, title } = words.refused[code]
  return page({
    language,
    title,
    values,
    status: code === "provider_unavailable" ? 503 : 403,
    isAlert: true,
    body: [
      paragraph(fill(text, values)),
      paragraph(fill(isOpen ? words.sameLink : words.newLink)),
      ...onwardTo(language, onward),
      paragraph(fill(words.reference, { reference: session.id }), true),
    ],
  })
}

export const connectedPage = (
  language: Language,
  { email, isDisabled }: Pick<Connected, "email" | "isDisabled">,
  onward: string | undefined,
): Page => {
  const words = texts[language]
  return page({
    language,
    title: words.connected.title,
    body: [
      paragraph(fill(words.connected.text, { email })),
      ...(isDisabled ? [paragraph(fill(words.disabled))] : []),
      ...(onward === undefined ? [paragraph(fill(words.canClose), true)] : onwardTo(language, onward)),
    ],
  })
}

export const consentedPage = (language: Language): Page => {
  const { canClose, consented } = texts[language]
  return page({
    language,
    title: consented.title,
    body: [paragraph(fill(consented.text)), paragraph(fill(canClose), true)],
  })
}

export const faultPage = (language: Language): Page => {
  const { text, title } = texts[language].fault
  return page({ language, title, status: 500, isAlert: true, body: [paragraph(fill(text))] })
}
