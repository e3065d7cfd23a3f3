/** The OpenAPI document as a source of requests, and as the judge of answers. */
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js"
import document from "../../docs/openapi.json" with { type: "json" }
import { hostileTexts, hostileValues, mutatedJson, type Random } from "./Random.ts"

interface JsonSchema {
  readonly $ref?: string
  readonly type?: string | ReadonlyArray<string>
  readonly enum?: ReadonlyArray<unknown>
  readonly anyOf?: ReadonlyArray<JsonSchema>
  readonly allOf?: ReadonlyArray<JsonSchema>
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: ReadonlyArray<string>
  readonly items?: JsonSchema
  readonly additionalProperties?: boolean | JsonSchema
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly maxItems?: number
  readonly pattern?: string
  readonly examples?: ReadonlyArray<unknown>
}

interface Parameter {
  readonly name: string
  readonly in: "path" | "query" | "header"
  readonly schema: JsonSchema
}

interface Described {
  readonly parameters?: ReadonlyArray<Parameter>
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: JsonSchema }>> }
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema?: JsonSchema }>> }>
  >
}

export interface Operation extends Described {
  readonly method: string
  readonly path: string
}

// The document's own type has a different shape for each of its thousand schemas.
const schemas = document.components.schemas as unknown as Readonly<Record<string, JsonSchema>>

export const operations: ReadonlyArray<Operation> = Object.entries(
  document.paths as unknown as Readonly<Record<string, Readonly<Record<string, Described>>>>,
).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path }))
)

const resolved = (schema: JsonSchema): JsonSchema =>
  schema.$ref === undefined ? schema : resolved(schemas[schema.$ref.slice("#/components/schemas/".length)] ?? {})

/** Values that were seen in answers, by the name of their field: ids, cursors, addresses. */
export type Seen = ReadonlyMap<string, ReadonlyArray<string>>

const textFor = (random: Random, name: string, schema: JsonSchema, seen: Seen): string => {
  const known = seen.get(name)
  if (known !== undefined && known.length > 0 && random.chance(0.8)) return random.pick(known)
  // Of `findings`: no answer repeats it.
  if (/refreshToken|secret/i.test(name)) return `CANARY-${random.below(1_000)}`
  const examples = schema.examples?.filter((example) => typeof example === "string") ?? []
  if (examples.length > 0 && random.chance(0.7)) return random.pick(examples) as string
  if (/email/i.test(name)) return `fuzz${random.below(50)}@example.com`
  if (/clientId/.test(name)) return "11111111-2222-3333-4444-555555555555"
  if (/At$|Before$|After$|since/.test(name)) return new Date(random.below(2 ** 41)).toISOString()
  if (/url/i.test(name)) return "https://example.com/hook"
  const length = Math.max(schema.minLength ?? 1, 1 + random.below(Math.min(schema.maxLength ?? 12, 12)))
  return Array.from({ length }, () => random.pick("abcxyz019-".split(""))).join("")
}

/** A value that the schema allows, as far as its patterns can be met by chance. */
export const valid = (random: Random, schema: JsonSchema, name: string, seen: Seen, depth = 0): unknown => {
  const it = resolved(schema)
  if (it.enum !== undefined) return random.pick(it.enum)
  const choices = it.anyOf ?? it.allOf
  if (choices !== undefined) return valid(random, random.pick(choices), name, seen, depth)
  switch (typeof it.type === "string" ? it.type : random.pick(it.type ?? ["string"])) {
    case "object": {
      const own = Object.entries(it.properties ?? {}).filter(([key]) =>
        it.required?.includes(key) === true || (depth < 4 && random.chance(0.5))
      )
      return Object.fromEntries(own.map(([key, one]) => [key, valid(random, one, key, seen, depth + 1)]))
    }
    case "array":
      return Array.from(
        { length: Math.min(it.maxItems ?? 3, 1 + random.below(3)) },
        () => valid(random, it.items ?? {}, name.replace(/s$/, ""), seen, depth + 1),
      )
    case "integer":
    case "number": {
      const [least, most] = [it.minimum ?? 0, it.maximum ?? 1_000]
      return random.pick([least, most, least + random.below(most - least + 1)])
    }
    case "boolean":
      return random.chance(0.5)
    case "null":
      return null
    default:
      return textFor(random, name, it, seen)
  }
}

/** The same, or one that is just beyond it, or far. */
export const validIsh = (random: Random, schema: JsonSchema, name: string, seen: Seen): unknown => {
  const it = resolved(schema)
  const good = valid(random, schema, name, seen)
  if (random.chance(0.6)) return good
  if (typeof good === "object" && good !== null) return mutatedJson(random, good)
  if (typeof good === "number") {
    return random.pick([(it.minimum ?? 0) - 1, (it.maximum ?? 1_000) + 1, good + 0.5, random.pick(hostileValues)])
  }
  const tooLong = it.maxLength === undefined ? [] : ["x".repeat(it.maxLength + 1)]
  return random.pick([...tooLong, ...hostileTexts, ...hostileValues])
}

const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: false })
ajv.addSchema(document, "openapi")
const validators = new Map<string, ValidateFunction>()

const pointer = (...path: ReadonlyArray<string>) =>
  path.map((part) => `/${encodeURIComponent(part.replaceAll("~", "~0").replaceAll("/", "~1"))}`).join("")

const validator = (...path: ReadonlyArray<string>): ValidateFunction => {
  const ref = `openapi#${pointer(...path)}`
  const made = validators.get(ref) ?? ajv.compile({ $ref: ref })
  validators.set(ref, made)
  return made
}

/** What is wrong with a body of an answer; undefined = nothing. */
export const faultOf = (
  { method, path }: Operation,
  status: number,
  mediaType: string,
  body: unknown,
): string | undefined => {
  const validate = validator(
    "paths",
    path,
    method.toLowerCase(),
    "responses",
    String(status),
    "content",
    mediaType,
    "schema",
  )
  return validate(body) ? undefined : ajv.errorsText(validate.errors)
}

/** Whether the document allows a JSON body. */
export const allowsBody = ({ method, path }: Operation, body: unknown): boolean =>
  validator("paths", path, method.toLowerCase(), "requestBody", "content", "application/json", "schema")(body) === true
