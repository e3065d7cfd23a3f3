/**
 * Which calls the audit log gets an entry of: all that change something, and those that show mail. A call that is added later is
 * among them unless it is a GET.
 */

/** Ids, positions and counts are no mail: folders, changes, runs and accounts are read without an entry. */
const reads: ReadonlySet<string> = new Set([
  "mail.message",
  "mail.attachment",
  "mail.messages",
  "mail.accountMessages",
  "mail.threads",
])

export const isAudited = (method: string, group: string, endpoint: string): boolean =>
  method !== "GET" || reads.has(`${group}.${endpoint}`)
