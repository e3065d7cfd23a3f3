/** The pages by which people sign in and administrators consent. Only what a session holds decides where they lead. */
import { Effect, Option, Redacted } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import type { ConnectSession } from "../../domain/ConnectSession.ts"
import { Settings } from "../../domain/Settings.ts"
import { Connect, type Departed } from "../../programs/Connect.ts"
import { PublicUrl } from "../../programs/PublicUrl.ts"
import { Reconnect } from "../../programs/Reconnect.ts"
import type { KnownRoute } from "../Edge.ts"
import { connectedPage, consentedPage, faultPage, invitationPage, refusedPage, unusablePage } from "./Pages.ts"
import { idlePage } from "./ReconnectPage.ts"
import { chosen, type Language, preferred } from "./Texts.ts"

export const connectRoutes: ReadonlyArray<KnownRoute> = [
  { method: "GET", path: "/connect/callback" },
  { method: "GET", path: "/connect/:link" },
  { method: "POST", path: "/connect/:link" },
  { method: "GET", path: "/reconnect/:link" },
  { method: "POST", path: "/reconnect/:link" },
]

const languageCookie = "mailfleet_language"

/** One for each session, so that two sign-ins in one browser do not meet. */
const cookieOf = (sessionId: string): string => `mailfleet_connect_${sessionId}`

/** Says of a session that it was begun by a lasting link, which can be opened again. It decides of words only. */
const lastingCookieOf = (sessionId: string): string => `mailfleet_lasting_${sessionId}`

type Request = HttpServerRequest.HttpServerRequest

const queryOf = (request: Request): URLSearchParams => {
  const start = request.originalUrl.indexOf("?")
  return new URLSearchParams(start < 0 ? "" : request.originalUrl.slice(start + 1))
}

const languageOf = (request: Request): Language =>
  chosen(queryOf(request).get("lang")) ?? chosen(request.cookies[languageCookie]) ??
    preferred(request.headers["accept-language"])

const linkOf = Effect.map(HttpRouter.params, ({ link = "" }) => link)

/** Sent by a form on a page of another site, as browsers tell (Fetch Metadata). */
const isForeign = (request: Request): boolean => {
  const site = request.headers["sec-fetch-site"]
  return site !== undefined && site !== "same-origin" && site !== "none"
}

/** `returnUrl` as it was given, with what came of the session. */
const returnTo = ({ id, returnUrl }: ConnectSession, state: "connected" | "refused"): string | undefined =>
  returnUrl === undefined
    ? undefined
    : `${returnUrl}${returnUrl.includes("?") ? "&" : "?"}connectSession=${id}&state=${state}`

const seeOther = (url: string) => HttpServerResponse.redirect(url, { status: 303 })

export const layerConnectPages = HttpRouter.addAll(Effect.gen(function* () {
  const connect = yield* Connect
  const reconnect = yield* Reconnect
  const publicUrl = yield* PublicUrl
  const { connectTtl } = yield* Settings

  /** What goes wrong is ours: it is logged, and the page says no more than that. */
  const shown = <R>(answer: (request: Request) => Effect.Effect<HttpServerResponse.HttpServerResponse, never, R>) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      answer(request).pipe(
        Effect.catchDefect((defect) =>
          Effect.as(Effect.logError("a page of a sign-in failed", defect), faultPage(languageOf(request)))
        ),
      ))

  /** Lax: the provider sends the browser back from its own site, by a link or a redirect. */
  const cookieOptions = Effect.map(publicUrl.get, (url) => ({
    path: `${new URL(url).pathname.replace(/\/$/, "")}/connect`,
    httpOnly: true,
    sameSite: "lax" as const,
    secure: url.startsWith("https:"),
    maxAge: connectTtl,
  }))

  const departed = Effect.fnUntraced(function* (request: Request, answer: Departed, isLasting = false) {
    const language = languageOf(request)
    if (answer._tag === "Unusable") return unusablePage(language, answer.why, true)
    if (answer._tag === "Failed") return refusedPage(language, { ...answer, isOpen: true })
    const cookie = yield* cookieOptions
    const wanted = chosen(queryOf(request).get("lang"))
    return HttpServerResponse.setCookiesUnsafe(seeOther(answer.url), [
      [cookieOf(answer.session.id), Redacted.value(answer.browser), cookie],
      ...(isLasting ? [[lastingCookieOf(answer.session.id), "1", cookie] as const] : []),
      ...(wanted === undefined ? [] : [[languageCookie, wanted, cookie] as const]),
    ])
  })

  const invited = Effect.fnUntraced(function* (request: Request) {
    const link = yield* linkOf
    const invitation = Option.getOrUndefined(yield* connect.look(link))
    const language = languageOf(request)
    if (invitation === undefined) return unusablePage(language, "unknown", true)
    return invitation.usable === "yes"
      ? invitationPage(language, invitation, true)
      : unusablePage(language, invitation.usable, true)
  })

  const invitedAgain = Effect.fnUntraced(function* (request: Request) {
    const found = yield* reconnect.look(yield* linkOf)
    const language = languageOf(request)
    if (found._tag !== "Wanted") return idlePage(language, found._tag)
    const invitation = Option.getOrUndefined(yield* connect.lookAgain(found.accountId))
    return invitation === undefined ? idlePage(language, "Unknown") : invitationPage(language, invitation, false)
  })

  const arrived = Effect.fnUntraced(function* (request: Request) {
    const language = languageOf(request)
    const answer = yield* connect.arrive(queryOf(request), (id) => request.cookies[cookieOf(id)])
    if (answer._tag === "Unusable") return unusablePage(language, answer.why)
    if (answer._tag === "Onward") return seeOther(answer.url)
    const { session } = answer
    const cookie = yield* cookieOptions
    const lasting = lastingCookieOf(session.id)
    const isLasting = request.cookies[lasting] !== undefined
    const done = (page: HttpServerResponse.HttpServerResponse) =>
      [cookieOf(session.id), ...(isLasting ? [lasting] : [])].reduce(
        (page, name) => HttpServerResponse.expireCookieUnsafe(page, name, cookie),
        page,
      )
    if (answer._tag === "Refused") {
      const onward = returnTo(session, "refused")
      // Who broke off knows why; all else is told here, before the browser goes on.
      return done(
        onward !== undefined && answer.refused.code === "access_denied"
          ? seeOther(onward)
          : refusedPage(language, { ...answer, onward, isOpen: isLasting }),
      )
    }
    const onward = returnTo(session, "connected")
    if (answer._tag === "Consented") return done(onward === undefined ? consentedPage(language) : seeOther(onward))
    return done(
      onward === undefined || answer.account.isDisabled
        ? connectedPage(language, answer.account, onward)
        : seeOther(onward),
    )
  })

  return [
    HttpRouter.route("GET", "/connect/callback", shown(arrived)),
    HttpRouter.route("GET", "/connect/:link", shown(invited)),
    HttpRouter.route(
      "POST",
      "/connect/:link",
      shown((request) =>
        isForeign(request)
          ? invited(request)
          : Effect.flatMap(Effect.flatMap(linkOf, connect.depart), (answer) => departed(request, answer))
      ),
    ),
    HttpRouter.route("GET", "/reconnect/:link", shown(invitedAgain)),
    HttpRouter.route(
      "POST",
      "/reconnect/:link",
      shown((request) =>
        isForeign(request) ? invitedAgain(request) : Effect.gen(function* () {
          const begun = yield* reconnect.begin(yield* linkOf)
          switch (begun._tag) {
            case "Unknown":
            case "NotWanted":
            case "TooMany":
            case "Unfit":
              return idlePage(languageOf(request), begun._tag)
            default:
              return yield* departed(request, begun, true)
          }
        })
      ),
    ),
  ]
}))
