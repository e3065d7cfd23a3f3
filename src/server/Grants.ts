/** Grants over HTTP. */
import { Effect } from "effect"
import { HttpApiBuilder, HttpApiSchema } from "effect/http-api"
import { Api } from "../api/Api.ts"
import { GrantInUse, GrantRefused as GrantRefusedProblem, InvalidBody, NotFound } from "../api/Problems.ts"
import type { GrantRefused } from "../domain/Grant.ts"
import { GrantRequests } from "../programs/GrantRequests.ts"
import { GrantCatalog } from "../storage/grants/GrantCatalog.ts"
import { refuse } from "./AccessTokens.ts"
import { cursorProblem, limited, orNotFound } from "./Answers.ts"

/** Which value of the request a refusal is about; of the others none is, but the grant. */
const fieldOf: Partial<Record<GrantRefused["code"], string>> = {
  app_not_found: "appId",
  app_is_public: "appId",
  app_has_no_key: "appId",
  wrong_provider: "appId",
  invalid_tenant: "tenant",
  invalid_mailbox: "mailbox",
  mailbox_taken: "mailbox",
}

const refused = ({ code, message }: GrantRefused) => {
  const field = fieldOf[code]
  return field === undefined
    ? new GrantRefusedProblem({ code, detail: message })
    : new GrantRefusedProblem({ code, detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })
}

const invalid = (field: string, message: string) =>
  new InvalidBody({ detail: `${field}: ${message}`, issues: [{ in: "body", field, message }] })

export const layerGrants = HttpApiBuilder.group(
  Api,
  "grants",
  Effect.fnUntraced(function* (handlers) {
    const catalog = yield* GrantCatalog
    const requests = yield* GrantRequests
    const orNoGrant = orNotFound("grant")

    return handlers.handleAll({
      list: ({ query }) => Effect.mapError(catalog.list(limited(query)), cursorProblem),
      create: Effect.fn("grants.create")(function* ({ payload: { appId, mailbox, tags, tenant } }) {
        if (mailbox !== undefined && tenant !== undefined) {
          return yield* invalid("mailbox", "Expected either tenant or mailbox")
        }
        if (tenant === undefined && mailbox === undefined) {
          return yield* invalid("tenant", "Expected tenant (Microsoft) or mailbox (Google)")
        }
        if (tenant !== undefined && tags !== undefined) {
          return yield* invalid("tags", "Expected none: a tenant's mailboxes get theirs when they are added")
        }
        const { grant } = yield* Effect.mapError(
          requests.create(tenant === undefined ? { appId, mailbox: mailbox!, tags } : { appId, tenant }),
          refused,
        )
        return HttpApiSchema.withHeaders({ body: grant, headers: { location: `/v1/grants/${grant.id}` } })
      }),
      get: ({ params }) => orNoGrant(catalog.get(params.id)),
      remove: Effect.fn("grants.remove")(function* ({ params }) {
        const removed = yield* Effect.mapError(
          catalog.remove(params.id),
          ({ accounts }) =>
            new GrantInUse({ detail: `the grant has ${accounts} accounts: delete them first`, accounts }),
        )
        if (!removed) return yield* new NotFound({ detail: "there is no grant with this id" })
      }),
      mailboxes: ({ params, query }) =>
        requests.mailboxes(params.id, limited(query)).pipe(
          Effect.catchTags({
            GrantRefused: (error) => Effect.fail(refused(error)),
            InvalidCursor: (error) => Effect.fail(cursorProblem(error)),
            ProviderError: refuse,
          }),
          orNoGrant,
        ),
      addAccounts: Effect.fn("grants.addAccounts")(function* ({ params, payload }) {
        if ((payload.mailboxes === undefined) === (payload.all === undefined)) {
          return yield* invalid("mailboxes", "Expected either mailboxes or all")
        }
        if (payload.cursor !== undefined && payload.all === undefined) {
          return yield* invalid("cursor", "Expected none beside mailboxes")
        }
        if (payload.channel === "gmail") {
          return yield* invalid("channel", "Expected graph or imap")
        }
        return yield* requests.addAccounts(params.id, payload).pipe(
          Effect.catchTags({
            GrantRefused: (error) => Effect.fail(refused(error)),
            InvalidCursor: (error) => Effect.fail(cursorProblem(error)),
            ProviderError: refuse,
          }),
          orNoGrant,
        )
      }),
    })
  }),
)
