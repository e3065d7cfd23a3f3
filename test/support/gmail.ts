/** A mailbox at the simulated Gmail, read over HTTP, and what came of it. */
import { Context, DateTime, Duration, Effect, Fiber, Layer, Redacted, Schema } from "effect"
import { FetchHttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { Settings } from "../../src/domain/Settings.ts"
import { Gmail } from "../../src/mail/gmail/Gmail.ts"
import { GmailWatch } from "../../src/mail/gmail/GmailWatch.ts"
import type { MailAccount, Mailbox, Page, RemoteMessage } from "../../src/mail/Mailbox.ts"
import { Tokens } from "../../src/oauth/Tokens.ts"
import { MailboxLimiter } from "../../src/pacing/MailboxLimiter.ts"
import { MailboxUnits } from "../../src/pacing/MailboxUnits.ts"
import { Throttle } from "../../src/pacing/Throttle.ts"
import { make, type SimulatorOptions } from "../../src/simulator/Simulator.ts"
import { serve } from "./simulator.ts"

const TokenAnswer = Schema.fromJsonString(Schema.Struct({ access_token: Schema.String, expires_in: Schema.Number }))

const email = "sim00001@gmail.sim.example"

/** Opens the first of two Google mailboxes. `stand` may answer a request in the simulator's stead. */
export const gmailBox = Effect.fnUntraced(function* (
  options: Partial<SimulatorOptions> = {},
  more: {
    readonly units?: number
    readonly account?: Partial<MailAccount>
    readonly stand?: (request: Request, body: string) => Response | undefined
  } = {},
) {
  const simulator = yield* make({
    accounts: 2,
    googleAccounts: 2,
    oddPages: 0,
    epoch: Date.UTC(2026, 10, 1),
    ...options,
  })
  const asked: Array<{ readonly path: string; readonly body: string }> = []
  const origin = yield* serve(async (request) => {
    const url = new URL(request.url)
    const body = request.method === "GET" ? "" : await request.clone().text()
    if (url.pathname !== "/google/token") asked.push({ path: url.pathname + url.search, body })
    return more.stand?.(request, body) ?? await simulator.handler(request)
  })
  let issued = 0
  const redeem = Effect.promise(async () => {
    const { clientId, clientSecret, refreshToken } = simulator.account(email)
    const response = await fetch(`${origin}/google/token`, {
      method: "POST",
      body: new URLSearchParams({
        grant_type: "refresh_token",
        client_id: clientId,
        client_secret: clientSecret ?? "",
        refresh_token: refreshToken,
      }),
    })
    const answer = Schema.decodeUnknownSync(TokenAnswer)(await response.text())
    issued++
    return {
      token: Redacted.make(answer.access_token),
      resource: "gmail" as const,
      expiresAt: DateTime.addDuration(DateTime.nowUnsafe(), Duration.seconds(answer.expires_in)),
    }
  })
  let cached: Effect.Success<typeof redeem> | undefined
  const refresh = () => Effect.tap(redeem, (token) => Effect.sync(() => cached = token))
  const tokens = Tokens.of({
    accessToken: () => Effect.suspend(() => cached === undefined ? refresh() : Effect.succeed(cached)),
    refresh,
    refreshSince: () => Effect.void,
  })
  const settings = Layer.orDie(
    Settings.layerWith({
      gmailUrl: `${origin}/gmail/v1`,
      ...(more.units === undefined ? {} : { gmailUnitsPerMinute: more.units }),
    }),
  )
  const context = yield* Layer.build(
    Layer.merge(Gmail.layer, GmailWatch.layer).pipe(
      Layer.provide(MailboxUnits.layer),
      Layer.provide([
        FetchHttpClient.layer,
        Throttle.layer,
        MailboxLimiter.layer,
        settings,
        Layer.succeed(Tokens, tokens),
      ]),
    ),
  )
  const account: MailAccount = {
    id: "a",
    email,
    provider: "google",
    channel: "gmail",
    grantId: "g",
    clientId: "c",
    byName: false,
    ...more.account,
  }
  const open = Context.get(context, Gmail).open(account, { ids: () => Effect.succeed([]) })
  return {
    simulator,
    asked,
    email,
    account,
    open,
    mailbox: yield* open,
    watch: Context.get(context, GmailWatch),
    issued: () => issued,
    /** What was asked for since the last call, in short. */
    requests: () =>
      asked.splice(0).map(({ body, path }) =>
        path.startsWith("/batch")
          ? `batch of ${body.match(/^GET /gm)?.length}`
          : path.replace("/gmail/v1/users/me/", "").replace(/\?.*/, "")
      ),
  }
})

/** What somebody who applies pages knows of a mailbox. */
export class Mirror {
  readonly messages = new Map<string, Partial<RemoteMessage> & { readonly folder?: string | undefined }>()
  cursor: string | null = null
  readonly pages: Array<Page> = []

  apply(page: Page): void {
    for (const change of page.changes) {
      if (change._tag === "Removed") this.messages.delete(change.remoteId)
      else if (!change.ifKnown || this.messages.has(change.remoteId)) {
        const before = this.messages.get(change.remoteId)
        this.messages.set(change.remoteId, { ...before, ...change.fields, folder: change.folderRemoteId })
      }
    }
    this.cursor = page.cursor
    this.pages.push(page)
  }

  /** One round to its end, with its pages. */
  round(mailbox: Mailbox) {
    return Effect.gen({ self: this }, function* () {
      const first = this.pages.length
      yield* mailbox.folders([])
      while (true) {
        const page = yield* mailbox.page("ALL_MAIL", this.cursor)
        this.apply(page)
        if (page.roundComplete) return this.pages.slice(first)
      }
    })
  }

  /** Comparable with what the simulator holds. */
  lines(): ReadonlyArray<string> {
    return [...this.messages].map(([id, { categories, folder, isFlagged, isRead, subject }]) =>
      [id, folder, subject, isRead, isFlagged, ...(categories ?? [])].join(" ")
    ).sort()
  }
}

/** What the simulator holds, as {@link Mirror.lines} tells it. */
export const heldLines = (simulator: Effect.Success<ReturnType<typeof gmailBox>>["simulator"], email: string) => {
  const { folders, messages } = simulator.mailbox(email)
  const pathOf = (id: string): string => {
    const folder = folders.find((one) => one.id === id)
    return folder === undefined
      ? ""
      : (folder.parentId === null ? "" : `${pathOf(folder.parentId)}/`) + folder.displayName
  }
  return messages.map(({ flagStatus, folderId, id, isRead, labels = [], subject }) =>
    [
      id,
      folderId,
      subject,
      isRead,
      flagStatus === "flagged",
      ...labels.filter((label) => label.startsWith("Label_")).map(pathOf).sort(),
      ...labels.filter((label) => label.startsWith("CATEGORY_")).sort(),
    ].join(" ")
  ).sort()
}

/** Runs an effect that waits by the test clock while the network is real; answers the time that it took as well. */
export const advancing = <A, E, R>(effect: Effect.Effect<A, E, R>, step: Duration.Input = "250 millis") =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(effect)
    let millis = 0
    while (fiber.pollUnsafe() === undefined) {
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 4)))
      if (fiber.pollUnsafe() !== undefined) break
      yield* TestClock.adjust(step)
      millis += Duration.toMillis(step)
    }
    return { value: yield* Fiber.join(fiber), millis }
  })
