/** The row that a JSON value describes. */
import { Predicate, Result } from "effect"
import { addressOf, badRow, checkRow, type ParsedRow, type RowDefaults, type RowField } from "./Row.ts"

const names: ReadonlyArray<readonly [field: Exclude<RowField, "tags">, snake: string]> = [
  ["email", "email"],
  ["clientId", "client_id"],
  ["refreshToken", "refresh_token"],
  ["tenant", "tenant"],
  ["provider", "provider"],
  ["channel", "channel"],
]

const isTexts = (value: unknown): value is ReadonlyArray<string> =>
  Array.isArray(value) && value.every((item) => typeof item === "string")

/** The value of a JSON text, or the failure of one that is none. What V8 says of it is dropped: it quotes the text. */
export const parseJson = (text: string): Result.Result<unknown, "invalid_json"> =>
  Result.try({ try: (): unknown => JSON.parse(text), catch: () => "invalid_json" as const })

/**
 * Reads an object with the names of the columns in camelCase or snake_case (camelCase wins). `null` means absent. `tags` is a
 * list or a text. Other properties, `password` among them, are ignored.
 *
 * Checked by hand, not by a schema: a schema is many times slower here, and its messages quote what they refuse.
 */
export const jsonRow = (value: unknown, line: number, defaults: RowDefaults): ParsedRow => {
  if (!Predicate.isObject(value)) {
    return badRow(line, "not_an_object", "expected an object with email, clientId and refreshToken")
  }
  const texts = { email: "", clientId: "", refreshToken: "", tenant: "", provider: "", channel: "" }
  for (const [field, snake] of names) {
    const given = value[field] ?? value[snake] ?? ""
    if (typeof given !== "string") {
      return badRow(line, "invalid_type", `expected ${field} to be a text`, { ...addressOf(texts.email), field })
    }
    texts[field] = given
  }
  const tags = value["tags"] ?? ""
  if (typeof tags !== "string" && !isTexts(tags)) {
    const message = "expected tags to be a list of texts, or one text"
    return badRow(line, "invalid_type", message, { ...addressOf(texts.email), field: "tags" })
  }
  return checkRow({ ...texts, tags }, line, defaults)
}
