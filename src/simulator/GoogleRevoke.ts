/** Google's revocation endpoint (Google Identity, revoking a token): all that the user allowed goes with the token. */
import { readForm } from "./Form.ts"
import type { World } from "./World.ts"

export const googleRevoke = async ({ grants }: World, request: Request): Promise<Response> => {
  const held = grants.readRefreshToken((await readForm(request)).get("token") ?? "")
  const grant = held === undefined ? undefined : grants.get(held.index)
  if (grant === undefined || grant.revoked !== undefined) {
    return Response.json({ error: "invalid_token", error_description: "Token expired or revoked" }, { status: 400 })
  }
  grant.revoked = "invalid_grant"
  return Response.json({})
}
