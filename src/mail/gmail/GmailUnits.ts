/**
 * What requests to the Gmail API cost, in quota units (Gmail API, usage limits, for projects made since 1 May 2026). In older
 * projects some cost a quarter of it: they set `MAILFLEET_GMAIL_UNITS_PER_MINUTE` to four times their quota.
 */
export const gmailUnits = {
  getProfile: 1,
  labelsList: 1,
  labelsGet: 1,
  historyList: 2,
  messagesList: 5,
  messagesGet: 20,
  attachmentsGet: 20,
  watch: 100,
  /** Not in the table: a guess. */
  stop: 50,
} as const
