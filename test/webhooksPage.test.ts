/** The receiver of docs/webhooks.md, as it stands there. */
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { fileURLToPath } from "node:url"
import { Webhook as Signer } from "standardwebhooks"
import { eventually } from "./support/processes.ts"

const root = new URL("../", import.meta.url)
const secret = `whsec_${btoa("d".repeat(32))}`

/** Installed here already, and on a free port. */
const receiver = /```ts\n(.*?)```/s.exec(Deno.readTextFileSync(new URL("docs/webhooks.md", root)))![1]!
  .replace(/npm:standardwebhooks@[\d.]+/, "standardwebhooks").replace("port: 3000", "port: 0")

it.live("verifies what it is sent, and takes each delivery once", () =>
  Effect.gen(function* () {
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        new Deno.Command(Deno.execPath(), {
          args: ["eval", "--ext=ts", receiver],
          cwd: fileURLToPath(root),
          env: { WEBHOOK_SECRET: secret, NO_COLOR: "1" },
          stdout: "piped",
          stderr: "piped",
        }).spawn()
      ),
      (child) =>
        Effect.promise(() => {
          child.kill("SIGKILL")
          return child.status
        }),
    )
    let output = ""
    const read = (stream: ReadableStream<Uint8Array>) =>
      stream.pipeThrough(new TextDecoderStream()).pipeTo(new WritableStream({ write: (text) => void (output += text) }))
    void Promise.all([read(child.stdout), read(child.stderr)]).catch(() => {})

    const listening = () => /http:\/\/\S+?:(\d+)/.exec(output)?.[1]
    const port = yield* eventually("it listens", Effect.sync(listening), (port) => port !== undefined)

    const send = (id: string, signedBody: string, body = signedBody) =>
      Effect.promise(async () => {
        const now = new Date()
        const answer = await fetch(`http://127.0.0.1:${port}/`, {
          method: "POST",
          body,
          headers: {
            "webhook-id": id,
            "webhook-timestamp": String(Math.floor(now.getTime() / 1_000)),
            "webhook-signature": new Signer(secret).sign(id, now, signedBody),
          },
        })
        await answer.body?.cancel()
        return answer.status
      })
    const body = JSON.stringify({ type: "message.created", timestamp: "now", data: { email: "ada@example.com" } })
    assert.strictEqual(yield* send("chg_1", body), 204)
    assert.strictEqual(yield* send("chg_1", body), 204)
    assert.strictEqual(yield* send("chg_2", body, `${body} `), 400)
    yield* eventually("it says so", Effect.sync(() => output), (text) => text.includes("message.created"))
    assert.lengthOf(output.match(/message\.created ada@example\.com/g) ?? [], 1)
  }), 60_000)
