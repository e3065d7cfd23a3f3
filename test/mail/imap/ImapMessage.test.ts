import { assert, describe, it } from "@effect/vitest"
import type { FetchMessageObject } from "imapflow"
import { decodeCursor, encodeCursor, noMessages } from "../../../src/mail/imap/ImapCursor.ts"
import { liesElsewhere, toFlags, toUpsert } from "../../../src/mail/imap/ImapMessage.ts"

const space = { key: "[Gmail]/All Mail", uidValidity: "11" }

const row = (fields: Partial<FetchMessageObject>): FetchMessageObject => ({ seq: 1, uid: 7, ...fields })

describe("A message of Gmail", () => {
  it("in All Mail lies elsewhere if it has a label that is a folder", () => {
    const labelled = (...labels: ReadonlyArray<string>) => liesElsewhere(row({ labels: new Set(labels) }))
    assert.isTrue(labelled("\\Inbox"))
    assert.isTrue(labelled("\\Starred", "Work/Bills"))
    assert.isFalse(labelled())
    assert.isFalse(labelled("\\Starred", "\\Important"))
    assert.isFalse(liesElsewhere(row({})))
  })

  it("is named by Gmail's own ids, and its labels are categories", () => {
    const { fields, remoteId, twinKey } = toUpsert(
      row({
        emailId: "1278455344230334865",
        threadId: "1266894439832287888",
        labels: new Set(["\\Inbox", "Work", "\\Starred"]),
        flags: new Set(["\\Seen", "$Forwarded"]),
        envelope: { messageId: "<a@example.org>" },
      }),
      space,
    )
    assert.deepStrictEqual(
      [remoteId, twinKey, fields.threadId, fields.internetMessageId],
      ["[Gmail]/All Mail/11.7", "1278455344230334865", "1266894439832287888", "<a@example.org>"],
    )
    assert.deepStrictEqual(fields.categories, ["$Forwarded", "Work"])
  })
})

describe("Flags", () => {
  it("are those of a known message, in whatever case they come", () =>
    assert.deepStrictEqual(
      toFlags(row({ flags: new Set(["\\SEEN", "\\Flagged", "\\draft", "\\Answered", "b", "a"]) }), space),
      {
        _tag: "Upsert",
        remoteId: "[Gmail]/All Mail/11.7",
        ifKnown: true,
        fields: { isRead: true, isFlagged: true, isDraft: true, categories: ["a", "b"] },
      },
    ))
})

describe("A message without a Message-ID", () => {
  it("is known again by what does not change when it moves", () => {
    const message = {
      internalDate: new Date(0),
      size: 100,
      envelope: { subject: "s", from: [{ address: "a@example.org" }] },
    }
    const key = toUpsert(row(message), space).twinKey
    assert.strictEqual(
      toUpsert(row({ ...message, uid: 9, flags: new Set(["\\Seen"]) }), { ...space, key: "B" }).twinKey,
      key,
    )
    assert.notStrictEqual(toUpsert(row({ ...message, size: 101 }), space).twinKey, key)
  })

  it("whose dates are none has none", () => {
    const { fields } = toUpsert(row({ internalDate: "nonsense", envelope: { date: "31-Feb-99999" } }), space)
    assert.deepStrictEqual([fields.receivedAt, fields.sentAt], [null, null])
  })
})

describe("A cursor", () => {
  it("keeps a MODSEQ of 63 bits", () => {
    const position = {
      v: 1,
      key: "INBOX",
      uidValidity: "4294967295",
      next: 4_294_967_295,
      modseq: "9223372036854775807",
    } as const
    assert.deepStrictEqual(decodeCursor(encodeCursor(position)), position)
  })

  it("of another channel, or of a folder without messages, is none", () => {
    for (const text of ["", "{}", "https://graph.microsoft.com/v1.0/x?$deltatoken=1", "12345", noMessages]) {
      assert.isUndefined(decodeCursor(text))
    }
  })
})
