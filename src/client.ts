/**
 * A typed client of the HTTP API, derived from the definition that the server is built from.
 *
 * {@link createClient} is for programs of plain promises, {@link MailfleetClient} for those that use Effect. Errors arrive as the
 * problem classes of {@link Problems} in both.
 *
 * @example Promises
 * ```ts
 * import { createClient } from "@mailfleet/mailfleet/client"
 *
 * await using client = createClient({ url: "http://127.0.0.1:8080", apiKey: "…" })
 * for await (const account of client.accounts.all({ status: "needs_reauth" })) console.log(account.email)
 * ```
 *
 * @example Effect
 * ```ts
 * import { Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { MailfleetClient } from "@mailfleet/mailfleet/client"
 *
 * const program = Effect.gen(function* () {
 *   const { api } = yield* MailfleetClient
 *   const { items } = yield* api.accounts.list({ query: { limit: 10 } })
 *   return items.map((account) => account.email)
 * }).pipe(
 *   Effect.provide(MailfleetClient.layer({ baseUrl: "http://127.0.0.1:8080", apiKey: "…" })),
 *   Effect.provide(FetchHttpClient.layer)
 * )
 * ```
 *
 * @module
 */
export { createClient, type CreateClientOptions } from "./client/createClient.ts"
export type {
  AccountFilter,
  AccountSelection,
  Client,
  ImportOptions,
  IssuedToken,
  List,
  MessageFilter,
  Page,
  PageOptions,
  RunOptions,
} from "./client/Client.ts"
export { type ClientOptions, type ImportUpload, MailfleetClient } from "./client/MailfleetClient.ts"
export type { Given, Plain, Untouched } from "./promises/Plain.ts"
export { AccountPatch, NewAccount } from "./api/Accounts.ts"
export { AppPatch, NewApp } from "./api/Apps.ts"
export { NewConnectSession } from "./api/ConnectSessions.ts"
export { NewGrant } from "./api/Grants.ts"
export { NewWebhook, WebhookPatch, WebhookWithSecret } from "./api/Webhooks.ts"
export { importMediaTypes } from "./api/Imports.ts"
export { Stats } from "./api/Operations.ts"
export { Grant, GrantKind } from "./domain/Grant.ts"
export { Thread } from "./domain/Mail.ts"
export { Api } from "./api/Api.ts"
/** Every error that the API answers with. */
export * as Problems from "./api/Problems.ts"
