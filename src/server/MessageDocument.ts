/**
 * The HTML of a message as a document that can be shown: what looks like something stays, what does or loads something goes.
 * The policy that it is sent with forbids the same once more, for what this might miss.
 */
import sanitize from "sanitize-html"

/** Beside the usual tags of text: what mails are laid out with. */
const layout = ["center", "col", "colgroup", "del", "font", "img", "ins", "style"]

const attributes = [
  "align",
  "alt",
  "bgcolor",
  "border",
  "cellpadding",
  "cellspacing",
  "class",
  "color",
  "colspan",
  "dir",
  "face",
  "height",
  "id",
  "lang",
  "rowspan",
  "size",
  "src",
  "style",
  "title",
  "valign",
  "width",
]

/** Of style sheets: what would load something. */
const loads = /url\s*\(|@import|image-set|expression|\\/i

const options: sanitize.IOptions = {
  allowedTags: [...sanitize.defaults.allowedTags, ...layout],
  // Styles cannot leave the frame, and the policy lets them load nothing.
  allowVulnerableTags: true,
  allowedAttributes: { "*": attributes },
  // Pictures that came within the HTML; no others.
  allowedSchemes: ["data"],
  allowProtocolRelative: false,
  parseStyleAttributes: false,
  transformTags: {
    // A link leads nowhere from here, and says where it would.
    a: (tagName, { href, ...rest }) => ({ tagName, attribs: href === undefined ? rest : { ...rest, title: href } }),
    "*": (tagName, { style, ...rest }) => ({
      tagName,
      attribs: style === undefined || loads.test(style) ? rest : { ...rest, style },
    }),
  },
  exclusiveFilter: ({ attribs, tag, text }) =>
    (tag === "style" && loads.test(text)) || (tag === "img" && !/^data:image\//i.test(attribs["src"] ?? "")),
}

export const messageDocument = (html: string): string =>
  `<!doctype html>
<html>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>Message</title>
<style>
body { margin: 1rem; font: 16px/1.5 system-ui, sans-serif; color: #1c1d22; background: #fff; overflow-wrap: anywhere }
img, table { max-width: 100% }
a { color: #1f4fb4; text-decoration: underline }
</style>
</head>
<body dir="auto">
${sanitize(html, options)}
</body>
</html>
`
