/**
 * Every parser of what others send, with what it is fed and what must hold whatever that is. A parser may refuse; it may not
 * throw, not take long, and not hand on what the database cannot hold.
 */
import { Duration, Effect, Option, Result, Schema, Stream } from "effect"
import { type ImportFormat, parse } from "../../src/domain/ImportFile.ts"
import { parseRetryAfter } from "../../src/domain/ProviderError.ts"
import { parseDuration } from "../../src/domain/Settings.ts"
import { refusalOf as gmailRefusal } from "../../src/mail/gmail/GmailErrors.ts"
import { batchContentType, decodeBatch } from "../../src/mail/gmail/GmailBatch.ts"
import { readCursor } from "../../src/mail/gmail/GmailCursor.ts"
import { HistoryPage, lastWords } from "../../src/mail/gmail/GmailHistory.ts"
import { GmailMessage, toBody, toUpsert as fromGmail } from "../../src/mail/gmail/GmailMessage.ts"
import { readPush } from "../../src/mail/gmail/GmailWatch.ts"
import { refusalOf as graphRefusal } from "../../src/mail/graph/GraphErrors.ts"
import { DeltaPage, GraphMessage, toChange } from "../../src/mail/graph/GraphMessage.ts"
import { decodeCursor as decodeImapCursor } from "../../src/mail/imap/ImapCursor.ts"
import { refusalOf as imapRefusal } from "../../src/mail/imap/ImapErrors.ts"
import { toUpsert as fromImap } from "../../src/mail/imap/ImapMessage.ts"
import { uidOf } from "../../src/mail/imap/ImapUids.ts"
import { decodeAnswer } from "../../src/mail/MailRequests.ts"
import { textOfHtml } from "../../src/mail/mime/HtmlText.ts"
import { type MimeMessage, parseMime } from "../../src/mail/mime/MimeMessage.ts"
import { googleRefusal } from "../../src/oauth/Google.ts"
import { microsoftRefusal } from "../../src/oauth/Microsoft.ts"
import { decodeBody, redemptionOf, type TokenAnswer } from "../../src/oauth/TokenEndpoint.ts"
import { hostOf, isPublic, parseTarget } from "../../src/programs/webhooks/WebhookAddress.ts"
import { decodeCursor } from "../../src/storage/Cursor.ts"
import { searchQuery } from "../../src/storage/mail/SearchQuery.ts"
import { vectorOf } from "../../src/storage/mail/SearchWords.ts"
import { hostileTexts, mutated, mutatedJson, type Random } from "./Random.ts"
import { clientId, files, gmailMessage, graphMessage, html, imapRow, mime, tokenAnswers } from "./Samples.ts"

export interface Parser {
  readonly name: string
  /** An input, made by chance. */
  readonly make: (random: Random) => unknown
  /** What is wrong with what became of it; undefined = nothing. A promise or an effect is awaited. */
  readonly run: (input: never) => string | undefined | Promise<string | undefined>
}

const parser = <A>(
  name: string,
  make: (random: Random) => A,
  run: (input: A) => string | undefined | Promise<string | undefined>,
): Parser => ({ name, make, run: run as Parser["run"] })

const unless = (fits: boolean, what: string): string | undefined => fits ? undefined : what

/** One of the samples, changed; now and then something altogether strange. */
const from = (...samples: ReadonlyArray<string>) => (random: Random): string =>
  random.chance(0.1) ? random.pick(hostileTexts) : mutated(random, random.pick(samples))

const jsonFrom = (...samples: ReadonlyArray<unknown>) => (random: Random): unknown => {
  let value: unknown = random.pick(samples)
  for (let left = 1 + random.below(3); left > 0; left--) value = mutatedJson(random, value)
  return value
}

/** The bytes of a text, or what is left of them. */
const bytesOf = (random: Random, text: string): Uint8Array<ArrayBuffer> => {
  const bytes = new TextEncoder().encode(text)
  if (random.chance(0.2)) { for (let left = 4; left > 0; left--) bytes[random.below(bytes.length)] = random.below(256) }
  return bytes
}

const pieces = (random: Random, bytes: Uint8Array): ReadonlyArray<Uint8Array> => {
  const list: Array<Uint8Array> = []
  for (let at = 0; at < bytes.length;) {
    const to = Math.min(bytes.length, at + 1 + random.below(random.chance(0.5) ? 8 : bytes.length))
    list.push(bytes.slice(at, to))
    at = to
  }
  return list
}

const imports = (Object.keys(files) as Array<ImportFormat>).map((format) =>
  parser(
    `import file (${format})`,
    (random) => {
      const text = random.chance(0.2)
        ? mutated(random, random.pick(Object.values(files).flat()))
        : mutated(random, files[format]![0]!, [...hostileTexts, ",", '"', "----", "\n", "\r", "{", "}", "[", "]"])
      const bytes = bytesOf(random, text)
      return { bytes, pieces: pieces(random, bytes) }
    },
    async ({ bytes, pieces }) => {
      // Whole, and in pieces: the same rows.
      const rows = (list: ReadonlyArray<Uint8Array>) =>
        Effect.runPromise(
          Stream.fromIterable(list).pipe(
            parse(format, {}, { maxRowLength: 4_000, minPieceLength: 1 }),
            Stream.runCollect,
            Effect.result,
          ),
        )
      const [whole, cut] = [await rows([bytes]), await rows(pieces)]
      const lineOf = JSON.stringify(
        Result.isSuccess(whole) ? whole.success : [whole.failure.code, whole.failure.message],
      )
      const again = JSON.stringify(Result.isSuccess(cut) ? cut.success : [cut.failure.code, cut.failure.message])
      if (lineOf !== again) return `other rows when it comes in pieces: ${lineOf.slice(0, 300)} ${again.slice(0, 300)}`
      if (Result.isFailure(whole)) return unless(!whole.failure.message.includes("CANARY"), "a secret in the message")
      const last = new TextDecoder().decode(bytes).split(/\r\n|\n|\r/).length
      return unless(
        whole.success.every((row) => row.line >= 1 && row.line <= last),
        `a line that is none: ${lineOf.slice(0, 300)}`,
      )
    },
  )
)

/** What is to be stored as a message: dates and texts that the database takes. */
const unstorable = (value: unknown): string | undefined => {
  if (typeof value === "number" && !Number.isFinite(value)) return `a number that is none: ${value}`
  if (typeof value !== "object" || value === null) return undefined
  for (const one of Object.values(value)) {
    const fault = unstorable(one)
    if (fault !== undefined) return fault
  }
  return undefined
}

const nested = (random: Random, open: string, close: string): string => {
  const depth = random.pick([100, 3_000, 50_000])
  return open.repeat(depth) + "x" + (random.chance(0.5) ? close.repeat(depth) : "")
}

const answerOf = (body: unknown, status: number): TokenAnswer => ({
  status,
  slowDown: status === 429,
  retryAfterMillis: undefined,
  body: decodeBody(typeof body === "string" ? body : JSON.stringify(body) ?? ""),
})

const statuses = [0, 200, 204, 301, 400, 401, 403, 404, 408, 410, 429, 500, 503, 509, 599]

/** Classes that end an account, or hand it to somebody. */
const deadly = new Set(["needs_user", "blocked"])

const tokenParser = (
  name: string,
  refusal: (answer: TokenAnswer) => { readonly class: string; readonly message: string },
) =>
  parser(
    `token answers (${name})`,
    (random) => ({
      garbage: random.chance(0.5) ? random.pick(hostileTexts) : undefined,
      body: jsonFrom(...tokenAnswers)(random),
      status: random.pick(statuses),
    }),
    ({ body, garbage, status }) => {
      const answer = answerOf(garbage ?? body, status)
      redemptionOf(answer)
      const { class: failureClass } = refusal(answer)
      return unless(answer.body !== undefined || !deadly.has(failureClass), `garbage is taken for ${failureClass}`)
    },
  )

/** What becomes a `tsquery` or a `tsvector`: Postgres is asked about all of them in the end. */
export const texts: { readonly queries: Set<string>; readonly vectors: Set<string> } = {
  queries: new Set(),
  vectors: new Set(),
}
const mostTexts = 2_000

const decodeGraph = Schema.decodeUnknownResult(GraphMessage)
const decodePage = Schema.decodeUnknownResult(DeltaPage)
const decodeHistory = Schema.decodeUnknownResult(HistoryPage)

const isMime = ({ header, preview }: MimeMessage): boolean =>
  !header.subject.includes("\0") && header.subject.isWellFormed() && preview.isWellFormed()

export const parsers: ReadonlyArray<Parser> = [
  ...imports,
  parser("durations", from("2 seconds", "500 millis", "1.5 days", "3 weeks"), (text) => {
    const parsed = parseDuration(text)
    if (Option.isNone(parsed)) return undefined
    const millis = Duration.toMillis(parsed.value)
    return unless(Number.isFinite(millis) && millis >= 0 && millis <= 36_500 * 86_400_000, `a duration of ${millis}`)
  }),
  parser(
    "Retry-After",
    (random) => ({
      header: from("120", "0.5", "Wed, 25 Nov 2026 10:00:00 GMT", "1e3", " 7 ")(random),
      date: random.chance(0.5) ? from("Wed, 25 Nov 2026 09:59:00 GMT")(random) : undefined,
    }),
    ({ date, header }) => {
      const millis = parseRetryAfter(header, date, 1_764_064_800_000)
      return unless(millis === undefined || (millis >= 0 && millis <= 86_400_000), `a pause of ${millis}`)
    },
  ),
  parser("cursors", from("WyIwMTkiXQ", "WzE3NjQsIjAxOSJd", "bnVsbA"), (text) => {
    const parts = decodeCursor(text, 2)
    return unless(Option.isNone(parts) || parts.value.length === 2, "a cursor of another length")
  }),
  parser(
    "cursors of IMAP and Gmail",
    from(
      '{"v":1,"key":"INBOX","uidValidity":"1","next":5}',
      '{"v":1,"historyId":"12","pageToken":"x"}',
      "INBOX/1.5",
    ),
    (text) => {
      decodeImapCursor(text)
      readCursor(text)
      const uid = uidOf(text, "1")
      return unless(uid === undefined || Number.isSafeInteger(uid), `a UID of ${uid}`)
    },
  ),
  parser(
    "search queries",
    (random) => ({
      q: from('invoice "exact phrase" from:ada@example.com -not müller 发票 a_b.c@d')(random),
      sender: random.chance(0.3) ? from("ada@example.com", "@example.com")(random) : undefined,
    }),
    ({ q, sender }) => {
      const query = searchQuery({ q, from: sender, accountId: clientId })
      if (typeof query === "string" && texts.queries.size < mostTexts) texts.queries.add(query)
      return undefined
    },
  ),
  parser(
    "words of messages",
    (random) => ({
      subject: mutated(random, "Rechnung 发票 O'Brien \\ a@b.example"),
      texts: [mutated(random, html[0]!), random.chance(0.02) ? random.pick(["x", "字", "a@"]).repeat(300_000) : ""],
      receivedAt: random.pick([null, 0, 8.64e15, -6.2e13, 1_764_064_800_000]),
    }),
    ({ receivedAt, subject, texts: list }) => {
      const vector = vectorOf(clientId, { subject, texts: list, receivedAt, sender: subject, people: [subject] }, 1e12)
      // As it is handed to the database.
      const stored = vector.replaceAll("\0", "").toWellFormed()
      if (texts.vectors.size < mostTexts / 4) texts.vectors.add(stored)
      return unless(stored.length < 1_048_576 * 2, `a vector of ${stored.length}`)
    },
  ),
  parser(
    "targets of webhooks",
    from(
      "https://example.com/hook?a=1",
      "http://127.0.0.1/",
      "http://[::1]:80/",
      "http://[::ffff:10.0.0.1]/",
      "http://0300.0250.1/",
      "http://2130706433/",
      "https://user:p@example.com",
      "http://169.254.169.254/",
      "http://100.64.0.1/",
      "http://[fd00::1]/",
      "http://[64:ff9b::7f00:1]/",
    ),
    (text) => {
      const url = Effect.runSync(Effect.result(parseTarget(text)))
      if (Result.isFailure(url)) return undefined
      const { hostname, username, password } = url.success
      if (username !== "" || password !== "") return "a password goes through"
      const host = hostOf(url.success)
      // However it is written, the URL shows four decimal numbers by now.
      const isPrivate = /^(?:127|10|0|169\.254|192\.168)\.\d/.test(host) || /^(?:::1?$|f[cd]..:|fe[89ab].:)/i.test(host)
      return unless(!(isPrivate && isPublic(host)), `${hostname} counts as public`)
    },
  ),
  tokenParser("Microsoft", microsoftRefusal),
  tokenParser("Google", googleRefusal),
  parser(
    "refusals of Graph and Gmail",
    (random) => ({
      status: random.pick(statuses),
      body: random.chance(0.2) ? nested(random, '{"error":', "}") : from(
        '{"error":{"code":"ErrorAccessDenied","message":"m","innerError":{"code":"x"}}}',
        '{"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}],"status":"X","details":[{"reason":"y"}]}}',
        "<html>503</html>",
      )(random),
      retryAfter: random.chance(0.5) ? random.pick(hostileTexts) : undefined,
    }),
    ({ body, retryAfter, status }) => {
      const answers = [
        graphRefusal({ status, body, retryAfter, authenticate: retryAfter }, 1e12),
        gmailRefusal({ status, body, retryAfter }, 1e12),
      ]
      return answers.map(({ error }) => error.retryAfterMillis).find((millis) =>
          millis !== undefined && !(millis >= 0)
        ) ===
          undefined
        ? undefined
        : "a pause that is none"
    },
  ),
  parser("messages of Graph", jsonFrom(graphMessage), (value) => {
    const message = decodeGraph(value)
    decodePage({ value: [value] })
    return Result.isFailure(message) ? undefined : unstorable(toChange(message.success))
  }),
  parser(
    "messages of Gmail",
    (random) => {
      let deep: unknown = { mimeType: "text/plain", body: { data: "eA" } }
      if (random.chance(0.05)) {
        for (let left = random.pick([50, 500, 5_000]); left > 0; left--) {
          deep = { mimeType: "multipart/mixed", parts: [deep] }
        }
        return { ...gmailMessage, payload: deep }
      }
      return jsonFrom(gmailMessage)(random)
    },
    (value) => {
      const message = Effect.runSync(Effect.result(decodeAnswer(GmailMessage, JSON.stringify(value) ?? "", "strange")))
      if (Result.isFailure(message)) return undefined
      const names = new Map([["Label_1", "One"]])
      for (const format of ["minimal", "metadata", "full"] as const) {
        const fault = unstorable(fromGmail(message.success, format, names))
        if (fault !== undefined) return fault
      }
      return unstorable(toBody(message.success))
    },
  ),
  parser(
    "history of Gmail",
    jsonFrom({
      historyId: "12",
      history: [{
        id: "1",
        messagesAdded: [{ message: { id: "a", labelIds: ["INBOX"] } }],
        messagesDeleted: [{ message: { id: "b" } }],
        labelsAdded: [{ message: { id: "c" }, labelIds: ["X"] }],
        labelsRemoved: [{ message: { id: "d" }, labelIds: ["X"] }],
      }],
    }, { message: { data: "eyJlbWFpbEFkZHJlc3MiOiJhIiwiaGlzdG9yeUlkIjoxfQ", messageId: "1" }, subscription: "s" }),
    (value) => {
      readPush(value)
      const page = decodeHistory(value)
      if (Result.isSuccess(page)) lastWords(page.success)
      return undefined
    },
  ),
  parser(
    "batches of Gmail",
    (random) => ({
      type: from(batchContentType, 'multipart/mixed; boundary="b"')(random),
      text: from(
        "--b\r\nContent-Type: application/http\r\nContent-ID: <response-part-0>\r\n\r\nHTTP/1.1 200 OK\r\nRetry-After: 3\r\n\r\n{}\r\n" +
          '--b\r\nContent-ID: response-part-1\n\nHTTP/1.1 404\n\n{"error":{}}\n--b--',
      )(random),
    }),
    ({ text, type }) => {
      const parts = decodeBatch(type, text)
      return unless([...parts.values()].every(({ status }) => status >= 0 && status <= 999), "a status that is none")
    },
  ),
  parser(
    "MIME",
    (random) => {
      const strange = random.chance(0.03)
        ? random.pick([
          "Subject: " + "=?utf-8?Q?a?= ".repeat(5_000) + "\r\n\r\n",
          "To: " + '"a" <a@b>,'.repeat(10_000) + "\r\n\r\n",
          "To: " + "(".repeat(20_000) + "\r\n\r\n",
          ("Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n").repeat(2_000),
          "Content-Type: text/html\r\n\r\n" + nested(random, "<div>", "</div>"),
          "X-A: " + " \r\n ".repeat(20_000) + "\r\n\r\nx",
        ])
        : mutated(random, random.pick(mime), [...hostileTexts, "\r\n", "--b1", "--b2--", "=?", "?=", ";", '"', "\0"])
      return bytesOf(random, strange)
    },
    async (bytes) => {
      const message = await parseMime(bytes).catch((error: unknown) => error instanceof Error ? undefined : null)
      if (message === null) return "something else than an error is thrown"
      return unless(message === undefined || isMime(message), "what the database cannot hold")
    },
  ),
  parser(
    "HTML",
    (random) =>
      random.chance(0.02)
        ? nested(random, random.pick(["<div>", "<table><tr><td>", "<b>", "<ul><li>", "<!--", "&amp;"]), "</div>")
        : mutated(random, html[0]!, [
          ...hostileTexts,
          "<",
          ">",
          "<!--",
          "<![CDATA[",
          "&#x",
          "</",
          "<script",
          "<table>",
        ]),
    (text) => {
      textOfHtml(text)
      return undefined
    },
  ),
  parser(
    "answers of IMAP",
    jsonFrom(imapRow),
    (value) => {
      // ImapFlow makes the types right; what is in them is the server's.
      const row = value as Record<string, unknown> | null
      const headers = new TextEncoder().encode(JSON.stringify(value)?.replaceAll(",", "\r\n") ?? "")
      const upsert = fromImap({
        seq: 1,
        uid: 5,
        size: 3,
        flags: new Set(asTexts(row?.["flags"])),
        labels: new Set(asTexts(row?.["labels"])),
        internalDate: typeof row?.["internalDate"] === "string" ? row["internalDate"] : undefined,
        envelope: { subject: asText(row?.["envelope"]), from: [{ name: asText(row?.["envelope"]) }] },
        headers,
      } as never, { key: "INBOX", uidValidity: "1" })
      imapRefusal(Object.assign(new Error(asText(value)), row ?? {}))
      return unstorable(upsert)
    },
  ),
]

const asText = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value) ?? ""
const asTexts = (value: unknown): ReadonlyArray<string> => Array.isArray(value) ? value.map(asText) : []
