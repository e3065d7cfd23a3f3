/** A mailbox as people have them: short letters, newsletters in HTML, and now and then a file; 13 KB on average. */

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
export const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
}

const syllables = "ka lo mi ren ta vu sel dor in ba shi no per gra tu el fa qui mo zen".split(" ")

/** Word number `n` of a language: the small numbers are the frequent ones. */
export const wordOf = (n: number): string => {
  let word = ""
  for (let rest = n + 20; rest > 0; rest = Math.floor(rest / syllables.length)) {
    word += syllables[rest % syllables.length]
  }
  return word
}

/** Words of a text, as often as in a language: the `n`th most frequent comes with a frequency of about 1/n. */
export const textOf = (chance: () => number, words: number, vocabulary = 50_000): string => {
  const text: Array<string> = []
  for (let n = 0; n < words; n++) text.push(wordOf(Math.floor(Math.exp(chance() * Math.log(vocabulary))) - 1))
  return text.join(" ")
}

const base64 = (chance: () => number, bytes: number): string => {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  const line = Array.from({ length: 76 }, () => alphabet[Math.floor(chance() * 64)]).join("")
  return `${line}\r\n`.repeat(Math.ceil(bytes / 57))
}

/** Message number `n`, with CRLF line ends. */
export const mimeOf = (n: number): string => {
  const chance = random(n)
  const kind = chance()
  const text = textOf(chance, 30 + Math.floor(chance() * chance() * 600))
  const head = [
    `Return-Path: <bounce-${n}@sender${n % 97}.example>`,
    `Received: from mx${n % 7}.sender${n % 97}.example by mx.reader.example with ESMTPS id ${
      n.toString(36)
    }; Thu, 1 Oct 2026 10:00:00 +0000`,
    `DKIM-Signature: v=1; a=rsa-sha256; d=sender${n % 97}.example; s=k1; h=from:to:subject; b=${
      base64(chance, 200).trim()
    }`,
    `From: Sender ${n % 397} <sender${n % 397}@sender${n % 97}.example>`,
    "To: Reader <reader@reader.example>",
    `Subject: ${textOf(chance, 3 + Math.floor(chance() * 6))}`,
    `Message-ID: <${n}.${n * 7}@sender${n % 97}.example>`,
    ...(n % 3 === 0 ? [`In-Reply-To: <${n - 1}.${(n - 1) * 7}@sender${(n - 1) % 97}.example>`] : []),
    `Date: ${new Date(1_790_000_000_000 - n * 600_000).toUTCString().replace("GMT", "+0000")}`,
    "MIME-Version: 1.0",
  ]
  const plain = ["Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", text, ""]
  if (kind < 0.55) return [...head, ...plain].join("\r\n")
  const paragraph = (word: string) =>
    `<p style="margin:0 0 16px 0;font-family:Arial,sans-serif;line-height:24px">${word}</p>`
  const html = `<html><body><table width="600"><tr><td>${
    Array.from({ length: 12 }, () => paragraph(textOf(chance, 20 + Math.floor(chance() * 60)))).join("\r\n")
  }</td></tr></table></body></html>`
  const alternative = [
    'Content-Type: multipart/alternative; boundary="alternative"',
    "",
    "--alternative",
    ...plain,
    "--alternative",
    "Content-Type: text/html; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    html,
    "--alternative--",
    "",
  ]
  if (kind < 0.85) return [...head, ...alternative].join("\r\n")
  return [
    ...head,
    'Content-Type: multipart/mixed; boundary="mixed"',
    "",
    "--mixed",
    ...alternative,
    "--mixed",
    `Content-Type: application/pdf; name="file-${n}.pdf"`,
    "Content-Transfer-Encoding: base64",
    `Content-Disposition: attachment; filename="file-${n}.pdf"`,
    "",
    base64(chance, 10_000 + Math.floor(chance() * 65_000)),
    "--mixed--",
    "",
  ].join("\r\n")
}
