/** Refresh policies of tags. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { RefreshPolicy } from "../domain/Account.ts"
import { Authorization } from "./Authorization.ts"
import { Boundary } from "./Boundary.ts"
import { TagPolicy } from "./Models.ts"
import { page, pageOf, Tag } from "./Parameters.ts"
import { InvalidCursor, NotFound } from "./Problems.ts"

const params = { tag: Tag }

export class Policies extends HttpApiGroup.make("policies")
  .add(
    HttpApiEndpoint.get("list", "/v1/tag-policies", {
      query: page,
      success: pageOf(TagPolicy),
      error: InvalidCursor,
    }).annotateMerge(
      OpenApi.annotations({ summary: "List the policies of tags", description: "In the order of tags." }),
    ),
    HttpApiEndpoint.put("set", "/v1/tag-policies/:tag", {
      params,
      payload: Schema.Struct({ policy: RefreshPolicy }).annotate({ identifier: "TagPolicyChange" }),
      success: TagPolicy,
    }).annotateMerge(OpenApi.annotations({
      summary: "Set the policy of a tag",
      description: [
        "For accounts that carry the tag, now or later, and have no `refreshPolicy` of their own. Where an account has several",
        "tags, `warm` wins. It takes effect at once.",
      ].join(" "),
    })),
    HttpApiEndpoint.delete("unset", "/v1/tag-policies/:tag", { params, error: NotFound }).annotateMerge(
      OpenApi.annotations({
        summary: "Take the policy of a tag away",
        description: "Its accounts follow their other tags, else `keep-alive`.",
      }),
    ),
  )
  .middleware(Boundary)
  .middleware(Authorization)
  .annotateMerge(OpenApi.annotations({
    title: "Policies",
    description: [
      "When grants are redeemed by themselves: `keep-alive`, every `MAILFLEET_REFRESH_EVERY`, or `warm`, before the access",
      "token ends. An account follows its own policy, else that of its tags, else `keep-alive`.",
    ].join(" "),
  })) {}
