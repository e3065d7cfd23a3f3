/** `webhooks`: where what happens is sent to. */
import { Console, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { NotFound } from "../api/Problems.ts"
import { WebhookWithSecret } from "../api/Webhooks.ts"
import { ChangeOrigin } from "../domain/Mail.ts"
import { DeliveryOutcome, DeliveryState, Webhook, WebhookDelivery, WebhookEvent } from "../domain/Webhook.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { given, json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { relative, table, upcoming } from "./Text.ts"

const WebhookPage = Schema.Struct({ items: Schema.Array(Webhook), nextCursor: Schema.NullOr(Schema.String) })
const DeliveryPage = Schema.Struct({ items: Schema.Array(WebhookDelivery), nextCursor: Schema.NullOr(Schema.String) })

const id = Argument.String("id").pipe(Argument.withDescription("The id of the webhook, as `webhooks list` shows it"))

/** In the words of the command line where nothing has the id. */
const found = <A, E extends Error, R>(call: Effect.Effect<A, E, R>) =>
  Effect.mapError(
    call,
    (error) => error instanceof NotFound ? new CommandError({ message: "there is no webhook with this id" }) : error,
  )

const stateOf = (webhook: Webhook, now: DateTime.DateTime): string =>
  !webhook.enabled
    ? "disabled"
    : webhook.pausedUntil !== null
    ? `paused, goes on ${upcoming(webhook.pausedUntil, now)}`
    : webhook.failures > 0
    ? "failing"
    : "active"

const listWebhooks = Effect.fnUntraced(function* (flags: { readonly limit: number; readonly json: boolean }) {
  const { ask, client: { api } } = yield* Connection
  const page = yield* ask(firstOf(flags.limit, (query) => api.webhooks.list({ query })))
  if (flags.json) return yield* printJson(WebhookPage, page)
  if (page.items.length === 0) return yield* Console.error("no webhooks")
  const now = yield* DateTime.now
  yield* Console.log(table([
    ["URL", "STATE", "WAITING", "LAST DELIVERY", "ID"],
    ...page.items.map((webhook) => [
      webhook.url,
      stateOf(webhook, now),
      String(webhook.waiting),
      relative(webhook.deliveredAt, now),
      webhook.id,
    ]),
  ]))
  if (page.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
})

const list = Command.make("list", { limit, json }, listWebhooks).pipe(
  Command.withDescription("List webhooks, oldest first; what webhooks alone does too."),
  Command.withShortDescription("List webhooks"),
)

const showWebhook = Effect.fnUntraced(function* (webhook: Webhook, asJson: boolean) {
  if (asJson) return yield* printJson(Webhook, webhook)
  const now = yield* DateTime.now
  const lines: ReadonlyArray<readonly [string, string | undefined]> = [
    ["id", webhook.id],
    ["url", webhook.url],
    ["description", webhook.description || undefined],
    ["state", stateOf(webhook, now)],
    ["reason", webhook.disabledReason],
    ["events", webhook.events?.join(" ") ?? "all"],
    ["origins", webhook.origins.join(" ")],
    ["tags", webhook.tags?.join(" ") ?? "of all accounts"],
    ["position", webhook.position],
    ["waiting", String(webhook.waiting)],
    ["failures", webhook.failures === 0 ? undefined : `${webhook.failures} in a row`],
    ["delivered", relative(webhook.deliveredAt, now)],
    ["old secret", webhook.previousSecretUntil === null ? undefined : upcoming(webhook.previousSecretUntil, now)],
  ]
  yield* Console.log(table(lines.flatMap(([name, value]) => value === undefined ? [] : [[name, value]])))
})

const show = Command.make(
  "show",
  { id, json },
  Effect.fnUntraced(function* ({ id, json }) {
    const { ask, client: { api } } = yield* Connection
    yield* showWebhook(yield* ask(found(api.webhooks.get({ params: { id } }))), json)
  }),
).pipe(Command.withDescription("Show a webhook: what it is sent, and how it is doing."))

/** Nothing where the flag was not given. */
const several = <const Name extends string, A>(name: Name, values: ReadonlyArray<A>) =>
  given(name, values.length === 0 ? Option.none() : Option.some(values))

const choice = {
  events: Flag.Literals("event", WebhookEvent.literals).pipe(
    Flag.withDescription("What it is sent; may be given several times. Unless given, everything"),
    Flag.atLeast(0),
  ),
  origins: Flag.Literals("origin", ChangeOrigin.literals).pipe(
    Flag.withDescription(
      "Changes of messages of this origin; may be given several times. Unless given, live ones only",
    ),
    Flag.atLeast(0),
  ),
  tags: Flag.String("tag").pipe(
    Flag.withDescription("Of accounts with this tag; may be given several times. Unless given, of all accounts"),
    Flag.atLeast(0),
  ),
  description: Flag.String("description").pipe(Flag.withDescription("For people"), Flag.optional),
}

interface Choice {
  readonly events: ReadonlyArray<WebhookEvent>
  readonly origins: ReadonlyArray<ChangeOrigin>
  readonly tags: ReadonlyArray<string>
  readonly description: Option.Option<string>
}

const chosen = ({ description, events, origins, tags }: Choice) => ({
  ...several("events", events),
  ...several("origins", origins),
  ...several("tags", tags),
  ...given("description", description),
})

const showSecret = Effect.fnUntraced(function* (webhook: typeof WebhookWithSecret.Type, asJson: boolean) {
  if (asJson) return yield* printJson(WebhookWithSecret, webhook)
  yield* Console.error(`the secret of the webhook ${webhook.id}; it is not shown again:`)
  yield* Console.log(Redacted.value(webhook.secret))
})

const create = Command.make(
  "create",
  {
    url: Argument.String("url").pipe(Argument.withDescription("Where it is sent: an http or https URL")),
    ...choice,
    json,
  },
  Effect.fnUntraced(function* ({ json, url, ...flags }) {
    const { ask, client: { api } } = yield* Connection
    const { body } = yield* ask(api.webhooks.create({ payload: { url, ...chosen(flags) } }))
    yield* showSecret(body, json)
  }),
).pipe(
  Command.withDescription(
    "Make a webhook. It is sent what happens from now on. Its secret is printed once, on standard output.",
  ),
  Command.withShortDescription("Make a webhook"),
  Command.withExamples([
    { command: "mailfleet webhooks create https://hooks.example.com/mail", description: "Everything that happens" },
    {
      command: "mailfleet webhooks create https://hooks.example.com/new --event message.created --tag support",
      description: "New mail of some accounts",
    },
  ]),
)

const switches = {
  enable: Flag.Boolean("enable").pipe(
    Flag.withDescription("Go on where it stood, at once. --no-enable: send nothing for now"),
    Flag.optional,
  ),
}

const update = Command.make(
  "update",
  {
    id,
    url: Flag.String("url").pipe(Flag.withDescription("Where it is sent"), Flag.optional),
    ...choice,
    ...switches,
    json,
  },
  Effect.fnUntraced(function* ({ enable, id, json, url, ...flags }) {
    const { ask, client: { api } } = yield* Connection
    const payload = { ...given("url", url), ...given("enabled", enable), ...chosen(flags) }
    if (Object.keys(payload).length === 0) {
      return yield* new CommandError({ message: "nothing to change: give at least one flag, such as --enable" })
    }
    yield* showWebhook(yield* ask(found(api.webhooks.update({ params: { id }, payload }))), json)
  }),
).pipe(
  Command.withDescription("Change a webhook. Only what is given is changed."),
  Command.withShortDescription("Change a webhook"),
  Command.withExamples([{ command: "mailfleet webhooks update ID --enable" }]),
)

const remove = Command.make(
  "delete",
  { id },
  Effect.fnUntraced(function* ({ id }) {
    const { ask, client: { api } } = yield* Connection
    yield* ask(found(api.webhooks.remove({ params: { id } })))
    yield* Console.log("deleted: what waited is sent no more")
  }),
).pipe(Command.withDescription("Delete a webhook. What waits is sent no more."))

const test = Command.make(
  "test",
  { id, json },
  Effect.fnUntraced(function* ({ id, json }) {
    const { ask, client: { api } } = yield* Connection
    const outcome = yield* ask(found(api.webhooks.test({ params: { id } })))
    if (json) yield* printJson(DeliveryOutcome, outcome)
    else if (outcome.delivered) {
      yield* Console.log(`delivered: it answered ${outcome.status} in ${outcome.milliseconds} ms`)
    }
    if (!outcome.delivered) {
      return yield* new CommandError({ message: `not delivered: ${outcome.error}` })
    }
  }),
).pipe(
  Command.withDescription("Send a webhook.test at once, and say what came of it. The webhook may be disabled."),
  Command.withShortDescription("Send a test"),
)

const rotate = Command.make(
  "rotate",
  { id, json },
  Effect.fnUntraced(function* ({ id, json }) {
    const { ask, client: { api } } = yield* Connection
    yield* showSecret(yield* ask(found(api.webhooks.rotateSecret({ params: { id } }))), json)
    yield* Console.error("the old one signs as well for 24 hours")
  }),
).pipe(
  Command.withDescription(
    "Replace the secret. For 24 hours each delivery is signed with both, so that receivers can change theirs meanwhile.",
  ),
  Command.withShortDescription("Replace the secret"),
)

const replay = Command.make(
  "replay",
  {
    id,
    after: Flag.String("after").pipe(
      Flag.withDescription(
        "A position of the change log, or latest: what comes after it is sent, whatever was sent of it already",
      ),
    ),
    json,
  },
  Effect.fnUntraced(function* ({ after, id, json }) {
    const { ask, client: { api } } = yield* Connection
    yield* showWebhook(yield* ask(found(api.webhooks.replay({ params: { id }, payload: { after } }))), json)
  }),
).pipe(
  Command.withDescription(
    "Send from a position of the change log, with the ids that the messages had. A later position than the webhook's own " +
      "leaves out what lies between.",
  ),
  Command.withShortDescription("Send from a position"),
)

const deliveries = Command.make(
  "deliveries",
  {
    id,
    state: Flag.Literals("state", DeliveryState.literals).pipe(
      Flag.withDescription("Those in this state"),
      Flag.optional,
    ),
    limit,
    json,
  },
  Effect.fnUntraced(function* ({ id, limit, state, ...flags }) {
    const { ask, client: { api } } = yield* Connection
    const page = yield* ask(
      found(
        firstOf(
          limit,
          (page) => api.webhooks.deliveries({ params: { id }, query: { ...page, ...given("state", state) } }),
        ),
      ),
    )
    if (flags.json) return yield* printJson(DeliveryPage, page)
    if (page.items.length === 0) return yield* Console.error("no deliveries")
    const now = yield* DateTime.now
    yield* Console.log(table([
      ["TYPE", "STATE", "ATTEMPTS", "LAST", "NEXT", "OUTCOME", "ID"],
      ...page.items.map((delivery) => [
        delivery.type,
        delivery.state,
        String(delivery.attempts),
        relative(delivery.attemptedAt, now),
        delivery.nextAttemptAt === null ? "-" : upcoming(delivery.nextAttemptAt, now),
        delivery.error ?? (delivery.status === null ? "-" : String(delivery.status)),
        delivery.id,
      ]),
    ]))
  }),
).pipe(
  Command.withDescription("List deliveries, newest first: what waits, and what arrived lately."),
  Command.withShortDescription("List deliveries"),
)

export const webhooks = Command.make("webhooks", { limit, json }, listWebhooks).pipe(
  Command.withDescription(
    "Send what happens to endpoints of your own: at least once, in order for each account, signed by the Standard Webhooks " +
      "convention.",
  ),
  Command.withShortDescription("Send what happens to your endpoints"),
  Command.withSubcommands([create, list, show, update, remove, test, rotate, replay, deliveries]),
  Command.provide(Connection.layer),
)
