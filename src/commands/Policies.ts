/** `policies`: which tags keep their accounts' access tokens valid at all times. */
import { Console, Effect, Schema } from "effect"
import { Argument, Command } from "effect/cli"
import { NotFound } from "../api/Problems.ts"
import { Tag } from "../api/Parameters.ts"
import { RefreshPolicy } from "../domain/Account.ts"
import { TagPolicy } from "../domain/TagPolicy.ts"
import { Connection, firstOf } from "./Connection.ts"
import { CommandError } from "./ExitCode.ts"
import { json, limit } from "./Flags.ts"
import { printJson } from "./Report.ts"
import { table } from "./Text.ts"

const TagPolicyPage = Schema.Struct({ items: Schema.Array(TagPolicy), nextCursor: Schema.NullOr(Schema.String) })

const tag = Argument.String("tag").pipe(
  Argument.filter(Schema.is(Tag), () => "1 to 64 characters without commas, semicolons and bars"),
  Argument.withDescription("A tag that accounts carry, now or later"),
)

const listPolicies = Effect.fnUntraced(function* (flags: { readonly limit: number; readonly json: boolean }) {
  const { ask, client: { api } } = yield* Connection
  const found = yield* ask(firstOf(flags.limit, (page) => api.policies.list({ query: page })))
  if (flags.json) return yield* printJson(TagPolicyPage, found)
  if (found.items.length === 0) return yield* Console.error("no tag has a policy: accounts are kept alive")
  yield* Console.log(table([["TAG", "POLICY"], ...found.items.map(({ policy, tag }) => [tag, policy])]))
  if (found.nextCursor !== null) yield* Console.error(`these are the first ${flags.limit}; for more: --limit`)
})

const list = Command.make("list", { limit, json }, listPolicies).pipe(
  Command.withDescription("List the policies of tags; what policies alone does too."),
  Command.withShortDescription("List the policies of tags"),
)

const set = Command.make(
  "set",
  {
    tag,
    policy: Argument.Literals("policy", RefreshPolicy.literals).pipe(
      Argument.withDescription("keep-alive: redeemed from time to time. warm: an access token is valid at all times"),
    ),
    json,
  },
  Effect.fnUntraced(function* ({ json, policy, tag }) {
    const { ask, client: { api } } = yield* Connection
    const set = yield* ask(api.policies.set({ params: { tag }, payload: { policy } }))
    yield* json ? printJson(TagPolicy, set) : Console.log(`accounts tagged ${tag}: ${policy}`)
  }),
).pipe(
  Command.withDescription("Set the policy of a tag. It takes effect at once; an account's own policy goes before it."),
  Command.withShortDescription("Set the policy of a tag"),
  Command.withExamples([{ command: "mailfleet policies set support warm" }]),
)

const unset = Command.make(
  "unset",
  { tag },
  Effect.fnUntraced(function* ({ tag }) {
    const { ask, client: { api } } = yield* Connection
    yield* api.policies.unset({ params: { tag } }).pipe(
      Effect.catchIf(
        (error) => error instanceof NotFound,
        () => Effect.fail(new CommandError({ message: `the tag ${tag} has no policy` })),
      ),
      ask,
    )
    yield* Console.log(`accounts tagged ${tag}: no policy`)
  }),
).pipe(
  Command.withDescription("Take the policy of a tag away: its accounts follow their other tags, else keep-alive."),
  Command.withShortDescription("Take the policy of a tag away"),
  Command.withExamples([{ command: "mailfleet policies unset support" }]),
)

export const policies = Command.make("policies", { limit, json }, listPolicies).pipe(
  Command.withDescription(
    "List the refresh policies of tags. keep-alive redeems a grant every MAILFLEET_REFRESH_EVERY; warm does so before its " +
      "access token ends, so that a valid one is always at hand.",
  ),
  Command.withShortDescription("List the refresh policies of tags; set or unset one"),
  Command.withExamples([{ command: "mailfleet policies" }]),
  Command.withSubcommands([list, set, unset]),
  Command.provide(Connection.layer),
)
