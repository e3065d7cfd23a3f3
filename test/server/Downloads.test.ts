/** Attachments and mail choices over HTTP. */
import { assert, describe, it as plain } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Account } from "../../src/domain/Account.ts"
import { Message, Thread } from "../../src/domain/Mail.ts"
import { contentDisposition, safeContentType } from "../../src/server/Downloads.ts"
import { Folders } from "../../src/storage/mail/Folders.ts"
import { MessageWriter } from "../../src/storage/mail/MessageWriter.ts"
import { onDatabases } from "../support/databases.ts"
import { acquireLease, makeAccount, page, remoteFolder, upsert } from "../support/mail.ts"
import { raw, refused, server, taken } from "./stack.ts"

const MessagePage = Schema.Struct({ items: Schema.Array(Message), nextCursor: Schema.NullOr(Schema.String) })
const ThreadPage = Schema.Struct({ items: Schema.Array(Thread), nextCursor: Schema.NullOr(Schema.String) })

/** The mailbox of `stack.ts` sends `content of <id>` for each attachment but those called `gone`. */
const file = (remoteId: string, more: object = {}) => ({
  remoteId,
  name: "Rechnung März.pdf",
  contentType: "application/pdf",
  size: 3,
  inline: false,
  contentId: null,
  ...more,
})

describe("Names and types of attachments", () => {
  plain("are harmless", () => {
    assert.strictEqual(
      contentDisposition('../a/\u202egpj"\r\nX: y.exe'),
      `attachment; filename="_a_gpj_X_ y.exe"; filename*=UTF-8''_a_gpj_X_%20y.exe`,
    )
    assert.strictEqual(
      contentDisposition("Müller (1).txt"),
      `attachment; filename="M_ller (1).txt"; filename*=UTF-8''M%C3%BCller%20%281%29.txt`,
    )
    for (const name of ["", "..", " . ", "\0"]) assert.match(contentDisposition(name), /filename="(attachment|_)"/)
    assert.match(contentDisposition(`${"x".repeat(300)}.docx`), /x{100,}\.docx"/)
    assert.strictEqual(safeContentType("image/png"), "image/png")
    for (
      const type of ["text/html", "image/svg+xml", "application/javascript", "text/xml", "x", "a/b\r\nc: d", "A/B"]
    ) {
      assert.strictEqual(safeContentType(type), "application/octet-stream", type)
    }
  })
})

await onDatabases("Downloads", server, (it) => {
  const makeMail = Effect.gen(function* () {
    const account = yield* makeAccount({})
    const lease = yield* acquireLease(account.id)
    const [inbox] = yield* Effect.flatMap(Folders, (folders) => folders.store(lease, [], [remoteFolder("i")]))
    const attachments = [
      file("a"),
      file("old"),
      file("gone", { name: "other.pdf" }),
      file("b", { size: 60_000_000 }),
      file("c", { contentType: "text/html", size: null }),
      file("refused"),
    ]
    yield* Effect.flatMap(
      MessageWriter,
      (writer) =>
        writer.applyPage(lease, inbox!, page(upsert("m", { subject: "s", threadId: "T", attachments, text: "t" }))),
    )
    const { items } = yield* taken(MessagePage, 200, `/v1/accounts/${account.id}/messages?threadId=T&unread=true`)
    return { account, message: items[0]! }
  })

  it.effect("send what the provider sends, to be saved and not run", () =>
    Effect.gen(function* () {
      const { account, message } = yield* makeMail
      assert.deepStrictEqual(message.attachments.map(({ id }) => id), ["1", "2", "3", "4", "5", "6"])
      const path = `/v1/messages/${message.id}/attachments`
      for (
        const [id, type, text] of [
          ["1", "application/pdf", "content of a"],
          ["2", "application/pdf", "content of new"],
          ["5", "application/octet-stream", "content of c"],
        ]
      ) {
        const answer = yield* raw(`${path}/${id}`)
        assert.strictEqual(answer.status, 200)
        assert.strictEqual(yield* Effect.promise(() => answer.text()), text)
        assert.strictEqual(answer.headers.get("content-type"), type)
        assert.strictEqual(answer.headers.get("x-content-type-options"), "nosniff")
        assert.match(
          answer.headers.get("content-disposition")!,
          /^attachment; .*filename\*=UTF-8''Rechnung%20M%C3%A4rz.pdf$/,
        )
      }
      yield* refused(410, "attachment_gone", `${path}/3`)
      yield* refused(413, "attachment_too_large", `${path}/4`)
      yield* refused(503, "throttled", `${path}/6`)
      yield* refused(404, "not_found", `${path}/7`)
      yield* refused(404, "not_found", `/v1/messages/${account.id}/attachments/1`)
      yield* refused(401, "unauthorized", `${path}/1`, { key: null })
      const threads = yield* taken(ThreadPage, 200, `/v1/accounts/${account.id}/threads`)
      assert.deepStrictEqual(threads.items.map(({ messages, threadId }) => [threadId, messages]), [["T", 1]])
      yield* refused(404, "not_found", `/v1/accounts/${message.id}/threads`)
    }))

  it.effect("what is kept of an account's mail is chosen, and wrong choices are named", () =>
    Effect.gen(function* () {
      const { account } = yield* makeMail
      const path = `/v1/accounts/${account.id}`
      const patch = (mail: object | null) => ({ method: "PATCH", json: { mail } })
      const { mail } = yield* taken(Account, 200, path)
      assert.deepStrictEqual(mail, { windowDays: null, bodyDays: 90, folders: null, retentionDays: null })
      const chosen = yield* taken(Account, 200, path, patch({ bodyDays: null, folders: ["inbox", "Clients/North"] }))
      assert.deepStrictEqual(chosen.mail, { ...mail, bodyDays: null, folders: ["inbox", "Clients/North"] })
      const more = yield* taken(Account, 200, path, patch({ windowDays: 30 }))
      assert.deepStrictEqual(more.mail, { ...chosen.mail, windowDays: 30 })
      assert.deepStrictEqual((yield* taken(Account, 200, path, patch(null))).mail, mail)
      for (
        const [field, value] of [["windowDays", 0], ["bodyDays", -1], ["retentionDays", 1.5], ["folders", []]] as const
      ) {
        const { problem } = yield* refused(422, "invalid_body", path, patch({ [field]: value }))
        assert.strictEqual(problem.issues?.[0]?.field, `mail.${field}`)
      }
    }))
})
