/** What the pages of a sign-in say, in each language that they speak. Addresses are put in by the page, escaped. */
import type { RefusalCode } from "../../domain/ConnectSession.ts"
import { chinese } from "./Chinese.ts"
import { english } from "./English.ts"
import { german } from "./German.ts"

export const languages = ["en", "de", "zh"] as const
export type Language = typeof languages[number]

export interface Statement {
  readonly title: string
  readonly text: string
}

/** `{provider}`, `{expected}`, `{actual}`, `{email}` and `{host}` stand for what they name. */
export interface Texts {
  /** As in the `lang` of a page. */
  readonly tag: string
  readonly name: string
  readonly languageLabel: string
  readonly signIn: Statement
  readonly signInAs: string
  readonly consent: Statement
  readonly once: string
  readonly go: string
  readonly connected: Statement
  readonly disabled: string
  readonly consented: Statement
  readonly canClose: string
  readonly unusable: Readonly<Record<"unknown" | "used" | "expired" | "other_browser", Statement>>
  readonly refused: Readonly<Record<RefusalCode, Statement>>
  readonly newLink: string
  readonly sameLink: string
  readonly reference: string
  readonly onward: string
  readonly fault: Statement
}

export const texts: Readonly<Record<Language, Texts>> = { en: english, de: german, zh: chinese }

const isLanguage = (text: string): text is Language => (languages as ReadonlyArray<string>).includes(text)

/** The language that somebody chose. */
export const chosen = (text: string | null | undefined): Language | undefined =>
  text !== null && text !== undefined && isLanguage(text) ? text : undefined

/** The language that a browser likes best of those that are here (RFC 9110 §12.5.4); else English. */
export const preferred = (acceptLanguage: string | undefined): Language => {
  const wishes = (acceptLanguage ?? "").slice(0, 1_000).split(",").map((wish) => {
    const [tag = "", ...parameters] = wish.trim().split(";")
    const q = parameters.map((one) => /^\s*q=([\d.]+)\s*$/.exec(one)?.[1]).find((one) => one !== undefined)
    return { language: tag.trim().toLowerCase().split("-")[0]!, quality: q === undefined ? 1 : Number(q) }
  })
  const best = wishes.filter(({ language, quality }) => isLanguage(language) && quality > 0)
    .toSorted((one, other) => other.quality - one.quality)[0]
  return chosen(best?.language) ?? "en"
}
