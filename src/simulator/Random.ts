/**
 * Deterministic numbers and the digits that ids are written in. Everything the simulator invents is a function of the
 * seed and of small integers, so that 100,000 mailboxes cost no memory until somebody changes them.
 */

/** Mixes integers into one unsigned 32-bit number (finaliser of MurmurHash3). */
export const hash = (seed: number, a: number, b = 0, c = 0): number => {
  let h = seed | 0
  h = scramble(h ^ Math.imul(a, 0x9e3779b1))
  h = scramble(h ^ Math.imul(b, 0x85ebca6b))
  h = scramble(h ^ Math.imul(c, 0xc2b2ae35))
  return h >>> 0
}

const scramble = (value: number): number => {
  let h = value
  h ^= h >>> 16
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  h ^= h >>> 16
  return h
}

/** A share in [0, 1) from {@link hash}. */
export const share = (seed: number, a: number, b = 0, c = 0): number => hash(seed, a, b, c) / 0x1_0000_0000

/** The element of a non-empty list that a hash points at. */
export const pick = <A>(list: readonly [A, ...Array<A>], h: number): A => list[h % list.length] ?? list[0]

const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const pairs = Array.from({ length: 4096 }, (_, value) => digits.charAt(value >> 6) + digits.charAt(value & 63))
const values = new Map(Array.from(digits, (digit, value) => [digit, value]))

/** A number in base 64 with the URL-safe alphabet, of fixed width: case matters, as it does in Outlook ids. */
export const toDigits = (value: number, width: number): string => {
  let text = ""
  let rest = value
  // Two digits at a time: every token that is made or read passes here.
  for (let left = width; left > 1; left -= 2) {
    text = pairs[rest % 4096] + text
    rest = Math.floor(rest / 4096)
  }
  return width % 2 === 0 ? text : digits.charAt(rest % 64) + text
}

/** The inverse of {@link toDigits}; -1 for anything that holds another character. */
export const fromDigits = (text: string): number => {
  let value = 0
  for (let i = 0; i < text.length; i++) {
    const digit = values.get(text.charAt(i))
    if (digit === undefined) return -1
    value = value * 64 + digit
  }
  return value
}

/**
 * A keyed checksum of a text, 11 characters. It tells tokens that this simulator issued from others; it is no
 * protection against anybody who means harm.
 */
export const seal = (seed: number, text: string): string => {
  let a = seed ^ 0x811c9dc5
  let b = Math.imul(seed, 0x9e3779b1) ^ 0x01000193
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, 0x01000193)
    b = Math.imul(b ^ code, 0x85ebca6b) ^ (b >>> 15)
  }
  return toDigits(scramble(a) >>> 0, 6) + toDigits((scramble(b) >>> 0) % 0x4000_0000, 5)
}

/** A GUID made of a hash, in the usual 8-4-4-4-12 form, version 4. */
export const guid = (seed: number, a: number, b = 0): string => {
  const hex = (c: number) => hash(seed, a, b, c).toString(16).padStart(8, "0")
  const one = hex(1)
  const two = hex(2)
  const three = hex(3)
  return `${one}-${two.slice(0, 4)}-4${two.slice(5)}-a${three.slice(1, 4)}-${three.slice(4)}${hex(4)}`
}
