/** Why an account is in its state, and what somebody can do about it. */
import type { Account } from "./Api.ts"

export interface Advice {
  readonly title: string
  /** What follows from it, and what to do. */
  readonly text: string
}

type FailureClass = NonNullable<Account["token"]["lastError"]>["class"]

/** Of an account whose user need not sign in again, and which is not blocked. */
const failures: Readonly<Record<FailureClass, string>> = {
  throttled: "The provider asks us to go more slowly. Nothing to do: it is tried again when the provider lets us.",
  transient: "A passing fault of the network or the provider. Nothing to do: it is tried again by itself.",
  app:
    "The provider refuses the app, not the account: its secret, certificate or registration is wrong. Mend the app; " +
    "its accounts then go on by themselves.",
  scope: "A permission was not consented to. Add it to the app, and have the user sign in again.",
  blocked: "An administrator of the organisation, or the owner of the mailbox, must act.",
  needs_user: "The user must sign in again.",
  ambiguous:
    "The provider refused the refresh token without a known reason. It is tried again over some hours before " +
    "the account is said to need a new sign-in. Nothing to do yet.",
  unknown: "The provider gave an answer that is not known. It is tried again slowly; the log has the details.",
}

export const adviceFor = ({ access, status, sync, token }: Account): Advice => {
  switch (status) {
    case "needs_reauth":
      return access === "own" || access === "shared"
        ? {
          title: "Somebody must sign in again",
          text:
            "The refresh token is dead: nothing but a new sign-in of the user helps. Send the link to whoever owns " +
            "the mailbox. It stays the same, and afterwards the account goes on where it stood.",
        }
        : {
          title: "An administrator must consent again",
          text:
            "The app may not read this mailbox any more. Have an administrator of the organisation consent to it; " +
            "the account then goes on by itself.",
        }
    case "blocked":
      return {
        title: "An administrator must act, or the provider locked it",
        text: "It is looked at again slowly by itself. Once the cause is mended, refresh it here to go on at once.",
      }
    case "disabled":
      return {
        title: "Switched off",
        text: "Somebody switched this account off: the provider is not contacted for it. While it is off its refresh " +
          "token grows old, and ends in the long run. Switch it on to go on.",
      }
    case "pending":
      return token.lastError === undefined
        ? {
          title: "Not tried yet",
          text:
            "It is stored, and its refresh token was not redeemed yet: that happens when it is due. Refresh it to try now.",
        }
        : { title: "Not signed in yet", text: failures[token.lastError.class] }
    case "active":
      if (token.lastError !== undefined) {
        return { title: "The last refresh failed", text: failures[token.lastError.class] }
      }
      if (sync.lastError !== undefined) {
        return {
          title: "The last sync failed",
          text:
            "The account is signed in, but its mail could not be read. It is tried again by itself; if it stays so, " +
            "look at the channel and at the permissions of the app.",
        }
      }
      return { title: "All is well", text: "It is signed in, and refreshed and synced by itself." }
  }
}
