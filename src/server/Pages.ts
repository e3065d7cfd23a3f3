/** Pages for people: the front page and the API reference. */
import { Effect, Layer } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { HttpApiScalar } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { version } from "../api/Version.ts"

const style = `
:root { color-scheme: light dark; font: 100%/1.6 system-ui, sans-serif }
body { max-width: 40rem; margin: 4rem auto; padding: 0 1.5rem }
h1 { margin-bottom: 0 }
a { color: LinkText }
code { font-family: ui-monospace, monospace }`

const frontPage = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mailfleet</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>Mailfleet</h1>
<p>Version ${version}</p>
<p>This server keeps a fleet of OAuth mailboxes signed in and in sync.</p>
<ul>
<li><a href="/docs">API reference</a> (<a href="/openapi.json">OpenAPI document</a>)</li>
<li><a href="/health/ready">Is it ready?</a> <a href="/health/live">Is it alive?</a></li>
</ul>
<p>The fleet itself is behind the key: <code>GET /v1/stats</code> shows it at a glance.</p>
</main>
</body>
</html>
`

const security = (policy: string) =>
  HttpServerResponse.setHeader(
    "content-security-policy",
    `default-src 'none'; ${policy}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  )

const layerFront = HttpRouter.add(
  "GET",
  "/",
  HttpServerResponse.html(frontPage).pipe(security("style-src 'unsafe-inline'")),
)

// The reference brings its script within the page, and talks to this server only: nothing is fetched from elsewhere.
const layerReference = HttpApiScalar.layer(Api, {
  path: "/docs",
  scalar: { withDefaultFonts: false, authentication: { preferredSecurityScheme: "apiKey" } },
}).pipe(Layer.provide(
  HttpRouter.middleware((page) =>
    Effect.map(
      page,
      security(
        "script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; connect-src 'self'",
      ),
    )
  ).layer,
))

export const layerPages = Layer.mergeAll(layerFront, layerReference)
