/**
 * What people type into a search, as a `tsquery` over the lexemes of SearchWords.ts.
 *
 * All words must be there. The last one may be the beginning of a word; of a subject any part of a word will do, from three
 * characters on. Words in double quotes, what punctuation joins (`INV-2026-7`) and runs of scripts without blanks are found
 * in that order only. An e-mail address is found whole, and by each of its parts.
 */
import {
  accountLexeme,
  addressIn,
  fold,
  pairsOf,
  partMark,
  type Piece,
  piecesOf,
  quote,
  senderLexemes,
  shortestPart,
  wholeAddress,
} from "./SearchWords.ts"

/** More words narrow no search down. */
const mostWords = 40

/** A single letter is the beginning of too many words. */
const shortestPrefix = 2

interface Term {
  readonly lexeme: string
  /** Positions that it takes up: the next one follows after so many. */
  readonly width: number
}

const termsOf = (piece: Piece, isPrefix: boolean): ReadonlyArray<Term> => {
  if (!piece.run) {
    return [{ lexeme: quote(piece.text) + (isPrefix && piece.text.length >= shortestPrefix ? ":*" : ""), width: 1 }]
  }
  const pairs = pairsOf(piece.text)
  // A character alone: whatever follows it.
  if (pairs.length === 1) return [{ lexeme: `${quote(pairs[0]!)}:*`, width: 1 }]
  return pairs.slice(0, -1).map((pair, index) => ({ lexeme: quote(pair), width: index === pairs.length - 2 ? 2 : 1 }))
}

const phrase = (pieces: ReadonlyArray<Piece>, isPrefix: boolean): string => {
  const terms = pieces.flatMap((piece, index) => termsOf(piece, isPrefix && index === pieces.length - 1))
  return terms.map(({ lexeme }, index) => index === 0 ? lexeme : ` <${terms[index - 1]!.width}> ${lexeme}`).join("")
}

/** One chunk between blanks. */
const chunk = (folded: string, isLast: boolean): string | undefined => {
  const [address] = folded.match(addressIn) ?? []
  if (address === folded) return quote(wholeAddress(address)) + (isLast ? ":*" : "")
  const pieces = [...piecesOf(folded)]
  const [first] = pieces
  if (first === undefined) return undefined
  const words = phrase(pieces, isLast)
  return pieces.length > 1 || first.run || [...first.text].length < shortestPart
    ? words
    : `${words} | ${quote(partMark + first.text)}:*`
}

/** The conditions of a text, or none where it has no words. */
const conditionsOf = (q: string): ReadonlyArray<string> => {
  const parts = [...q.matchAll(/"([^"]*)"?|[^\s"]+/g)].slice(0, mostWords)
  return parts.flatMap((part, index) => {
    const quoted = part[1]
    const folded = fold(quoted ?? part[0])
    const condition = quoted === undefined
      ? chunk(folded, index === parts.length - 1)
      : phrase([...piecesOf(folded)].slice(0, mostWords), false)
    return condition === undefined || condition === "" ? [] : [`(${condition})`]
  })
}

export interface SearchOptions {
  readonly accountId?: string | undefined
  readonly q?: string | undefined
  /** Address of the sender, or `@` and its domain. */
  readonly from?: string | undefined
}

/** True for what is typed into a search and means "everything". */
export const isBlank = (q: string | undefined): boolean => q === undefined || q.replaceAll("\0", "").trim() === ""

/**
 * The text of a `tsquery`; undefined = everything is asked for, null = nothing can be found, as by a text of punctuation.
 * The account is a lexeme as well, so that the index alone answers for one account or for the fleet.
 */
export const searchQuery = ({ accountId, from, q }: SearchOptions): string | undefined | null => {
  if (isBlank(q) && from === undefined) return undefined
  // The database takes no NUL, and in a text it parts words.
  const words = isBlank(q) ? [] : conditionsOf(q!.replaceAll("\0", " "))
  if (!isBlank(q) && words.length === 0) return null
  const sender = from === undefined ? [] : [quote(senderLexemes(from)[0]!)]
  return [...(accountId === undefined ? [] : [quote(accountLexeme(accountId))]), ...sender, ...words].join(" & ")
}
