/**
 * The committed OpenAPI document: `docs/openapi.json`. Run as a program (`deno task openapi`) it writes what the code says now,
 * which accepts the difference.
 */
import { OpenApi } from "effect/http-api"
import { readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { Api } from "../../src/api/Api.ts"

export const committedPath = fileURLToPath(new URL("../../docs/openapi.json", import.meta.url))

/** As it is served, in the form that it is committed in: one line for each value, so that a diff names it. */
export const current = (): string => `${JSON.stringify(OpenApi.fromApi(Api), null, 2)}\n`

export const committed = (): Promise<string> => readFile(committedPath, "utf8")

if (import.meta.main) await writeFile(committedPath, current())
