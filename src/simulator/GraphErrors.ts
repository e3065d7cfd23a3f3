/** Error answers of Microsoft Graph (Graph documentation, error responses and resource types). */
import type { Answer } from "./Answer.ts"
import { guid } from "./Random.ts"

export const jsonHeaders: Readonly<Record<string, string>> = {
  "content-type": "application/json;odata.metadata=minimal;odata.streaming=true;IEEE754Compatible=false;charset=utf-8",
}

let sequence = 0

/** The error body, which a part of a batch carries too. */
export const graphErrorBody = (code: string, message: string, now: number) => {
  const id = guid(0xe11, ++sequence)
  return {
    error: {
      code,
      message,
      innerError: {
        date: new Date(now).toISOString().slice(0, 19),
        "request-id": id,
        "client-request-id": id,
      },
    },
  }
}

export const graphError = (
  status: number,
  code: string,
  message: string,
  now: number,
  headers: Readonly<Record<string, string>> = {},
): Answer => ({
  status,
  headers: { ...jsonHeaders, ...headers },
  body: JSON.stringify(graphErrorBody(code, message, now)),
})

export const itemNotFound = (now: number): Answer =>
  graphError(404, "ErrorItemNotFound", "The specified object was not found in the store.", now)

export const malformedId = (now: number): Answer => graphError(400, "ErrorInvalidIdMalformed", "Id is malformed.", now)

export const accessDenied = (now: number): Answer =>
  graphError(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.", now)

export const invalidToken = (now: number, message: string): Answer =>
  graphError(401, "InvalidAuthenticationToken", message, now, {
    "www-authenticate":
      `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize"` +
      `, client_id="00000003-0000-0000-c000-000000000000"`,
  })
