/** Refresh policies of tags. */
import { Schema } from "effect"
import { RefreshPolicy } from "./Account.ts"

/** What is followed for accounts that carry the tag and have no policy of their own. Of several tags `warm` wins. */
export const TagPolicy = Schema.Struct({
  tag: Schema.String,
  policy: RefreshPolicy,
  createdAt: Schema.DateTimeUtcFromString,
})
export type TagPolicy = typeof TagPolicy.Type
