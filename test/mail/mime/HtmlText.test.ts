import { assert, describe, it } from "@effect/vitest"
import { textOfHtml } from "../../../src/mail/mime/HtmlText.ts"

describe("textOfHtml", () => {
  it("keeps words and links, and leaves out pictures", () => {
    assert.strictEqual(
      textOfHtml(
        '<h1>Hello</h1><p>see <a href="https://a.example/">this</a> <img src="x" alt="picture">&amp; that</p>',
      ),
      "Hello\n\nsee this [https://a.example/] & that",
    )
  })

  it("is not led into the depth", () => {
    for (const html of ["<div>".repeat(200_000), "<b>x".repeat(250_000), "<blockquote><i>".repeat(3_000)]) {
      const begun = performance.now()
      const text = textOfHtml(`<p>before &amp; within</p>${html}<style>p { color: red }</style>at the end`)
      assert.isBelow(performance.now() - begun, 3_000)
      assert.include(text, "before & within")
    }
    assert.strictEqual(
      textOfHtml(`one${"<div>".repeat(1_000)} two<script>three < 3 </script> four &lt;five&gt;`).replace(/\s+/g, " "),
      "one two four <five>",
    )
  })

  it("bears elements that are named like what every object has", () => {
    for (const name of ["constructor", "toString", "valueOf"]) {
      assert.strictEqual(textOfHtml(`<p>before <${name}>after</${name}></p>`).replace(/\s+/g, " "), "before after")
    }
  })

  it("does not take what closes by itself for depth", () => {
    const text = textOfHtml(`<ul>${"<li>item<br>".repeat(2_000)}</ul>${"<p>text".repeat(2_000)}`)
    assert.strictEqual(text.match(/^ \* item$/gm)?.length, 2_000)
  })

  it("reads the beginning of what is very long", () => {
    const text = textOfHtml(`<p>${"word ".repeat(4_000_000)}</p>`)
    assert.isAbove(text.length, 900_000)
    assert.isAtMost(text.length, 1_000_000)
  })
})
