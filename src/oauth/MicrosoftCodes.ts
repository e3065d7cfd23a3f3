/**
 * What the error codes of Microsoft's token endpoint mean for a refresh, and what an operator can do.
 *
 * Meanings: Microsoft Entra authentication and authorization error codes. That page gives no classes and says that codes
 * may change: the classes are our reading, and a code that is not here is never a verdict by itself.
 */
import type { FailureClass, Reach } from "../domain/FailureClass.ts"

export interface MicrosoftCode {
  readonly class: FailureClass
  readonly message: string
  /** Set where the class is `throttled` or `app`. */
  readonly reach?: Reach
}

/** Longer than the window in which identical requests are counted as a loop (Microsoft, breaking changes: 15 in 5 minutes). */
export const loopPauseMillis = 300_000

/** `code: meaning`, or `code: [meaning, action]` where the usual action of the class is not the right one. */
type Meanings = Readonly<Record<number, string | readonly [meaning: string, action: string]>>

const all = (
  failureClass: FailureClass,
  usual: string,
  meanings: Meanings,
  reach?: Reach,
): ReadonlyArray<readonly [number, MicrosoftCode]> =>
  Object.entries(meanings).map(([code, text]) => {
    const [meaning, action] = typeof text === "string" ? [text, usual] : text
    return [Number(code), {
      class: failureClass,
      message: `${meaning}; ${action}`,
      ...(reach === undefined ? {} : { reach }),
    }]
  })

const throttled: ReadonlyArray<readonly [number, MicrosoftCode]> = [
  // Comes as `invalid_grant`, and yet the grant is alive.
  [50196, {
    class: "throttled",
    reach: "grant",
    message:
      "Microsoft saw the same request too often and takes it for a loop; this grant rests for five minutes or more",
  }],
  [90055, {
    class: "throttled",
    reach: "tenant",
    message: "the tenant receives too many requests; all its accounts of this app rest for five minutes or more",
  }],
]

const transient = all("transient", "it is tried again by itself", {
  90033: "Microsoft's directory store is unavailable for a moment",
  90006: "Microsoft's sign-in service is unavailable for a moment",
  90012: "the request timed out at Microsoft",
  90024: "Microsoft's sign-in service ran out of its time for the request",
  90090: "Microsoft's directory is unavailable for a moment",
  90091: "Microsoft's directory cannot be reached for a moment",
  50033: "Microsoft's sign-in service had a passing fault",
  50087: "Microsoft's multi-factor service had a passing fault",
  50088: "the limit of telephone calls for multi-factor sign-in is reached",
  50166: "Microsoft could not reach the external claims provider",
  70012: "Microsoft's sign-in service for personal accounts had a fault",
  40010: "the user's federated identity provider had a passing fault",
  80002: "the organisation's own password check timed out",
  80005: "the organisation's authentication agent gave a faulty answer",
  80014: "the organisation's authentication agent took too long",
  50000: [
    "Microsoft could not issue the token",
    "it is tried again by itself; if it goes on, open a support case with Microsoft",
  ],
})

const checkSettings = "check the app's registration and its client id, tenant and scopes here"
const setSecret = "set the app's current client secret here"
const permission = "add the permission to the app registration and have an administrator of the tenant consent to it"
const audience = "give the app a tenant or an audience that fit each other"

/** Who the app is, and whether it may be used at all: true at every tenant. */
const app = all("app", checkSettings, {
  7000215: ["the client secret is wrong", "set its value here, not its id"],
  7000222: ["the client secret has expired", "make a new one in the app registration and set it here"],
  7000218: ["the app is confidential and was used without a secret", "set its client secret or certificate here"],
  700025: ["the app is public and was used with a secret", "remove the secret or certificate here"],
  70002: ["the app's credentials were refused", setSecret],
  700027: ["the signature of the app's assertion was refused", "set the certificate that the app registration names"],
  7000112: ["the app is disabled", "have its owner enable it in the app registration"],
  70001: ["the app is disabled or not known", "check the client id, and whether the app registration is enabled"],
}, "app")

/** How the app is used, or what one tenant makes of it: another tenant, or other scopes, may well do. */
const appAtTenant = all("app", checkSettings, {
  700016: [
    "the app is not known in the tenant",
    "check client id and tenant; an administrator of the tenant may have removed the app and can add it again",
  ],
  700011: [
    "the app is not known in the tenant",
    "check client id and tenant, or have an administrator add the app there",
  ],
  50194: [
    "the app belongs to one tenant and was used at the common endpoint",
    "set its own tenant here, or make it multi-tenant",
  ],
  9002332: ["the app takes work accounts only and was used at the endpoint of personal accounts", audience],
  9001023: ["the app was used at an endpoint that does not serve it", "set `organizations` or its own tenant here"],
  90130: ["the app is not served at the common endpoints", "set `organizations` or its own tenant here"],
  90124: ["the resource is not served at the common endpoints", "set `organizations` or the app's own tenant here"],
  28000: ["the scope names more than one resource", "set scopes of one resource only"],
  28002: "the scope is not valid for an access token",
  28003: "the scope was empty",
  700022: ["the scope names more than one resource", "set scopes of one resource only"],
  700023: "the scope names no resource",
  70011: "the scope is not valid",
  70003: "the grant type is not supported for the app",
  70004: "the redirect address is not the app's own",
  900144: "a required parameter was missing in the request",
  90014: "a required field was missing in the request",
  90002: ["the tenant is not known", "check the app's tenant, and that the right national cloud is used"],
  900023: ["the tenant is neither an id nor a domain", "check the app's tenant"],
  650052: [
    "the organisation has not subscribed to or enabled the service that the app asks for",
    "have an administrator of the tenant enable it",
  ],
  650056: ["the app registration lists no permission for the resource, or the tenant has not consented", permission],
  650057: ["the app registration does not list the resource", permission],
  65005: ["the app registration does not list the permission", permission],
  50001: [
    "the resource is disabled or does not exist in the tenant",
    "check the scopes set here, or have the resource enabled",
  ],
  500011: [
    "the resource is not known in the tenant",
    "check the scopes set here, or have an administrator consent to the app",
  ],
  50011: "the redirect address is not the app's own",
  50049: ["the sign-in service's address is not known to Microsoft", "check MAILFLEET_MICROSOFT_AUTHORITY"],
}, "tenant")

const scope = all("scope", "have the user, or an administrator, consent again", {
  65001: "nobody has consented to the permission that is asked for",
})

const blocked = all("blocked", "an administrator of the tenant must act", {
  50034: [
    "the user is not in this tenant",
    "check that the mailbox still exists and that the app's tenant is the right one",
  ],
  50020: ["the user belongs to another tenant or provider", "check the app's tenant, or have the user invited there"],
  51004: [
    "the user is not in this tenant's directory",
    "check that the mailbox still exists and that the app's tenant is right",
  ],
  50057: ["the user's account is disabled", "an administrator can enable it; it is looked at again from time to time"],
  50105: ["the user is not assigned to the app", "an administrator can assign them"],
  53003: ["a Conditional Access policy forbids the sign-in", "an administrator can allow the app or this network"],
  530032: ["a security policy of the tenant forbids the sign-in", "an administrator can allow it"],
  530035: ["the tenant's security defaults forbid the sign-in", "an administrator can allow it"],
  53011: ["the user is blocked for risk", "an administrator can dismiss the risk"],
  50053: [
    "the account is locked after too many sign-ins, or our address is held to be malicious",
    "it is tried again after a while; the tenant's sign-in log tells which of the two",
  ],
})

const needsUser = all("needs_user", "the user must sign in again", {
  70000: "Microsoft does not accept the refresh token any more",
  70008: "the refresh token has expired",
  700082: "the refresh token was not used for 90 days",
  700084: [
    "the refresh token was issued to a single-page app and has passed its 24 hours",
    "register the redirect address as web or mobile, then the user must sign in again",
  ],
  70043: "a sign-in frequency policy has ended the refresh token",
  50173: "the grant was revoked: a password changed, or sessions were ended",
  50076: "multi-factor sign-in is demanded",
  50078: "the multi-factor sign-in has expired",
  50079: "the user must set up multi-factor sign-in",
  50072: "the user must set up multi-factor sign-in",
  50074: "the multi-factor challenge was not passed",
  50132: "the session has ended: the password expired or changed",
  50133: "the session has ended: the password expired or changed",
  50089: "the session has expired",
  50085: "the user's own identity provider wants a new sign-in",
  50158: "an external security challenge was not met",
  50055: ["the password has expired", "the user must change it and sign in again"],
  50144: ["the password has expired in the organisation's directory", "the user must change it and sign in again"],
  50056: "the password is wrong or absent",
  50126: "user name or password are wrong",
  50064: "user name or password were not accepted",
  50135: ["the password must be changed because of risk", "the user must change it and sign in again"],
  65004: ["the user declined consent", "the user must sign in again and consent"],
  90094: ["an administrator's consent is needed", "an administrator must consent, then the user must sign in again"],
  90095: ["an administrator's consent is needed", "an administrator must consent, then the user must sign in again"],
  50097: "a sign-in from a known device is demanded",
  53000: "a compliant device is demanded",
  53001: "a device of the organisation's domain is demanded",
  53002: [
    "the tenant allows approved apps only",
    "an administrator must approve the app, then the user must sign in again",
  ],
  53004: "the user must set up multi-factor sign-in",
  50005: "the tenant's policy does not allow this kind of device",
  50129: "a registered device is demanded",
  50131: "a Conditional Access policy was not met",
  700020: "the grant wants the user's interaction",
  54005: "an authorization code was redeemed twice",
  9002313: [
    "the refresh token is malformed",
    "it may have been cut off or changed on its way here: import it again, or have the user sign in again",
  ],
})

export const microsoftCodes: ReadonlyMap<number, MicrosoftCode> = new Map([
  ...throttled,
  ...transient,
  ...app,
  ...appAtTenant,
  ...scope,
  ...blocked,
  ...needsUser,
])

/**
 * 70000 means three things, told apart by its text only (seen on personal accounts). The text is a hint: one that is not
 * known gives `undefined`, and the answer is ambiguous.
 */
export const meaningOf70000 = (description: string): MicrosoftCode | undefined => {
  // Each of the texts goes on to speak of "the requested scope", so that word alone says nothing.
  if (/service abuse/i.test(description)) {
    return {
      class: "blocked",
      message: "Microsoft has locked the mailbox for abuse; its owner must unlock it at account.microsoft.com",
    }
  }
  if (
    /\bscopes?\b[^.]{0,80}\b(?:unauthori[sz]ed|expired|not (?:been )?(?:consented|granted|authori[sz]ed))/i.test(
      description,
    )
  ) {
    return {
      class: "scope",
      message:
        "the grant does not hold the permission that is asked for, but may hold others; have the user consent again",
    }
  }
  const dead =
    /could not be authenticated|grant is (?:expired|invalid)|refresh[ _]token\W.{0,40}(?:expired|revoked|not valid|isn't valid)/i
  return dead.test(description) ? microsoftCodes.get(70000) : undefined
}
