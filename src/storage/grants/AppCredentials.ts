/** What an app proves itself by, as it is stored: sealed for the app that it belongs to. */
import { Effect } from "effect"
import type { Provider } from "../../domain/Account.ts"
import type { AppCredentials, AppScopes } from "../../domain/App.ts"
import type { Vault, VaultError } from "../../oauth/Vault.ts"

/** Owners of sealed values, as the Vault knows them. */
export const appOwner = (id: string): string => `app:${id}`
export const appKeyOwner = (id: string): string => `app:${id}:key`

/** Of the table `apps` as `p`. */
export const credentialColumns = `p.provider, p.client_id, p.tenant, p.authority, p.scopes, p.secret as app_secret,
  p.private_key, p.certificate_thumbprint, p.service_account`

export interface CredentialRow {
  readonly app_id: string
  readonly provider: Provider
  readonly client_id: string
  readonly tenant: string
  readonly authority: string | null
  readonly scopes: AppScopes
  readonly app_secret: Uint8Array | null
  readonly private_key: Uint8Array | null
  readonly certificate_thumbprint: string | null
  readonly service_account: string | null
}

/** Fails with `unreadable` of what cannot be opened, which is one code for all that an app proves itself by. */
export const readCredentials = Effect.fnUntraced(function* <E>(
  vault: Vault["Service"],
  row: CredentialRow,
  unreadable: (what: string, error: VaultError) => E,
): Effect.fn.Return<AppCredentials, E> {
  const open = (owner: string, sealed: Uint8Array, what: string) =>
    Effect.mapError(vault.open(owner, sealed), (error) => unreadable(what, error))
  const { app_id: id, certificate_thumbprint: thumbprint, service_account: email } = row
  const secret = row.app_secret === null
    ? undefined
    : yield* open(appOwner(id), row.app_secret, "the secret of the app")
  const privateKey = row.private_key === null
    ? undefined
    : yield* open(appKeyOwner(id), row.private_key, "the private key of the app")
  return {
    provider: row.provider,
    clientId: row.client_id,
    tenant: row.tenant,
    scopes: row.scopes,
    ...(row.authority === null ? {} : { authority: row.authority }),
    ...(secret === undefined ? {} : { secret }),
    ...(privateKey === undefined || thumbprint === null ? {} : { certificate: { thumbprint, privateKey } }),
    ...(privateKey === undefined || email === null ? {} : { serviceAccount: { email, privateKey } }),
  }
})
