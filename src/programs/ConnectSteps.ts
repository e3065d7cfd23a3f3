/** What a sign-in by a browser and one by a device have in common. */
import { Duration, Effect, Option, Random } from "effect"
import type { Channel } from "../domain/Account.ts"
import { type ConnectSession, SignInRefused } from "../domain/ConnectSession.ts"
import type { AppId } from "../domain/Ids.ts"
import { Settings } from "../domain/Settings.ts"
import { keepAliveSeconds, warmSeconds } from "../oauth/RefreshPolicy.ts"
import type { SignedInAs } from "../oauth/SignInAnswer.ts"
import type { Person } from "../oauth/SignInPerson.ts"
import { Accounts } from "../storage/Accounts.ts"
import { Apps, type SignInApp } from "../storage/grants/Apps.ts"
import { Audit } from "../storage/Audit.ts"
import { ConnectSessions } from "../storage/grants/ConnectSessions.ts"
import { type Connected, SignedIn } from "../storage/grants/SignedIn.ts"

export const misconfigured = (message: string) => new SignInRefused({ code: "app_misconfigured", message })

const isExpected = ({ expectedEmail }: ConnectSession, address: string): boolean =>
  address.toLowerCase() === expectedEmail?.toLowerCase()

/** Why the person is not the one that the session is for, if it is for one. */
export const unexpected = (
  session: ConnectSession,
  person: Pick<Person, "address" | "verified"> | undefined,
): SignInRefused | undefined =>
  session.expectedEmail === undefined || person?.verified.some((one) => isExpected(session, one)) === true
    ? undefined
    : new SignInRefused({
      code: "wrong_person",
      message: "another person signed in than the one who was expected; nothing was stored",
      expected: session.expectedEmail,
      actual: person?.address ?? "?",
    })

/** Whose doing it is, in the audit log. */
export const actorOf = ({ id }: ConnectSession): string => `session:${id}`

export const makeSteps = Effect.gen(function* () {
  const accounts = yield* Accounts
  const apps = yield* Apps
  const audit = yield* Audit
  const sessions = yield* ConnectSessions
  const settings = yield* Settings
  const signedIn = yield* SignedIn

  const credentialsOf = (id: AppId): Effect.Effect<SignInApp, SignInRefused> =>
    apps.credentials(id).pipe(
      Effect.mapError(({ message }) => misconfigured(`the secret of the app cannot be read: ${message}`)),
      Effect.flatMap(Option.match({
        onNone: () => Effect.fail(misconfigured("the app was deleted meanwhile")),
        onSome: Effect.succeed,
      })),
    )

  /** Who is to sign in. A shared mailbox is read by the right of somebody else, and an app-only one by nobody's. */
  const expectedOf = Effect.fnUntraced(function* (
    { accountId, expectedEmail, kind }: Pick<ConnectSession, "accountId" | "expectedEmail" | "kind">,
  ) {
    if (expectedEmail !== undefined || accountId === undefined || kind === "admin_consent") return expectedEmail
    const account = Option.getOrUndefined(yield* accounts.get(accountId))
    return account?.access === "own" ? account.email : undefined
  })

  /** Stores what a person gave, unless another one was expected. */
  const keep = Effect.fnUntraced(function* (
    session: ConnectSession,
    channel: Channel,
    app: SignInApp,
    person: SignedInAs,
  ): Effect.fn.Return<Connected, SignInRefused> {
    const stranger = unexpected(session, person)
    if (stranger !== undefined) return yield* stranger
    const jitter = yield* Random.next
    return yield* signedIn.store({
      ...person,
      // Of several addresses of the mailbox the one that it is known by.
      address: person.verified.find((one) => isExpected(session, one)) ?? person.address,
      appId: session.appId,
      provider: app.provider,
      channel,
      tags: session.tags,
      accountId: session.accountId,
      dueInSeconds: {
        keepAlive: keepAliveSeconds(Duration.toSeconds(settings.refreshEvery), { redeemedBefore: true }, jitter),
        warm: warmSeconds(person.expiresInSeconds, Duration.toSeconds(settings.warmMargin), jitter),
      },
      sessionId: session.id,
      actor: actorOf(session),
    })
  })

  const refuse = Effect.fnUntraced(function* (session: ConnectSession, refused: SignInRefused) {
    yield* sessions.refuse(session.id, refused)
    yield* audit.record({
      actor: actorOf(session),
      action: session.kind,
      ...(session.accountId === undefined ? {} : { accountId: session.accountId }),
      outcome: refused.code,
    })
    const { code, message } = refused
    yield* Effect.logInfo("a sign-in was refused", { session: session.id, code, reason: message })
  })

  return { credentialsOf, expectedOf, keep, refuse }
})
