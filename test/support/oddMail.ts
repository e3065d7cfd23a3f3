/** Messages as no standard allows them, or as hardly anybody sends them. All of them have been met in the wild, or will be. */

export interface OddMail {
  readonly name: string
  readonly raw: Uint8Array<ArrayBuffer>
  /** The subject that a reader must see, where there is no doubt. */
  readonly subject?: string
  /** What its text must hold, where there is no doubt and it is not refused. */
  readonly text?: string
}

const utf8 = new TextEncoder()

type Piece = string | Uint8Array | ReadonlyArray<number>

/** Bytes of a message: texts as UTF-8, numbers as bytes. */
const bytes = (...pieces: ReadonlyArray<Piece>): Uint8Array<ArrayBuffer> => {
  const all = pieces.map((piece) => typeof piece === "string" ? utf8.encode(piece) : Uint8Array.from(piece))
  const whole = new Uint8Array(all.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const piece of all) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

const lines = (...all: ReadonlyArray<string>): string => `${all.join("\r\n")}\r\n`

/** Headers that are in order, unless `more` says otherwise. */
const head = (name: string, ...more: ReadonlyArray<string>): string =>
  lines(
    "From: Odd <odd@sender.example>",
    "To: reader@odd.example",
    `Message-ID: <${name.replaceAll(" ", "-")}@odd.example>`,
    "Date: Thu, 01 Oct 2026 12:00:00 +0000",
    "MIME-Version: 1.0",
    ...more,
  )

const plain = "Content-Type: text/plain; charset=utf-8"

/** `n` bytes of base64 in lines of 76. */
const base64Lines = (n: number): Uint8Array => {
  const line = utf8.encode(`${"QUJD".repeat(19)}\r\n`)
  const whole = new Uint8Array(Math.ceil(n / line.length) * line.length)
  for (let at = 0; at < whole.length; at += line.length) whole.set(line, at)
  return whole
}

const nestedMultipart = (depth: number): string => {
  let whole = ""
  for (let level = 0; level < depth; level++) {
    whole += lines(`Content-Type: multipart/mixed; boundary="level-${level}"`, "", `--level-${level}`)
  }
  whole += lines(plain, "", "the innermost text")
  for (let level = depth - 1; level >= 0; level--) whole += lines("", `--level-${level}--`)
  return whole
}

const nestedMessages = (depth: number): string => {
  let whole = ""
  for (let level = 0; level < depth; level++) whole += lines("Content-Type: message/rfc822", "")
  return whole + lines("Subject: the innermost", plain, "", "the innermost text")
}

/** @param hugeBytes size of the largest ones */
export const oddMail = (hugeBytes = 50 * 2 ** 20): ReadonlyArray<OddMail> => {
  const mail: Array<OddMail> = []
  const add = (name: string, raw: Uint8Array<ArrayBuffer>, known: Omit<OddMail, "name" | "raw"> = {}) =>
    mail.push({ name, raw, ...known })
  /** A message whose subject is its name. */
  const body = (name: string, headers: ReadonlyArray<string>, ...pieces: ReadonlyArray<Piece>) =>
    add(name, bytes(head(name, `Subject: ${name}`, ...headers), "\r\n", ...pieces), { subject: name })
  const text = (name: string, headers: ReadonlyArray<string>, content: string, expected = content) => {
    body(name, headers, content)
    mail[mail.length - 1] = { ...mail.at(-1)!, text: expected }
  }

  // Little or nothing.
  add("empty", new Uint8Array())
  add("blank line", bytes("\r\n"))
  add("no body", bytes(head("no body", "Subject: no body")), { subject: "no body" })
  add("no headers", bytes("\r\njust a text\r\n"))
  add("nothing but text", bytes("just a text without any header, and no blank line before it"))
  add("no subject", bytes(head("no subject", plain), "\r\nhello\r\n"), { subject: "" })
  add("neither from nor date nor id", bytes(lines("Subject: bare", plain, "", "hello")), { subject: "bare" })

  // Headers.
  add(
    "8-bit junk",
    bytes("Subject: ", [0xff, 0xfe, 0x80, 0xe4, 0xf6], "\r\n", head("8-bit junk"), "\r\n", [
      ...Array.from({ length: 256 }, (_, byte) => byte === 0 ? 1 : byte),
    ]),
  )
  add(
    "NUL bytes",
    bytes("Subject: before", [0], "after\r\n", head("NUL bytes", plain), "\r\nbefore", [0, 0], "after\r\n"),
  )
  add("a header line of a megabyte", bytes(head("megabyte", `Subject: ${"long ".repeat(200_000)}`, plain), "\r\nx\r\n"))
  add(
    "a folded header of a megabyte",
    bytes(head("folded", "Subject: folded", `X-Junk: ${"a\r\n ".repeat(250_000)}b`, plain), "\r\nx\r\n"),
    {
      subject: "folded",
    },
  )
  add(
    "100,000 header lines",
    bytes(
      head("header lines", "Subject: many lines", Array.from({ length: 100_000 }, (_, n) => `X-${n}: x`).join("\r\n")),
      "\r\nx\r\n",
    ),
  )
  add(
    "10,000 recipients",
    bytes(
      head(
        "10000 recipients",
        "Subject: many",
        `Cc: ${Array.from({ length: 10_000 }, (_, n) => `"Person ${n}" <p${n}@crowd.example>`).join(",\r\n ")}`,
        plain,
      ),
      "\r\nhello all\r\n",
    ),
    { subject: "many", text: "hello all" },
  )
  add(
    "addresses that are none",
    bytes(lines(
      'From: "unclosed <a@b.example',
      'To: undisclosed-recipients:;, <>, @, plainname, a@b@c, <<x@y.example>>, "" <e@f.example>',
      `Cc: ${"(".repeat(500)}comment`,
      "Reply-To: ,,,;;;:::",
      "Subject: addresses",
      "Message-ID: <addresses@odd.example>",
      plain,
      "",
      "hello",
    )),
    { subject: "addresses" },
  )
  add(
    "headers twice",
    bytes(
      head(
        "twice",
        "Subject: first",
        "Subject: second",
        "From: other@sender.example",
        "Content-Type: text/html",
        plain,
      ),
      "\r\nhello\r\n",
    ),
  )
  add(
    "headers that are none",
    bytes(
      "no colon here\r\n",
      head("none", "Subject: none", ": empty name", "Bad Name : x", "X\u00e4: y", plain),
      "\r\nhello\r\n",
    ),
  )
  add(
    "no space in words",
    bytes(
      head("words", "Subject: =?utf-8?B?8J+agA==?= =?utf-8?Q?_to_?= =?utf-8?B?2YXYsdit2KjYpw==?=", plain),
      "\r\nhi\r\n",
    ),
    {
      subject: "🚀 to مرحبا",
    },
  )
  add(
    "a character cut by two words",
    bytes(head("cut", "Subject: =?utf-8?B?8J8=?= =?utf-8?B?moA=?=", plain), "\r\nhi\r\n"),
  )
  add(
    "words that are broken",
    bytes(head("broken words", "Subject: =?utf-8?B?%%%?= =?x-none?Q?abc?= =?utf-8?Q?=ZZ=?= =?", plain), "\r\nhi\r\n"),
  )
  add(
    "right to left",
    bytes(
      head(
        "rtl",
        "Subject: \u202eevil\u202c \u0627\u0644\u0633\u0644\u0627\u0645 👩‍👩‍👧‍👦",
        plain,
      ),
      "\r\nשלום 🎉\r\n",
    ),
    {
      subject: "\u202eevil\u202c السلام 👩‍👩‍👧‍👦",
      text: "שלום 🎉",
    },
  )
  for (
    const [n, date] of [
      "Fri, 01 Jan 99999 00:00:00 +0000",
      "Thu, 01 Jan 0001 00:00:00 +0000",
      "never",
      "",
      "Mon, 32 Foo 2026 25:61:61 +9999",
      "Sat, 01 Jan 1601 00:00:00 -2359",
    ].entries()
  ) {
    add(
      `date ${n}`,
      bytes(
        lines(
          `Date: ${date}`,
          `Subject: date ${n}`,
          `Message-ID: <date-${n}@odd.example>`,
          "From: a@b.example",
          plain,
          "",
          "hello",
        ),
      ),
      { subject: `date ${n}` },
    )
  }
  for (const n of [1, 2, 3]) {
    add(`the same Message-ID ${n}`, bytes(head("same", `Subject: same ${n}`, plain), `\r\nnumber ${n}\r\n`), {
      subject: `same ${n}`,
      text: `number ${n}`,
    })
  }
  const twin = bytes(head("twin", "Subject: twin", plain), "\r\nthe very same\r\n")
  add("twin", twin, { subject: "twin" })
  add("its twin", twin, { subject: "twin" })
  for (
    const [n, id] of [
      "no-brackets@odd.example",
      "<>",
      "<with space@odd.example>",
      `<${"x".repeat(100_000)}@odd.example>`,
      "<a@odd.example> <b@odd.example>",
    ].entries()
  ) {
    add(`id ${n}`, bytes(lines(`Message-ID: ${id}`, `Subject: id ${n}`, "From: a@b.example", plain, "", "hello")), {
      subject: `id ${n}`,
    })
  }
  add(
    "5,000 references",
    bytes(
      head(
        "references",
        "Subject: references",
        `References: ${Array.from({ length: 5_000 }, (_, n) => `<r${n}@odd.example>`).join("\r\n ")}`,
        plain,
      ),
      "\r\nhello\r\n",
    ),
    { subject: "references" },
  )

  // Charsets and encodings.
  body("Latin-1 that claims to be UTF-8", [plain], [0x47, 0x72, 0xf6, 0xdf, 0x65])
  body("8 bits that claim to be ASCII", ["Content-Type: text/plain; charset=us-ascii"], [0xe4, 0xf6, 0xfc])
  body("a charset that nobody knows", ["Content-Type: text/plain; charset=x-klingon"], "hello")
  body("no charset", ["Content-Type: text/plain; charset="], [0xff, 0xfe, 0x41])
  body("GB 2312", ["Content-Type: text/plain; charset=gb2312"], [0xc4, 0xe3, 0xba, 0xc3])
  mail[mail.length - 1] = { ...mail.at(-1)!, text: "你好" }
  body("UTF-16", ["Content-Type: text/plain; charset=utf-16le"], [0x68, 0, 0x69, 0])
  body("UTF-7", ["Content-Type: text/plain; charset=utf-7"], "+BBA-")
  body("a lone surrogate as bytes", [plain], [0x61, 0xed, 0xa0, 0x80, 0x62])
  body("characters that are none", [plain], "a\ufffe\uffff\u0001\u001b[31mb\u0085\u2028")
  body("base64 that is broken", [plain, "Content-Transfer-Encoding: base64"], "SGVsbG8*&^%$ d29y!!bGQ=\r\n=AAA\r\nQ")
  body("quoted-printable that is broken", [plain, "Content-Transfer-Encoding: quoted-printable"], "a=ZZb=\r\nc=4\r\nd=")
  body("an encoding that nobody knows", [plain, "Content-Transfer-Encoding: x-uuencode"], "begin 644 x\r\nend")
  text("lines that end in LF", [plain], "one\ntwo\nthree\n", "two")
  text("lines that end in CR", [plain], "one\rtwo\rthree\r", "three")
  body("a line of 5 MB", [plain], "x".repeat(5 * 2 ** 20))

  // Structure.
  add("nested 100 deep", bytes(head("nested", "Subject: nested"), nestedMultipart(100)), { subject: "nested" })
  add("messages in messages, 100 deep", bytes(head("messages", "Subject: messages"), nestedMessages(100)), {
    subject: "messages",
  })
  add("nested 5,000 deep", bytes(head("deeper", "Subject: deeper"), nestedMultipart(5_000)), { subject: "deeper" })
  body("no boundary", ["Content-Type: multipart/mixed"], "--x\r\n\r\nhello\r\n--x--\r\n")
  body("a boundary that never comes", ['Content-Type: multipart/mixed; boundary="never"'], "hello\r\n")
  body(
    "a boundary that is not closed",
    ['Content-Type: multipart/mixed; boundary="open"'],
    lines("--open", plain, "", "hello"),
  )
  body("an empty boundary", ['Content-Type: multipart/mixed; boundary=""'], "--\r\n\r\nhello\r\n----\r\n")
  body(
    "a boundary within itself",
    ['Content-Type: multipart/mixed; boundary="a"'],
    lines("--a", 'Content-Type: multipart/mixed; boundary="a"', "", "--a", plain, "", "hello", "--a--", "--a--"),
  )
  body(
    "10,000 parts",
    ['Content-Type: multipart/mixed; boundary="part"'],
    Array.from(
      { length: 10_000 },
      (_, n) => lines("--part", `Content-Disposition: attachment; filename="${n}.txt"`, "", "x"),
    ).join(""),
    "--part--\r\n",
  )
  body(
    "names of files",
    ['Content-Type: multipart/mixed; boundary="part"'],
    [
      "../../etc/passwd",
      "C:\\\\windows\\\\cmd.exe",
      "x".repeat(100_000),
      "\u202egpj.exe",
      "",
    ].map((name) =>
      lines(
        "--part",
        `Content-Type: application/octet-stream; name="${name}"`,
        `Content-Disposition: attachment; filename="${name}"`,
        "",
        "x",
      )
    ).join(""),
    lines(
      "--part",
      "Content-Disposition: attachment; filename*0*=utf-8''%E2%82; filename*2=zz; filename*=x'y",
      "",
      "x",
    ),
    "--part--\r\n",
  )
  body("a type that is none", ["Content-Type: ;;;===///"], "hello")
  body("a part of a message", ['Content-Type: message/partial; id="x"; number=1; total=3'], "hello")
  body(
    "winmail.dat",
    ['Content-Type: application/ms-tnef; name="winmail.dat"', "Content-Transfer-Encoding: base64"],
    "eJ8+Ig==",
  )

  // HTML.
  const html = "Content-Type: text/html; charset=utf-8"
  body("HTML nested 20,000 deep", [html], "<div>".repeat(20_000), "deep")
  body("HTML of a million tags", [html], "<b>x".repeat(250_000))
  body("HTML that ends in a comment", [html], "<p>seen</p><!-- never closed <p>unseen")
  body("HTML that ends in an attribute", [html], '<p>seen</p><a href="never closed')
  body("HTML with NUL and no characters", [html], "<p>a&#0;b&#xd800;c&#x10ffff;d&#99999999;</p>", [0], "<p>e</p>")
  body(
    "a table of 3,000 cells",
    [html],
    `<table>${"<tr><td><table><tr><td>x</td></tr></table></td></tr>".repeat(3_000)}</table>`,
  )

  // Size.
  add(
    "a huge attachment",
    bytes(
      head("huge attachment", "Subject: huge attachment", 'Content-Type: multipart/mixed; boundary="part"'),
      lines(
        "",
        "--part",
        plain,
        "",
        "see the attachment",
        "--part",
        "Content-Type: application/pdf",
        "Content-Transfer-Encoding: base64",
        'Content-Disposition: attachment; filename="huge.pdf"',
        "",
      ),
      base64Lines(hugeBytes),
      "\r\n--part--\r\n",
    ),
    { subject: "huge attachment", text: "see the attachment" },
  )
  add(
    "a huge text",
    bytes(head("huge text", "Subject: huge text", plain), "\r\n", new Uint8Array(hugeBytes).fill(0x61)),
    { subject: "huge text" },
  )
  return mail
}

/** Fields of a message as Graph may answer them; what is not there is as it should be. */
export const oddResources = (
  hugeBytes = 20 * 2 ** 20,
): ReadonlyArray<{ readonly name: string; readonly fields: Record<string, unknown> }> => {
  const address = (n: number) => ({ emailAddress: { name: `Person ${n}`, address: `p${n}@crowd.example` } })
  const html = (content: string) => ({ body: { contentType: "html", content } })
  return [
    {
      name: "a lone surrogate",
      fields: { subject: "a\ud800b", bodyPreview: "\udc00", body: { contentType: "text", content: "x\ud83dy" } },
    },
    {
      name: "NUL",
      fields: {
        subject: "before\u0000after",
        bodyPreview: "\u0000",
        body: { contentType: "text", content: "a\u0000b" },
      },
    },
    {
      name: "null everywhere",
      fields: {
        subject: null,
        from: null,
        toRecipients: null,
        ccRecipients: null,
        receivedDateTime: null,
        sentDateTime: null,
        flag: null,
        categories: null,
        bodyPreview: null,
        internetMessageId: null,
        conversationId: null,
        importance: null,
        isRead: null,
        hasAttachments: null,
        body: null,
      },
    },
    {
      name: "empty objects",
      fields: { from: {}, toRecipients: [{}, null, { emailAddress: null }, { emailAddress: {} }], flag: {}, body: {} },
    },
    { name: "10,000 recipients", fields: { toRecipients: Array.from({ length: 10_000 }, (_, n) => address(n)) } },
    {
      name: "year 99999",
      fields: { receivedDateTime: "99999-01-01T00:00:00Z", sentDateTime: "+099999-01-01T00:00:00Z" },
    },
    { name: "year 1", fields: { receivedDateTime: "0001-01-01T00:00:00Z", sentDateTime: "1601-01-01T00:00:00Z" } },
    { name: "no time", fields: { receivedDateTime: "yesterday", sentDateTime: "" } },
    { name: "texts for truths", fields: { isRead: "True", isDraft: "false", hasAttachments: "true" } },
    {
      name: "an importance that nobody knows",
      fields: { importance: "urgent\u0000", categories: ["\ud800", "", "x".repeat(100_000), 'a,b"{}'] },
    },
    { name: "one Message-ID", fields: { internetMessageId: "<same@odd.example>" } },
    { name: "the same Message-ID", fields: { internetMessageId: "<same@odd.example>" } },
    { name: "a long Message-ID", fields: { internetMessageId: `<${"x".repeat(100_000)}@odd.example>` } },
    { name: "a long subject", fields: { subject: "long ".repeat(200_000) } },
    { name: "right to left", fields: { subject: "\u202eevil\u202c السلام 👩‍👩‍👧‍👦" } },
    { name: "deep HTML", fields: html("<div>".repeat(20_000)) },
    { name: "a million tags", fields: html("<b>x".repeat(250_000)) },
    { name: "HTML with no characters", fields: html("a&#0;b&#xd800;c&#99999999;\u0000") },
    { name: "HTML that does not end", fields: html("<p>seen<!-- never closed") },
    { name: "a huge text", fields: { body: { contentType: "text", content: "a".repeat(hugeBytes) } } },
    { name: "huge HTML", fields: html(`<p>${"word ".repeat(hugeBytes / 20)}</p>`) },
    { name: "a body of a kind that nobody knows", fields: { body: { contentType: "rtf", content: "{\\rtf1 hello}" } } },
  ]
}
