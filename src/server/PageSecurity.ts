/** The content security policy of pages: nothing but what is named. */
import { HttpServerResponse } from "effect/http"

export const security = (policy: string, framedBy: "'none'" | "'self'" = "'none'") =>
  HttpServerResponse.setHeader(
    "content-security-policy",
    `default-src 'none'; ${policy}; base-uri 'none'; form-action 'none'; frame-ancestors ${framedBy}`,
  )
