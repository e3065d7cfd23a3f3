/** The text of an HTML body: for search, and for readers that want no HTML. */
// @ts-types="./html-to-text.d.ts"
import { compile } from "html-to-text"

/** Lines are left as long as they are; links are kept behind their words; images say nothing. */
export const textOfHtml: (html: string) => string = compile({
  wordwrap: false,
  selectors: [
    { selector: "a", options: { hideLinkHrefIfSameAsText: true } },
    { selector: "img", format: "skip" },
    ...["h1", "h2", "h3", "h4", "h5", "h6"].map((selector) => ({ selector, options: { uppercase: false } })),
  ],
})
