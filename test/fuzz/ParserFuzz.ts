/** Feeds parsers, each as many inputs as it is given or time for. */
import type { Parser } from "./Parsers.ts"
import { makeRandom } from "./Random.ts"

export interface ParserFinding {
  readonly parser: string
  readonly number: number
  readonly what: string
  readonly input: string
}

/** Of one input; a machine that does much else takes its time. */
const longestMillis = 3_000

const readable = (_key: string, value: unknown) =>
  value instanceof Uint8Array ? new TextDecoder("utf-8", { ignoreBOM: true }).decode(value) : value

const show = (input: unknown): string => (JSON.stringify(input, readable) ?? "").slice(0, 1_000)

/** One finding of a kind is enough. */
export const fuzzParser = async (
  parser: Parser,
  options: { readonly seed: number; readonly inputs: number; readonly millis?: number },
): Promise<{ readonly inputs: number; readonly findings: ReadonlyArray<ParserFinding> }> => {
  const findings = new Map<string, ParserFinding>()
  const end = performance.now() + (options.millis ?? Infinity)
  let number = 0
  for (; number < options.inputs && performance.now() < end; number++) {
    const input = parser.make(makeRandom(options.seed * 1_000_003 + number)) as never
    const begun = performance.now()
    let wrong: string | undefined
    try {
      wrong = await parser.run(input)
    } catch (error) {
      wrong = `throws ${error instanceof Error ? error.stack?.split("\n").slice(0, 6).join(" | ") : error}`
    }
    const took = performance.now() - begun
    if (wrong === undefined && took > longestMillis) wrong = `takes ${Math.round(took)} ms`
    const kind = wrong?.slice(0, 60)
    if (kind !== undefined && !findings.has(kind)) {
      findings.set(kind, { parser: parser.name, number, what: wrong!, input: show(input) })
    }
  }
  return { inputs: number, findings: [...findings.values()] }
}
