/** Google accounts from the import file to the API: a simulated provider and a server, each a process of its own. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { cli, folder, started } from "./cli.ts"

const Items = Schema.Struct({
  items: Schema.Array(Schema.Struct({
    id: Schema.String,
    email: Schema.optionalKey(Schema.String),
    channel: Schema.optionalKey(Schema.String),
    displayName: Schema.optionalKey(Schema.String),
    role: Schema.optionalKey(Schema.String),
    messages: Schema.optionalKey(Schema.Number),
    subject: Schema.optionalKey(Schema.String),
    categories: Schema.optionalKey(Schema.Array(Schema.String)),
  })),
})

const Held = Schema.Struct({
  messages: Schema.Array(Schema.Struct({ id: Schema.String, folderId: Schema.String, subject: Schema.String })),
})

describe("Gmail, end to end", () => {
  it.live("an account is imported, synced, and its mail is in the API", () =>
    Effect.gen(function* () {
      const cwd = yield* folder
      const simulate = yield* started(
        ["simulate", "--accounts", "3", "--google-accounts", "2", "--messages", "70", "--file", "accounts.csv"],
        { cwd },
      )
      const [, simulator = ""] = yield* simulate.line(/^simulator listening on (http:\/\/127\.0\.0\.1:\d+)$/m)
      const settings: Record<string, string> = {}
      for (const name of ["MICROSOFT_AUTHORITY", "GRAPH_URL", "GOOGLE_TOKEN_URL", "GOOGLE_AUTHORITY", "GMAIL_URL"]) {
        const [, value = ""] = yield* simulate.line(new RegExp(`^MAILFLEET_${name}=(\\S+)$`, "m"))
        settings[`MAILFLEET_${name}`] = value
      }
      const [, clientId = "", secret = ""] = yield* simulate.line(
        /^app (\S+googleusercontent\S+) has the secret (\S+)$/m,
      )
      const serve = yield* started(["serve"], {
        cwd,
        env: { ...settings, MAILFLEET_PORT: "0", MAILFLEET_SCHEDULES: "off", MAILFLEET_MAIL_BODY_DAYS: "all" },
      })
      const [, url = ""] = yield* serve.line(/^listening on (\S+)$/m)
      const env = { MAILFLEET_URL: url }
      const run = (args: ReadonlyArray<string>, stdin?: string) =>
        Effect.map(cli(args, { cwd, env, ...(stdin === undefined ? {} : { stdin }) }), (ended) => {
          assert.strictEqual(ended.code, 0, ended.stdout + ended.stderr)
          return ended.stdout
        })
      yield* run(["apps", "add", "google", clientId, "--confidential"], secret)
      assert.match(yield* run(["import", "accounts.csv"]), /3 succeeded, 0 failed/)
      assert.match(yield* run(["sync", "--all"]), /3 succeeded, 0 failed/)

      const key = (yield* Effect.promise(() => Deno.readTextFile(`${cwd}/.mailfleet/admin.key`))).trim()
      const get = (path: string) =>
        Effect.promise(async () => {
          const response = await fetch(url + path, { headers: { authorization: `Bearer ${key}` } })
          assert.strictEqual(response.status, 200, path)
          return await response.json()
        })
      const list = (path: string) => Effect.map(get(path), (answer) => Schema.decodeUnknownSync(Items)(answer).items)
      const accounts = yield* list("/v1/accounts")
      const gmail = accounts.filter(({ channel }) => channel === "gmail")
      assert.lengthOf(gmail, 2)
      for (const { email = "", id } of gmail) {
        const held = yield* Effect.promise(async () =>
          Schema.decodeUnknownSync(Held)(await (await fetch(`${simulator}/_simulator/mailboxes/${email}`)).json())
        )
        const folders = yield* list(`/v1/accounts/${id}/folders?limit=100`)
        assert.strictEqual(folders.reduce((sum, { messages = 0 }) => sum + messages, 0), 70)
        const inbox = yield* list(`/v1/accounts/${id}/messages?limit=100&folder=inbox`)
        assert.deepStrictEqual(
          inbox.map(({ subject = "" }) => subject),
          held.messages.filter(({ folderId }) => folderId === "INBOX").map(({ subject }) => subject),
        )
        const whole = Schema.decodeUnknownSync(Schema.Struct({ text: Schema.String }))(
          yield* get(`/v1/messages/${inbox[0]!.id}`),
        )
        assert.isString(whole.text)
      }
    }), 240_000)
})
