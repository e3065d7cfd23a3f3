/** The dashboard: its page, what that loads from here, and the frame in which it shows the HTML of a message. */
import { Effect, Layer, Option } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { createHash } from "node:crypto"
import { Forbidden, NotFound, Unauthorized } from "../api/Problems.ts"
import { scopeOf } from "../api/Scopes.ts"
import { script, style } from "../dashboard/Assets.ts"
import { allows } from "../domain/ApiKey.ts"
import { Messages } from "../storage/mail/Messages.ts"
import { Callers, refuseForeign } from "./Callers.ts"
import type { KnownRoute } from "./Edge.ts"
import { messageDocument } from "./MessageDocument.ts"
import { security } from "./PageSecurity.ts"

export const dashboardRoutes: ReadonlyArray<KnownRoute> = [
  { method: "GET", path: "/" },
  { method: "GET", path: "/dashboard.js" },
  { method: "GET", path: "/dashboard.css" },
  { method: "GET", path: "/dashboard.svg" },
  { method: "GET", path: "/dashboard/messages/:id" },
]

const icon =
  `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1f4fb4"/>
<path d="M6 10h20v13H6z M6 10l10 8 10-8" fill="none" stroke="#fff" stroke-width="2.4" stroke-linejoin="round"/></svg>
`

/** Its contents are part of the address, so that browsers keep a file until there is another. */
const versioned = (name: string, text: string): string =>
  `${name}?v=${createHash("sha256").update(text).digest("base64url").slice(0, 12)}`

const page = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Mailfleet</title>
<link rel="icon" href="${versioned("dashboard.svg", icon)}" type="image/svg+xml">
<link rel="stylesheet" href="${versioned("dashboard.css", style)}">
<script src="${versioned("dashboard.js", script)}" defer></script>
</head>
<body>
<div id="app"></div>
<noscript>
<h1>Mailfleet</h1>
<p>The dashboard needs JavaScript. Without it there is the <a href="docs">API reference</a> (<a href="openapi.json">OpenAPI
document</a>), and <a href="health/ready">whether the server is ready</a>.</p>
</noscript>
</body>
</html>
`

const file = (text: string, contentType: string) =>
  HttpServerResponse.text(text, { contentType }).pipe(
    HttpServerResponse.setHeader("cache-control", "public, max-age=31536000, immutable"),
  )

/** What its scripts may do, and what it may show: what comes from here, and nothing else. */
const policy = "script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; frame-src 'self'"

const layerFiles = HttpRouter.addAll([
  HttpRouter.route("GET", "/", HttpServerResponse.html(page).pipe(security(policy))),
  HttpRouter.route("GET", "/dashboard.js", file(script, "text/javascript; charset=utf-8")),
  HttpRouter.route("GET", "/dashboard.css", file(style, "text/css; charset=utf-8")),
  HttpRouter.route("GET", "/dashboard.svg", file(icon, "image/svg+xml")),
])

const detail = "there is no message with this id that has HTML"

/**
 * A document of its own rather than one within the page: that would fall under the page's policy, which allows no style of
 * a message. Even when it is opened by itself, its policy puts it into a sandbox, where it can run and load nothing.
 */
const layerMessages = HttpRouter.addAll(Effect.gen(function* () {
  const callers = yield* Callers
  const messages = yield* Messages

  const show = Effect.gen(function* () {
    const request = yield* HttpServerRequest.HttpServerRequest
    const caller = yield* callers.ofSession(request)
    if (Option.isNone(caller)) return yield* new Unauthorized({ detail: "nobody is signed in" })
    yield* refuseForeign(request)
    const scope = scopeOf("mail", "message")
    if (!allows(caller.value.scopes, scope)) {
      return yield* new Forbidden({ detail: `the key has not the scope that this needs: ${scope}`, scope })
    }
    const { id = "" } = yield* HttpRouter.params
    const html = Option.getOrNull(yield* messages.get(id))?.html ?? null
    if (html === null) return yield* new NotFound({ detail })
    return HttpServerResponse.html(messageDocument(html)).pipe(
      security("style-src 'unsafe-inline'; img-src data:; sandbox", "'self'"),
      HttpServerResponse.setHeader("x-dns-prefetch-control", "off"),
    )
  })

  return [
    HttpRouter.route(
      "GET",
      "/dashboard/messages/:id",
      Effect.catch(show, (problem) => HttpServerRespondable.toResponse(problem)),
    ),
  ]
}))

export const layerDashboard = Layer.merge(layerFiles, layerMessages)
