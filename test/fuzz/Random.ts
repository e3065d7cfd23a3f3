/** Numbers from a seed, and what can be drawn with them: the same seed always gives the same. */
import { hash } from "../../src/simulator/Random.ts"

export interface Random {
  /** In [0, 1). */
  readonly share: () => number
  /** In [0, below). */
  readonly below: (below: number) => number
  readonly chance: (share: number) => boolean
  readonly pick: <A>(list: ReadonlyArray<A>) => A
}

export const makeRandom = (seed: number): Random => {
  let drawn = 0
  const share = () => hash(seed, ++drawn) / 0x1_0000_0000
  const below = (end: number) => Math.floor(share() * end)
  return {
    share,
    below,
    chance: (wanted) => share() < wanted,
    pick: <A>(list: ReadonlyArray<A>): A => list[below(list.length)]!,
  }
}

/** Texts that have broken programs. */
export const hostileTexts: ReadonlyArray<string> = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "a\udc00z",
  "\u{1F468}\u200D\u{1F469}\u200D\u{1F467}",
  "\u202Egnp.exe",
  "\uFEFFa",
  "e\u0301".repeat(200),
  "İıſK",
  "null",
  "undefined",
  "true",
  "NaN",
  "-0",
  "1e309",
  "9007199254740993",
  "9223372036854775808",
  "-9223372036854775809",
  "0x10",
  "00000000-0000-0000-0000-000000000000",
  "ffffffff-ffff-ffff-ffff-ffffffffffff",
  "00000000000000000000000000000000",
  "' or 1=1 --",
  '"; drop table accounts; --',
  "$1::int",
  "%",
  "_%\\",
  "\\",
  "%00",
  "%s%n%x",
  "../../etc/passwd",
  "..%2f..%2f",
  "<script>alert(1)</script>",
  "${7*7}{{7*7}}",
  "=cmd|' /C calc'!A0",
  "a\r\nset-cookie: x=1",
  "a & b | !c <-> 'd' :* ( )",
  "'''' :* & ! ( ) <2> \\' \"",
  "__proto__",
  "constructor",
  "hasOwnProperty",
  '{"a":',
  "[[[[[[[[",
  "a".repeat(300),
  "a".repeat(5_000),
  "ẞ".repeat(2_000),
  "0001-01-01T00:00:00Z",
  "9999-12-31T23:59:59.999Z",
  "+275760-09-13T00:00:00.001Z",
  "-271821-04-20T00:00:00Z",
  "2026-02-30T00:00:00Z",
  "2026-11-25",
  "1 fortnight",
  "-5 minutes",
  "1e400 days",
  "999999999999 days",
  "http://127.0.0.1/",
  "http://[::ffff:7f00:1]/",
  "https://169.254.169.254/latest/meta-data",
  "https://2130706433/",
  "https://0x7f.1/",
  "https://user:pass@example.com:99999/",
  "javascript:alert(1)",
  "file:///etc/passwd",
  "@",
  "a@b",
  '"a b"@example.com',
  "a@xn--.example",
  "Ada <ada@example.com>, Bob",
  'W/""',
  "*",
]

export const hostileValues: ReadonlyArray<unknown> = [
  null,
  true,
  false,
  0,
  -1,
  0.5,
  2 ** 31,
  2 ** 53,
  1e308,
  [],
  {},
  [null],
  [[[[]]]],
  { __proto__: { a: 1 } },
  { constructor: { prototype: {} } },
  Array.from({ length: 600 }, (_, n) => n),
]

/** A text changed in a few places: pieces cut out, doubled, exchanged, or made hostile. */
export const mutated = (random: Random, text: string, pieces: ReadonlyArray<string> = hostileTexts): string => {
  let now = text
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(now.length + 1)
    const to = Math.min(now.length, at + 1 + random.below(random.chance(0.2) ? now.length + 1 : 8))
    switch (random.below(7)) {
      case 0:
        now = now.slice(0, at) + now.slice(to)
        break
      case 1:
        now = now.slice(0, at) + now.slice(at, to).repeat(2 + random.below(4)) + now.slice(to)
        break
      case 2:
        now = now.slice(0, at) + random.pick(pieces) + now.slice(at)
        break
      case 3:
        now = now.slice(0, at) + String.fromCharCode(random.below(random.chance(0.7) ? 128 : 65_536)) + now.slice(to)
        break
      case 4:
        now = now.slice(0, at)
        break
      case 5:
        now = now.slice(0, at) + random.pick(pieces) + now.slice(to)
        break
      default:
        now = now.slice(to) + now.slice(0, at)
    }
    if (now.length > 200_000) now = now.slice(0, 200_000)
  }
  return now
}

/** A JSON value with one of its parts exchanged for something else. */
export const mutatedJson = (random: Random, value: unknown, depth = 0): unknown => {
  const isLeaf = typeof value !== "object" || value === null
  if (isLeaf || random.chance(0.15 + depth * 0.05)) {
    return random.chance(0.5) ? random.pick(hostileTexts) : random.pick(hostileValues)
  }
  if (Array.isArray(value)) {
    if (value.length === 0) return [random.pick(hostileValues)]
    const at = random.below(value.length)
    return value.map((one, index) => index === at ? mutatedJson(random, one, depth + 1) : one)
  }
  const entries = Object.entries(value)
  if (entries.length === 0 || random.chance(0.1)) {
    return { ...value, [random.pick(hostileTexts)]: random.pick(hostileValues) }
  }
  const at = random.below(entries.length)
  if (random.chance(0.2)) return Object.fromEntries(entries.filter((_, index) => index !== at))
  return Object.fromEntries(
    entries.map(([key, one], index) => [key, index === at ? mutatedJson(random, one, depth + 1) : one]),
  )
}
