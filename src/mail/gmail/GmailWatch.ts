/**
 * Push notifications of Gmail (Gmail API, push notifications): Google publishes to a Pub/Sub topic that something happened in a
 * mailbox, and a subscription of that topic sends it to us. They come late, twice or not at all: they hasten a sync, they do not
 * replace it.
 */
import { Buffer } from "node:buffer"
import { Context, DateTime, Effect, Layer, Option, Schema } from "effect"
import type { HttpClient } from "effect/http"
import type { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { MailboxLimiter } from "../../pacing/MailboxLimiter.ts"
import type { MailboxUnits } from "../../pacing/MailboxUnits.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { gmailServices, makeGmailClient } from "./GmailClient.ts"
import { gmailUnits } from "./GmailUnits.ts"
import type { MailAccount } from "../Mailbox.ts"

/** The documentation shows 64-bit numbers as text in one place and bare in another. */
const Digits = Schema.Union([Schema.String, Schema.Number])

const WatchAnswer = Schema.Struct({ historyId: Digits, expiration: Digits })

const Notice = Schema.fromJsonString(Schema.Struct({ emailAddress: Schema.String, historyId: Digits }))

const Push = Schema.Struct({
  message: Schema.Struct({
    data: Schema.String,
    messageId: Schema.optionalKey(Schema.String),
    publishTime: Schema.optionalKey(Schema.String),
  }),
  subscription: Schema.optionalKey(Schema.String),
})

export interface Watch {
  /** The state of the mailbox now, as text. No cursor: what was stored before it may still be wanting. */
  readonly historyId: string
  /** Nothing is published after it, and nobody says so: watch again daily, at least every 7 days. */
  readonly expiresAt: DateTime.Utc
}

/** Something happened in a mailbox, or `watch` was called just now. */
export interface GmailNotice {
  /** As Google writes it. */
  readonly email: string
  /** As text. Not where to read from: that is the stored cursor. */
  readonly historyId: string
  /** Pub/Sub's id of the message, the same when it is delivered again; empty where it is missing. */
  readonly messageId: string
  /** As the push names it, `projects/p/subscriptions/s`; empty where it is missing. */
  readonly subscription: string
}

type WatchedAccount = Pick<MailAccount, "id" | "grantId" | "clientId">

export class GmailWatch extends Context.Service<GmailWatch, {
  /**
   * Has everything that happens in the mailbox published.
   *
   * @param topic `projects/p/topics/t`; it must let gmail-api-push@system.gserviceaccount.com publish
   */
  readonly watch: (account: WatchedAccount, topic: string) => Effect.Effect<Watch, ProviderError>
  /** Ends it, for all topics. */
  readonly stop: (account: WatchedAccount) => Effect.Effect<void, ProviderError>
}>()("mailfleet/mail/GmailWatch") {
  static readonly layer: Layer.Layer<
    GmailWatch,
    never,
    HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter | MailboxUnits
  > = Layer.effect(
    GmailWatch,
    Effect.map(gmailServices, (services) =>
      GmailWatch.of({
        watch: Effect.fn("GmailWatch.watch")(
          function* (account, topicName) {
            const answer = yield* makeGmailClient(services, account)
              .post("/watch", { topicName }, WatchAnswer, gmailUnits.watch)
            return {
              historyId: String(answer.historyId),
              expiresAt: Option.getOrElse(
                Option.map(DateTime.make(Number(answer.expiration)), DateTime.toUtc),
                () => DateTime.makeUnsafe(0),
              ),
            }
          },
          Effect.mapError((error) => error._tag === "GmailRefusal" ? error.error : error),
        ),
        stop: Effect.fn("GmailWatch.stop")(
          function* (account) {
            yield* makeGmailClient(services, account).post("/stop", {}, Schema.Unknown, gmailUnits.stop)
          },
          Effect.mapError((error) => error._tag === "GmailRefusal" ? error.error : error),
        ),
      })),
  )
}

const decodePush = Schema.decodeUnknownOption(Push)
const decodeNotice = Schema.decodeUnknownOption(Notice)

/**
 * Reads the JSON body of a push. None = it is not of Gmail. The sender is not checked here: whoever receives it verifies the
 * token that the subscription was set up with.
 */
export const readPush = (body: unknown): Option.Option<GmailNotice> =>
  Option.flatMap(decodePush(body), ({ message, subscription }) =>
    Option.map(
      // Read as base64 it is as well: both alphabets are known here.
      decodeNotice(exactNumbers(Buffer.from(message.data, "base64url").toString("utf8"))),
      ({ emailAddress, historyId }) => ({
        email: emailAddress,
        historyId: String(historyId),
        messageId: message.messageId ?? "",
        subscription: subscription ?? "",
      }),
    ))

/** A bare number of 64 bits would lose its end in a JavaScript number: it becomes text before it is parsed. */
const exactNumbers = (json: string): string => json.replace(/("historyId"\s*:\s*)(\d+)/, '$1"$2"')
