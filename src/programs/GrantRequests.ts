/** What somebody asks of grants: made for a tenant or a mailbox, and given accounts. */
import { Context, Effect, Layer, Option } from "effect"
import type { Channel } from "../domain/Account.ts"
import { type Grant, GrantRefused, type MailboxOutcome, mostMailboxes, type TenantMailbox } from "../domain/Grant.ts"
import { type AppId, type GrantId } from "../domain/Ids.ts"
import { isEmail } from "../domain/import/Row.ts"
import type { ProviderError } from "../domain/ProviderError.ts"
import { TenantDirectory } from "../mail/graph/TenantDirectory.ts"
import { AppOnlyGrants } from "../storage/grants/AppOnlyGrants.ts"
import { Apps } from "../storage/grants/Apps.ts"
import { decodeCursor, encodeCursor, type InvalidCursor, invalidCursor } from "../storage/Cursor.ts"
import { GrantAccounts } from "../storage/grants/GrantAccounts.ts"
import { GrantCatalog } from "../storage/grants/GrantCatalog.ts"

export type NewGrant =
  /** Of an app that acts by itself in a tenant (Microsoft): its id, or a domain of it. */
  | { readonly appId: AppId; readonly tenant: string }
  /** Of a service account that stands in for a user (Google); its account is made with it. */
  | { readonly appId: AppId; readonly mailbox: string; readonly tags?: ReadonlyArray<string> | undefined }

export interface MailboxSelection {
  /** At most 1000. */
  readonly mailboxes?: ReadonlyArray<string> | undefined
  /** Those of one page of the tenant's directory, at most 999 of them; `nextCursor` leads to the next. */
  readonly all?: true | undefined
  readonly cursor?: string | undefined
  readonly tags?: ReadonlyArray<string> | undefined
  /** Default `graph`. */
  readonly channel?: Channel | undefined
}

interface Page<A> {
  readonly items: ReadonlyArray<A>
  readonly nextCursor: string | null
}

export class GrantRequests extends Context.Service<GrantRequests, {
  /** Makes a grant, or finds the one that is there. */
  readonly create: (
    grant: NewGrant,
  ) => Effect.Effect<{ readonly grant: Grant; readonly created: boolean }, GrantRefused>
  /** The mailboxes of a tenant, as its directory lists them. None = there is no such grant. */
  readonly mailboxes: (
    id: GrantId,
    options: { readonly limit: number; readonly cursor?: string | undefined },
  ) => Effect.Effect<Option.Option<Page<TenantMailbox>>, GrantRefused | InvalidCursor | ProviderError>
  /** Adds accounts to a grant. None = there is no such grant. */
  readonly addAccounts: (
    id: GrantId,
    selection: MailboxSelection,
  ) => Effect.Effect<Option.Option<Page<MailboxOutcome>>, GrantRefused | InvalidCursor | ProviderError>
}>()("mailfleet/programs/GrantRequests") {
  static readonly layer: Layer.Layer<
    GrantRequests,
    never,
    AppOnlyGrants | Apps | GrantAccounts | GrantCatalog | TenantDirectory
  > = Layer.effect(
    GrantRequests,
    Effect.gen(function* () {
      const accounts = yield* GrantAccounts
      const apps = yield* Apps
      const appOnly = yield* AppOnlyGrants
      const catalog = yield* GrantCatalog
      const directory = yield* TenantDirectory

      const forMailbox = Effect.fnUntraced(function* (appId: AppId, mailbox: string, tags: ReadonlyArray<string>) {
        const app = Option.getOrUndefined(yield* apps.get(appId))
        if (app === undefined) return yield* refused("app_not_found", "there is no app with this id")
        if (app.provider !== "google") {
          return yield* refused(
            "wrong_provider",
            "only Google has service accounts; Microsoft gives an app a whole tenant",
          )
        }
        if (app.serviceAccount === undefined) {
          return yield* refused("app_has_no_key", "the app has no key of a service account: set one first")
        }
        if (!isEmail(mailbox)) return yield* refused("invalid_mailbox", "Expected the address of a mailbox")
        return yield* accounts.addServiceAccount(appId, mailbox, tags)
      })

      const pageOf = Effect.fnUntraced(function* (
        grant: Grant,
        { cursor, limit }: { readonly limit: number; readonly cursor?: string | undefined },
      ) {
        if (grant.kind !== "client_credentials") {
          return yield* refused("grant_is_delegated", "only the grant of a whole tenant lists mailboxes: name them")
        }
        const next = cursor === undefined ? undefined : Option.getOrUndefined(decodeCursor(cursor, 1))?.[0]
        if (cursor !== undefined && !(typeof next === "string" && directory.isNext(next))) return yield* invalidCursor
        const page = yield* directory.page(grant, limit, next as string | undefined)
        return { ...page, nextCursor: page.next === undefined ? null : encodeCursor([page.next]) }
      })

      /** Nothing where there is no such grant. */
      const withGrant = <A, E>(id: GrantId, use: (grant: Grant) => Effect.Effect<A, E>) =>
        Effect.flatMap(
          catalog.get(id),
          Option.match({ onNone: () => Effect.succeedNone, onSome: (grant) => Effect.asSome(use(grant)) }),
        )

      return GrantRequests.of({
        create: Effect.fn("GrantRequests.create")(function* (given) {
          const { created, id } = "tenant" in given
            ? yield* appOnly.create(given.appId, given.tenant)
            : yield* forMailbox(given.appId, given.mailbox, [...new Set(given.tags)])
          return { created, grant: Option.getOrThrow(yield* catalog.get(id)) }
        }),
        mailboxes: Effect.fn("GrantRequests.mailboxes")((id, options) =>
          withGrant(
            id,
            Effect.fnUntraced(function* (grant) {
              const { mailboxes, nextCursor } = yield* pageOf(grant, options)
              const known = yield* accounts.known(grant.provider, mailboxes.map(({ email }) => email))
              const items = mailboxes.map(({ displayName, email }): TenantMailbox => {
                const accountId = known.get(email.toLowerCase())
                return {
                  email,
                  ...(displayName === undefined ? {} : { displayName }),
                  ...(accountId === undefined ? {} : { accountId }),
                }
              })
              return { items, nextCursor }
            }),
          )
        ),
        addAccounts: Effect.fn("GrantRequests.addAccounts")((
          id,
          { all, channel = "graph", cursor, mailboxes = [], tags },
        ) =>
          withGrant(
            id,
            Effect.fnUntraced(function* (grant) {
              const listed = all === true ? yield* pageOf(grant, { limit: mostMailboxes, cursor }) : undefined
              const addresses = listed?.mailboxes.map(({ email }) => email) ?? mailboxes
              const items = yield* accounts.add(id, { mailboxes: addresses, channel, tags: [...new Set(tags)] })
              return { items: items ?? [], nextCursor: listed?.nextCursor ?? null }
            }),
          )
        ),
      })
    }),
  )
}

const refused = (code: GrantRefused["code"], message: string) => new GrantRefused({ code, message })
