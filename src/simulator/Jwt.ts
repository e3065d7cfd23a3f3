/** The parts of a signed JWT in compact form (RFC 7515 §3.1). */
import { Option, Schema } from "effect"

const text = new TextDecoder()
const decodePart = Schema.decodeUnknownOption(Schema.Uint8ArrayFromBase64Url)

export interface Jwt {
  readonly head: string
  readonly claims: string
  /** What the signature is over. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

export const readJwt = (jwt: string): Jwt | undefined => {
  const parts = jwt.split(".")
  const [head, claims, signature] = parts.map((part) => Option.getOrUndefined(decodePart(part)))
  if (parts.length !== 3 || !head || !claims || !signature) return undefined
  const signed = new TextEncoder().encode(jwt.slice(0, jwt.lastIndexOf(".")))
  return { head: text.decode(head), claims: text.decode(claims), signed, signature }
}
