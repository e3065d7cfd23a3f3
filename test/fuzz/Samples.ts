/** What parsers are fed with, before it is changed: one or two good inputs of each kind. */
import type { ImportFormat } from "../../src/domain/ImportFile.ts"

export const clientId = "11111111-2222-3333-4444-555555555555"

export const files: Readonly<Record<ImportFormat, ReadonlyArray<string>>> = {
  lines: [
    `ada@example.com----${clientId}----CANARY.token\r\nbob@example.com----hunter2CANARY----${clientId}----tok\n\n# end`,
  ],
  csv: [
    `\uFEFFemail,client_id,refresh_token,tags\r\nada@example.com,${clientId},"to""k",a;b\nbob@example.com,${clientId},t,"x\ny"`,
  ],
  ndjson: [`{"email":"ada@example.com","clientId":"${clientId}","refreshToken":"tok","tags":["a"]}\n{"email":"b"}\n`],
  json: [`[{"email":"ada@example.com","client_id":"${clientId}","refresh_token":"tok"},{"email":["b"],"tags":"a;b"}]`],
}

export const tokenAnswers = [
  { access_token: "a", refresh_token: "r", expires_in: 3_599, scope: "https://graph.microsoft.com/.default" },
  {
    error: "invalid_grant",
    error_description: "AADSTS70000: x\r\nTrace ID: 1",
    error_codes: [70_000],
    suberror: "bad_token",
    trace_id: "0",
    correlation_id: "1",
  },
  { error: "invalid_client", error_description: "AADSTS7000215: Invalid client secret", error_codes: ["7000215"] },
  { error: "invalid_grant", error_description: "Token has been expired or revoked." },
]

export const graphMessage = {
  id: "AAMk",
  subject: "s",
  from: { emailAddress: { name: "Ada", address: "ada@example.com" } },
  toRecipients: [{ emailAddress: { name: "B", address: "b@example.com" } }],
  receivedDateTime: "2026-11-25T10:00:00Z",
  sentDateTime: "2026-11-25T10:00:00Z",
  isRead: false,
  hasAttachments: true,
  body: { contentType: "html", content: "<p>Hi <img src='cid:1'></p>" },
  categories: ["a"],
  flag: { flagStatus: "flagged" },
}

export const gmailMessage = {
  id: "18c",
  threadId: "18c",
  labelIds: ["INBOX", "UNREAD", "Label_1"],
  snippet: "a &amp; b",
  internalDate: "1764064800000",
  sizeEstimate: 10,
  payload: {
    mimeType: "multipart/mixed",
    filename: "",
    headers: [
      { name: "Subject", value: "=?utf-8?B?SGk=?=" },
      { name: "From", value: "Ada <ada@example.com>" },
      { name: "Date", value: "Wed, 25 Nov 2026 10:00:00 +0000" },
      { name: "Content-Type", value: "multipart/mixed; boundary=x" },
    ],
    parts: [
      {
        mimeType: "text/plain",
        body: { data: "SGk", size: 2 },
        headers: [{ name: "Content-Type", value: "text/plain; charset=gb18030" }],
      },
      { mimeType: "text/html", body: { data: "PGI-", size: 2 } },
      { mimeType: "application/pdf", filename: "a.pdf", body: { attachmentId: "x", size: 3 } },
    ],
  },
}

export const mime = [
  'From: =?utf-8?Q?Ad=C3=A4?= <ada@example.com>\r\nTo: b@example.com, "C, D" <c@example.com>\r\nSubject: =?gb18030?B?xOO6ww==?=\r\n' +
  "Date: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\nMIME-Version: 1.0\r\n" +
  'Content-Type: multipart/mixed; boundary="b1"\r\n\r\n--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n' +
  "--b2\r\nContent-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nH=C3=A4 \r\n" +
  '--b2\r\nContent-Type: text/html; charset="windows-1252"\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+SGk8L3A+\r\n--b2--\r\n' +
  "--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody\r\n--b1\r\nContent-Disposition: attachment; filename*=utf-8''%e2%82%ac\r\n\r\nx\r\n--b1--\r\n",
  "Subject: plain\r\n\r\nbody",
]

export const html = [
  "<!doctype html><html><head><style>a{}</style><title>t</title></head><body><table><tr><td>a<td>b</table><ul><li>x<li>y</ul>" +
  "<a href='http://x/?a=1&amp;b'>l</a><img alt='i' src=cid:1><br>&nbsp;&#x1F600;&#0;&#99999999;<!-- c --><pre> p </pre></body></html>",
]

export const imapRow = {
  uid: 5,
  size: 100,
  flags: ["\\Seen", "x"],
  labels: ["\\Inbox", "y"],
  internalDate: "2026-11-25T10:00:00Z",
  threadId: "1",
  envelope: {
    subject: "s",
    date: "2026-11-25T10:00:00Z",
    messageId: "<a@b>",
    from: [{ name: "A", address: "a@b" }],
    to: [{ name: "A", address: "a@b" }],
  },
  bodyStructure: {
    type: "multipart/mixed",
    childNodes: [{ type: "text/plain", part: "1", size: 3, encoding: "base64" }, {
      type: "image/png",
      part: "2",
      id: "<x>",
      disposition: "inline",
      dispositionParameters: { filename: "a.png" },
    }],
  },
}
