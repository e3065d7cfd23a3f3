/** The mailboxes of a tenant, as Microsoft Graph lists its users. Needs the application permission `User.Read.All`. */
import { Context, Effect, Layer, Schema } from "effect"
import type { HttpClient } from "effect/http"
import type { GrantId } from "../../domain/Ids.ts"
import { ProviderError } from "../../domain/ProviderError.ts"
import type { Settings } from "../../domain/Settings.ts"
import type { Tokens } from "../../oauth/Tokens.ts"
import type { MailboxLimiter } from "../../pacing/MailboxLimiter.ts"
import type { Throttle } from "../../pacing/Throttle.ts"
import { graphServices, makeGraphClient } from "./GraphClient.ts"

export interface ListedMailbox {
  readonly email: string
  readonly displayName: string | undefined
}

export interface DirectoryPage {
  /** Users without a mailbox are left out, so a page may be empty and yet not be the last. */
  readonly mailboxes: ReadonlyArray<ListedMailbox>
  /** The address of the next page; undefined = this was the last. */
  readonly next: string | undefined
}

const UserPage = Schema.Struct({
  value: Schema.Array(Schema.Struct({
    mail: Schema.optionalKey(Schema.NullOr(Schema.String)),
    displayName: Schema.optionalKey(Schema.NullOr(Schema.String)),
  })),
  "@odata.nextLink": Schema.optionalKey(Schema.String),
})

/** Users in a page: the most that Graph gives (Microsoft Graph, list users). */
const mostUsers = 999

const noPermission = "the tenant does not let the app list its mailboxes: consent to the application permission " +
  "User.Read.All, or name the mailboxes"

export class TenantDirectory extends Context.Service<TenantDirectory, {
  /** @param next of the page before; undefined = the first page */
  readonly page: (
    grant: { readonly id: GrantId; readonly clientId: string },
    limit: number,
    next: string | undefined,
  ) => Effect.Effect<DirectoryPage, ProviderError>
  /** Whether `url` can be a `next`: nothing else is asked with the tenant's token. */
  readonly isNext: (url: string) => boolean
}>()("mailfleet/mail/TenantDirectory") {
  static readonly layer: Layer.Layer<
    TenantDirectory,
    never,
    HttpClient.HttpClient | Settings | Tokens | Throttle | MailboxLimiter
  > = Layer.effect(
    TenantDirectory,
    Effect.gen(function* () {
      const services = yield* graphServices
      const users = `${services.graphUrl}/users?`

      return TenantDirectory.of({
        isNext: (url) => url.startsWith(users),
        page: Effect.fn("TenantDirectory.page")(
          function* ({ clientId, id }, limit, next) {
            const client = makeGraphClient(services, { id, grantId: id, clientId })
            const first = `${users}$select=mail,displayName&$top=${Math.min(mostUsers, limit)}`
            const { "@odata.nextLink": nextLink, value } = yield* client.get(next ?? first, UserPage)
            return {
              mailboxes: value.flatMap(({ displayName, mail }) =>
                mail === undefined || mail === null || mail === ""
                  ? []
                  : [{ email: mail, displayName: displayName ?? undefined }]
              ),
              next: nextLink,
            }
          },
          Effect.mapError((error) => {
            if (error._tag === "ProviderError") return error
            return error.error.class === "scope"
              ? new ProviderError({ ...error.error, message: noPermission })
              : error.error
          }),
        ),
      })
    }),
  )
}
