/** The HTML of a hostile message in a real Chromium: it is shown, and neither runs nor loads anything. */
import { assert } from "@effect/vitest"
import { DateTime, Effect, Layer, Option } from "effect"
import { newId } from "../../src/domain/Ids.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { Messages } from "../../src/storage/mail/Messages.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, mailStorage, makeAccount, page as pageOf, remoteFolder, upsert } from "../support/mail.ts"
import { serve } from "../support/simulator.ts"
import { service } from "../server/connect/stack.ts"
import { adminKey, isSound, listening, logIn, open, step } from "./browsing.ts"

/** Every way that is known by which HTML has a browser load something, or run it. `there` notes what it is asked. */
const hostile = (there: string): string => {
  const host = new URL(there).host
  return `<html><head>
<meta http-equiv="refresh" content="0;url=${there}/meta"><base href="${there}/base/">
<link rel="stylesheet" href="${there}/css"><link rel="prefetch" href="${there}/prefetch">
<link rel="preconnect" href="${there}"><link rel="dns-prefetch" href="//${host}">
<style>@import "${there}/import"; body { background: url(${there}/background) }
@font-face { font-family: x; src: url(${there}/font) } p { font-family: x }</style>
<style>.a { background: u\\72l(${there}/escaped) } .b { background-image: image-set("${there}/image-set" 1x) }</style>
<style>.styled { color: rgb(0, 128, 0) }</style></head>
<body background="${there}/body" onload="fetch('${there}/onload')">
<p class="styled" id="styled">Hello, styled</p>
<img src="${there}/img"><img src="//${host}/relative"><img srcset="${there}/srcset 1x">
<img src="x" onerror="fetch('${there}/onerror')"><picture><source srcset="${there}/source"><img src="${there}/pic"></picture>
<img src="data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'><image href='${there}/svg-image'/><script>fetch('${there}/svg')</script></svg>">
<video poster="${there}/poster" autoplay src="${there}/video"></video><audio autoplay src="${there}/audio"></audio>
<iframe src="${there}/iframe"></iframe><object data="${there}/object"></object><embed src="${there}/embed">
<script>fetch("${there}/script"); top.location = "${there}/top"</script>
<svg onload="fetch('${there}/svg-onload')"><image href="${there}/svg-href"/></svg>
<form action="${there}/form" method="post"><input autofocus onfocus="this.form.submit()"><button>Send it</button></form>
<table background="${there}/table"><tr><td style="background: url(${there}/cell)">cell</td></tr></table>
<p><a id="link" href="${there}/click" target="_top" ping="${there}/ping">a link</a>
<a id="script" href="javascript:fetch('${there}/javascript')">a script</a></p>
<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=fetch('${there}/mutated')&gt;">
</body></html>`
}

const layer = Layer.merge(service({ settings: { publicUrl: Option.none() } }), mailStorage)

await onDatabases("Hostile mail in Chromium", layer, (it) => {
  it.effect(
    "is shown, runs nothing, loads nothing and leads nowhere",
    () =>
      Effect.scoped(Effect.gen(function* () {
        const asked: Array<string> = []
        const there = yield* serve((request) => {
          asked.push(new URL(request.url).pathname)
          return new Response("")
        })
        const origin = yield* listening
        const account = yield* makeAccount({})
        const lease = yield* acquireLease(account.id)
        const [inbox] = yield* (yield* Folders).store(lease, [], [remoteFolder("i", { displayName: "Inbox" })])
        const markup = "<img src=x onerror=alert(1)>"
        yield* (yield* MessageWriter).applyPage(
          lease,
          inbox!,
          pageOf(upsert(newId(), {
            subject: markup,
            from: { name: "<script>alert(1)</script>", address: "evil@example.com" },
            receivedAt: DateTime.nowUnsafe(),
            html: hostile(there),
          })),
        )
        const { items: [message] } = yield* (yield* Messages).list({ accountId: account.id, limit: 1 })

        const { complaints, page } = yield* open(origin)
        page.on("dialog", (dialog) => {
          complaints.push(dialog.message())
          void dialog.dismiss()
        })
        yield* step(() => logIn(page, adminKey))
        yield* step(() => page.getByRole("heading", { name: "Overview" }).waitFor())
        yield* step(() => page.goto(`${origin}/#/accounts/${account.id}/mail`))
        yield* step(() => page.getByRole("link", { name: markup }).click())
        yield* step(() => page.getByRole("heading", { name: markup }).waitFor())

        yield* step(() => isSound(page))
        const frame = page.frameLocator("iframe")
        const paragraph = frame.locator("#styled")
        yield* step(() => paragraph.waitFor())
        assert.strictEqual(
          yield* step(() => paragraph.evaluate("getComputedStyle(document.getElementById('styled')).color")),
          "rgb(0, 128, 0)",
        )
        for (const name of ["#link", "#script"]) yield* step(() => frame.locator(name).click())
        assert.strictEqual(yield* step(() => frame.locator("#link").getAttribute("title")), `${there}/click`)
        assert.isTrue(page.url().startsWith(`${origin}/#/accounts/`), page.url())

        // Nor when somebody opens it by itself.
        const own = `${origin}/dashboard/messages/${message!.id}`
        const answer = yield* step(() => page.goto(own, { waitUntil: "load" }))
        assert.match(answer?.headers()["content-security-policy"] ?? "", /default-src 'none';.*\bsandbox;/)
        yield* step(() => page.locator("#link").click())
        assert.strictEqual(page.url(), own)

        assert.strictEqual(yield* step(() => page.evaluate("origin")), "null")
        assert.deepStrictEqual(asked, [])
        // What Playwright itself runs to click within the frame is kept back as well.
        assert.deepStrictEqual(complaints.filter((one) => !one.startsWith("Blocked script execution")), [])
      })),
    60_000,
  )
})
