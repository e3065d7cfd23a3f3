/** A Graph that answers by script. */
import { Context, DateTime, type Duration, Effect, Layer, Redacted } from "effect"
import type { MailAccount } from "../../../src/mail/Mailbox.ts"
import { Mailboxes } from "../../../src/mail/Mailboxes.ts"
import { Tokens } from "../../../src/oauth/Tokens.ts"
import { graphOver, serve } from "../../support/simulator.ts"

const defaultAccount: MailAccount = {
  id: "a",
  email: "ada@example.com",
  provider: "microsoft",
  channel: "graph",
  grantId: "g",
  clientId: "c",
  byName: false,
}

/** A Graph that answers by script, and what it was asked. */
export const scripted = Effect.fnUntraced(function* (
  answer: (request: Request, origin: string, count: number, body: string) => Response | Promise<Response>,
  account: Partial<MailAccount> = {},
) {
  const asked: Array<{
    readonly method: string
    readonly url: string
    readonly path: string
    readonly token: string | null
    readonly prefer: string | null
    readonly body: string
    /** Milliseconds. */
    readonly at: number
  }> = []
  const origin: string = yield* serve(async (request) => {
    const body = await request.text()
    asked.push({
      method: request.method,
      url: request.url,
      path: new URL(request.url).pathname,
      token: request.headers.get("authorization"),
      prefer: request.headers.get("prefer"),
      body,
      at: performance.now(),
    })
    return answer(request, origin, asked.length, body)
  })
  let issued = 0
  const token = (validFor: Duration.Input) =>
    Effect.sync(() => ({
      token: Redacted.make(`token ${++issued}`),
      resource: "graph" as const,
      expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), validFor),
    }))
  const tokens = Layer.succeed(
    Tokens,
    Tokens.of({
      accessToken: () => token("1 hour"),
      refresh: () => Effect.delay(token("1 hour"), 20),
      refreshSince: () => Effect.void,
    }),
  )
  const context = yield* Layer.build(graphOver(origin).pipe(Layer.provide(tokens)))
  const mailbox = yield* Context.get(context, Mailboxes).open({ ...defaultAccount, ...account }, {
    ids: () => Effect.succeed([]),
  })
  return { mailbox, asked, origin, issued: () => issued }
})

export const refused = (status: number, code: string, headers: Record<string, string> = {}) =>
  Response.json({ error: { code, message: "secret" } }, { status, headers })

export const failure = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => "class" in error ? error.class : error._tag)
