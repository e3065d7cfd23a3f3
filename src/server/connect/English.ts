import type { Texts } from "./Texts.ts"

export const english: Texts = {
  tag: "en",
  name: "English",
  languageLabel: "Language",
  signIn: {
    title: "Connect your mailbox",
    text:
      "You will go to {provider}, sign in there, and allow this service to read your mail. It never sees your password.",
  },
  signInAs: "Please sign in as {expected}.",
  consent: {
    title: "Allow access for your organisation",
    text:
      "As an administrator you will go to {provider} and allow this service to read mailboxes of your organisation.",
  },
  once: "The link works once. If you break off, ask for a new one.",
  go: "Continue to {provider}",
  connected: { title: "Your mailbox is connected", text: "{email} is connected." },
  disabled:
    "The operator of this service has switched this mailbox off; nothing is read until it is switched on again.",
  consented: { title: "Access is allowed", text: "This service may now read mailboxes of your organisation." },
  canClose: "You can close this page.",
  unusable: {
    unknown: { title: "This link is not valid", text: "Check that you opened the whole link." },
    used: { title: "This link has been used", text: "Each link works once, for one sign-in." },
    expired: { title: "This link has expired", text: "Links work for a short time only." },
    other_browser: {
      title: "This sign-in began elsewhere",
      text: "A sign-in must end in the browser in which it began, with cookies allowed. Nothing was connected.",
    },
  },
  refused: {
    access_denied: {
      title: "The access was not allowed",
      text: "You did not allow the access at {provider}, or broke off. Nothing was connected.",
    },
    wrong_person: {
      title: "Another person was expected",
      text: "You signed in as {actual}, but {expected} was expected. Nothing was connected.",
    },
    permission_missing: {
      title: "The permission to read mail is missing",
      text: "Without it, your mailbox cannot be connected. Sign in again and leave all permissions ticked.",
    },
    consent_required: {
      title: "An administrator must agree first",
      text: "Your organisation lets only administrators allow this app. Ask yours to do so, and then sign in again.",
    },
    account_blocked: {
      title: "Your organisation blocks the access",
      text: "A rule of your organisation, or a lock of {provider}, stands in the way. Ask your administrator.",
    },
    account_taken: {
      title: "This mailbox is here already",
      text:
        "The mailbox of {actual} is already read in another way. The operator of this service must decide which one stays.",
    },
    account_gone: { title: "This mailbox was removed", text: "The operator of this service has removed it meanwhile." },
    app_misconfigured: {
      title: "This service is not set up correctly",
      text:
        "{provider} refuses the app, not you. Tell whoever sent you the link; they find the reason in their records.",
    },
    issuer_mismatch: {
      title: "The answer came from elsewhere",
      text: "The answer is not from the place where you were sent to sign in. For your safety nothing of it was used.",
    },
    no_address: {
      title: "Your address could not be read",
      text: "{provider} does not say which address is yours. Tell whoever sent you the link.",
    },
    no_refresh_token: {
      title: "Lasting access is missing",
      text: "{provider} allowed the access for a moment only. Sign in again and leave all permissions ticked.",
    },
    provider_unavailable: {
      title: "{provider} does not answer",
      text: "The fault is likely to pass. Nothing was connected. Please try again in a few minutes.",
    },
    sign_in_failed: {
      title: "The sign-in did not succeed",
      text: "{provider} did not confirm the sign-in. Nothing was connected.",
    },
  },
  newLink: "To try again, ask whoever sent you the link for a new one.",
  sameLink: "To try again, open the link once more.",
  reference: "Reference for the operator: {reference}",
  onward: "Continue to {host}",
  fault: {
    title: "Something went wrong",
    text: "The fault is ours and has been noted. Please try again with a new link.",
  },
}
