/** What is said where nobody can sign in by a reconnect link. */
import type { HttpServerResponse } from "effect/http"
import type { Begun } from "../../programs/Reconnect.ts"
import { faultPage, unusablePage } from "./Pages.ts"
import { fill, page } from "./Page.ts"
import { reconnectTexts } from "./ReconnectTexts.ts"
import { type Language, texts } from "./Texts.ts"

export const idlePage = (
  language: Language,
  why: Extract<Begun["_tag"], "NotWanted" | "Unknown" | "TooMany" | "Unfit">,
): HttpServerResponse.HttpServerResponse => {
  if (why === "Unknown") return unusablePage(language, "unknown", true)
  if (why === "Unfit") return faultPage(language)
  const { text, title } = reconnectTexts[language][why === "NotWanted" ? "notWanted" : "tooMany"]
  return page({
    language,
    title,
    status: why === "NotWanted" ? 200 : 429,
    isAlert: why !== "NotWanted",
    body: [`<p>${fill(text)}</p>`, ...(why === "NotWanted" ? [`<p>${fill(texts[language].canClose)}</p>`] : [])],
    offersLanguages: true,
  })
}
