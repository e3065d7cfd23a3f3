/** Entity tags (RFC 9110 §8.8.3): whoever polls names what it has, and is sent the rest only where that has changed. */
import { type HttpServerRequest, HttpServerResponse } from "effect/http"
import { hash } from "node:crypto"

/** Of the bytes of the answer. A strong tag: the listener makes it weak where it compresses the body. */
const tagOf = (body: Uint8Array): string => `"${hash("sha1", body, "base64url")}"`

/** Weak comparison (RFC 9110 §13.1.2): that of a compressed answer names the plain one as well. */
const names = (condition: string, tag: string): boolean =>
  condition.trim() === "*" || condition.split(",").some((one) => one.trim().replace(/^W\//, "") === tag)

/** The answer with its tag; `304` without a body where the request says that it has it already. */
export const unlessKnown = (
  request: HttpServerRequest.HttpServerRequest,
  response: HttpServerResponse.HttpServerResponse,
): HttpServerResponse.HttpServerResponse => {
  if (response.status !== 200 || (request.method !== "GET" && request.method !== "HEAD")) return response
  if (response.body._tag !== "Uint8Array") return response
  const tag = tagOf(response.body.body)
  const condition = request.headers["if-none-match"]
  return condition !== undefined && names(condition, tag)
    ? HttpServerResponse.empty({ status: 304, headers: { etag: tag } })
    : HttpServerResponse.setHeader(response, "etag", tag)
}
