/** The text of an HTML body: for search, and for readers that want no HTML. */
// @ts-types="./html-to-text.d.ts"
import { compile } from "html-to-text"

/** Characters that are looked at: a million takes an eighth of a second, during which nothing else runs. */
const longest = 1_000_000

/**
 * Elements within elements. The parser's time grows with the square of the depth (250,000 take 45 seconds), and a walk some
 * thousands deep ends in a stack overflow. Newsletters reach about a hundred.
 */
const deepest = 500

/** Lines are left as long as they are; links are kept behind their words; images say nothing. */
const convert: (html: string) => string = compile({
  wordwrap: false,
  selectors: [
    { selector: "a", options: { hideLinkHrefIfSameAsText: true } },
    { selector: "img", format: "skip" },
    ...["h1", "h2", "h3", "h4", "h5", "h6"].map((selector) => ({ selector, options: { uppercase: false } })),
  ],
})

/** Elements that hold nothing, or that HTML closes by itself where the next one begins: many of them make no depth. */
const shallow = new Set(
  ("p li dt dd td th tr thead tbody tfoot option br img hr meta link input col wbr area base embed param source track " +
    "!doctype").split(" "),
)

const isDeep = (html: string): boolean => {
  let depth = 0
  for (const [, close, name] of html.matchAll(/<(\/?)([a-z][a-z\d]*)/gi)) {
    if (shallow.has(name!.toLowerCase())) continue
    if (close === "") depth++
    else if (depth > 0) depth--
    if (depth > deepest) return true
  }
  return false
}

/** What is left without tags, and without what stands in scripts and styles. */
const withoutTags = (html: string): string => {
  const [first = "", ...tags] = html.split("<")
  const texts = [first]
  let within: string | undefined
  for (const tag of tags) {
    const name = /^\/?[a-z]+/i.exec(tag)?.[0].toLowerCase()
    if (within !== undefined && name !== `/${within}`) continue
    within = name === "script" || name === "style" ? name : undefined
    const end = tag.indexOf(">")
    if (within === undefined && end >= 0) texts.push(tag.slice(end + 1))
  }
  return texts.join(" ")
}

/**
 * Of the first million characters; without any structure where that is deeper than anybody writes, or where the library throws,
 * as it does for an element named `constructor`: one letter with that would end each sync of its mailbox.
 */
export const textOfHtml = (html: string): string => {
  const start = html.length > longest ? html.slice(0, longest) : html
  if (isDeep(start)) return convert(withoutTags(start))
  try {
    return convert(start)
  } catch {
    return convert(withoutTags(start))
  }
}
