/** OAuth clients, by which users allowed access to their mail. */
import { Redacted, Result, Schema } from "effect"
import { Provider } from "./Account.ts"
import { AppId } from "./Ids.ts"
import { readClientId, readTenant } from "./import/Row.ts"

/** Unique by (provider, client id, tenant). Its secret is never shown. */
export const App = Schema.Struct({
  id: AppId,
  provider: Provider,
  clientId: Schema.String,
  /** Empty at Google, whose clients have none. */
  tenant: Schema.String,
  /** True for a confidential client: its secret is sent with each redemption. */
  hasSecret: Schema.Boolean,
  createdAt: Schema.DateTimeUtcFromString,
  updatedAt: Schema.DateTimeUtcFromString,
})
export type App = typeof App.Type

/** What an app is found by. */
export interface AppName {
  readonly provider: Provider
  readonly clientId: string
  readonly tenant: string
}

/** An app at one tenant, or, without `tenant`, at all of them. */
export interface AppReach {
  readonly provider: string
  readonly clientId: string
  readonly tenant?: string | undefined
}

/** An app as somebody names it. */
export interface NewApp {
  readonly provider: Provider
  readonly clientId: string
  /** Absent: the tenant that accounts have which name none. Of no account at Google. */
  readonly tenant?: string | undefined
  /** Absent: a public client. */
  readonly secret?: Redacted.Redacted | undefined
}

/** An app whose values have been checked, under the name that it is found by. */
export interface CheckedApp extends AppName {
  readonly secret: Redacted.Redacted | undefined
}

/** A value of an app cannot be taken. `message` says what was expected, and never what was given. */
export class InvalidApp extends Schema.TaggedError<InvalidApp>()("InvalidApp", {
  field: Schema.Literals(["clientId", "tenant", "secret"]),
  message: Schema.String,
}) {}

/** What a client secret is made of (RFC 6749, appendix A.2); the length is ours. */
const secretForm = /^[\x20-\x7e]{1,1000}$/

/** The secret without surrounding white space, which pasting brings along. */
export const readSecret = (secret: Redacted.Redacted): Result.Result<Redacted.Redacted, InvalidApp> => {
  const trimmed = Redacted.value(secret).trim()
  return secretForm.test(trimmed) ? Result.succeed(Redacted.make(trimmed)) : Result.fail(
    new InvalidApp({ field: "secret", message: "Expected a secret of 1 to 1000 printable ASCII characters" }),
  )
}

/** Checks an app by the rules of import files, so that its name is the one that their rows find it by. */
export const readApp = (app: NewApp, defaultTenant: string): Result.Result<CheckedApp, InvalidApp> =>
  Result.gen(function* () {
    const fault = (field: InvalidApp["field"]) => (expected: string) =>
      new InvalidApp({ field, message: expected.replace(/^e/, "E") })
    const clientId = yield* Result.mapError(readClientId(app.provider, app.clientId), fault("clientId"))
    const tenant = yield* Result.mapError(readTenant(app.provider, app.tenant ?? ""), fault("tenant"))
    return {
      provider: app.provider,
      clientId,
      tenant: tenant === "" ? defaultTenant : tenant,
      secret: app.secret === undefined ? undefined : yield* readSecret(app.secret),
    }
  })
