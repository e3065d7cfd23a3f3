/**
 * The words of a text, in any script, as they are searched by: folded, so that case, accents, width and vowel marks do not
 * matter. Scripts that put no blanks between words are cut into overlapping pairs of characters.
 */

import { dayLexemes } from "./SearchDays.ts"

/** Characters of a word; the rest of a longer one is no word of anybody's. */
const longestWord = 64

// Marks over letters of scripts that are read without them: accents, Hebrew points, Arabic vowels and tatweel. Those of
// Devanagari or Thai are letters to their readers, and stay.
const marks =
  /[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]/g

/** Letters that Unicode does not take apart, though people type them otherwise. */
const plain: Readonly<Record<string, string>> = {
  "ß": "ss",
  "æ": "ae",
  "œ": "oe",
  "ø": "o",
  "đ": "d",
  "ð": "d",
  "þ": "th",
  "ł": "l",
  "ı": "i",
  "ς": "σ",
}

const isAscii = (text: string): boolean => !/[^\0-\x7f]/.test(text)

/** As words are compared: compatible forms are one, and neither case nor marks nor invisible characters matter. */
export const fold = (text: string): string => isAscii(text) ? text.toLowerCase() : foldAny(text)

const foldAny = (text: string): string =>
  text.toWellFormed().normalize("NFKD").toLowerCase().replace(marks, "").replace(/\p{Cf}/gu, "").normalize("NFC")
    .replace(/[ßæœøđðþłıς]/g, (letter) => plain[letter]!)

const unspaced = String
  .raw`[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}ー\p{sc=Hangul}\p{sc=Thai}\p{sc=Lao}\p{sc=Khmer}\p{sc=Myanmar}\p{sc=Tibetan}]`
const pieces = new RegExp(String.raw`[${unspaced}&&[\p{L}\p{M}\p{N}]]+|[[\p{L}\p{M}\p{N}]--${unspaced}]+`, "gv")
const isRun = new RegExp(`^${unspaced}`, "v")

/** A piece of folded text: a word, or a run of characters without blanks. */
export interface Piece {
  readonly run: boolean
  readonly text: string
}

const toPiece = (text: string): Piece =>
  isRun.test(text) ? { run: true, text } : { run: false, text: text.slice(0, longestWord).toWellFormed() }

const toWord = (text: string): Piece => ({ run: false, text: text.slice(0, longestWord) })

export const piecesOf = (folded: string): ReadonlyArray<Piece> =>
  // Most mail is ASCII, and costs a fraction so.
  isAscii(folded) ? (folded.match(/[a-z0-9]+/g) ?? []).map(toWord) : (folded.match(pieces) ?? []).map(toPiece)

/** Each character with its successor; the last by itself, so that every character begins a lexeme. */
export const pairsOf = (run: string): ReadonlyArray<string> => {
  const characters = [...run]
  return characters.map((character, index) => character + (characters[index + 1] ?? ""))
}

/** What looks like an e-mail address, whole. */
export const addressIn = /[^\s<>()[\]",;:@]{1,64}@[^\s<>()[\]",;:@]{1,255}/g

/** Of a subject the parts of words are found too: each word's ends of at least so many characters. */
export const shortestPart = 3

/** Marks the end of a word of a subject, as no word begins. */
export const partMark = "~"

/** The lexeme that all messages of an account have. */
export const accountLexeme = (accountId: string): string => `=${accountId}`

// A tsvector holds 1 MB of lexemes and positions up to 16383 (Postgres, Text Search Limitations).
const mostBytes = 500_000
const lastPosition = 16_383
/** As many positions of a lexeme are kept. */
const mostPositions = 255

/** Characters of a text that are looked at: what follows finds no room anyway, and runs of letters without end overflow a stack. */
const longestText = 1_000_000

/** Between two texts, so that no phrase reaches from one into the next. */
const gap = 8

/** What of a message is searched. */
export interface Searchable {
  readonly subject: string
  /** Address of the sender; empty = none. */
  readonly sender: string
  /** Names and addresses of all that it is from or to. */
  readonly people: ReadonlyArray<string>
  readonly texts: ReadonlyArray<string>
  /** Milliseconds since 1970; null = no time. */
  readonly receivedAt: number | null
}

const utf8 = new TextEncoder()

/** Takes the lexemes of a message, each as often as it comes up. */
interface Lexemes {
  /** False once there is no room for more. */
  readonly add: (lexeme: string, position?: number) => boolean
  /** The text of a `tsvector`. */
  readonly vector: () => string
}

/** For messages of any length: as much as a `tsvector` holds. */
const boundedLexemes = (): Lexemes => {
  const lexemes = new Map<string, Array<number>>()
  let bytes = 0
  return {
    add: (lexeme, position) => {
      let positions = lexemes.get(lexeme)
      if (positions === undefined) {
        // At most 4 bytes for each UTF-16 unit.
        bytes += lexeme.length * 4 + 16
        if (bytes > mostBytes) bytes = mostBytes + 1
        if (bytes > mostBytes) return false
        positions = []
        lexemes.set(lexeme, positions)
      }
      if (position !== undefined && position <= lastPosition && positions.length < mostPositions) {
        positions.push(position)
        bytes += 2
      }
      return bytes <= mostBytes
    },
    vector: () => {
      let vector = ""
      for (const [lexeme, positions] of lexemes) {
        const at = positions.length === 0 ? " " : `:${positions.join(",")} `
        vector += quote(lexeme) + at
      }
      return vector
    },
  }
}

/** For those with room to spare, which are nearly all: Postgres puts the positions of a lexeme together itself. */
const fewLexemes = (): Lexemes => {
  let vector = ""
  return {
    add: (lexeme, position) => {
      vector += position === undefined ? `${quote(lexeme)} ` : `${quote(lexeme)}:${position} `
      return true
    },
    vector: () => vector,
  }
}

/** Characters of a message that {@link fewLexemes} bears: even if all are letters of one subject, cut into parts. */
const shortMessage = 4_000

/** The text of a `tsvector` with the words of a message. */
export const vectorOf = (
  accountId: string,
  { people, receivedAt, sender, subject, texts }: Searchable,
  now: number,
): string => {
  const length = [subject, ...people, ...texts].reduce((sum, text) => sum + text.length + gap, 0)
  const { add, vector } = length <= shortMessage ? fewLexemes() : boundedLexemes()
  let position = 1
  const addText = (text: string, whole: boolean) => {
    const folded = fold(text.slice(0, longestText))
    for (const piece of piecesOf(folded)) {
      let hasRoom = true
      if (piece.run) {
        for (const pair of pairsOf(piece.text)) hasRoom = add(pair, position++)
      } else {
        hasRoom = add(piece.text, position++)
        if (whole) { for (const part of partsOf(piece.text)) hasRoom = add(partMark + part) }
      }
      if (!hasRoom) break
    }
    // Asked first: to look for addresses is dear, and most texts have none.
    if (folded.includes("@")) { for (const address of folded.match(addressIn) ?? []) add(wholeAddress(address)) }
    position += gap
  }
  for (const lexeme of [accountLexeme(accountId), ...dayLexemes(receivedAt, now)]) add(lexeme)
  if (sender !== "") { for (const lexeme of senderLexemes(sender)) add(lexeme) }
  addText(subject, true)
  for (const person of people) addText(person, false)
  for (const text of texts) addText(text, false)
  return vector()
}

/** What a message is found by that is from an address: the address, and its domain. */
export const senderLexemes = (address: string): ReadonlyArray<string> => {
  // The database takes no NUL.
  const folded = fold(address.replaceAll("\0", "").trim())
  return [folded, folded.slice(Math.max(0, folded.indexOf("@")))].map((text) => bounded(`<${text}`))
}

/** The dot that ends a sentence is no part of an address. */
export const wholeAddress = (address: string): string => bounded(address.replace(/[.!?'’]+$/, ""))

/** Postgres takes lexemes of at most 2 KB. */
const bounded = (lexeme: string): string =>
  lexeme.length <= 250 || utf8.encode(lexeme).length <= 1_000 ? lexeme : lexeme.slice(0, 250).toWellFormed()

const partsOf = (word: string): ReadonlyArray<string> => {
  const characters = isAscii(word) ? word : [...word]
  return Array.from(
    { length: Math.max(0, characters.length - shortestPart) },
    (_, index) => typeof characters === "string" ? characters.slice(index + 1) : characters.slice(index + 1).join(""),
  )
}

/** A lexeme in the text of a `tsvector` or `tsquery`. */
export const quote = (lexeme: string): string =>
  /['\\]/.test(lexeme) ? `'${lexeme.replaceAll("\\", "\\\\").replaceAll("'", "''")}'` : `'${lexeme}'`
