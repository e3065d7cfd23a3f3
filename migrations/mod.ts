/** All migrations, in order. A migration that has been released is never edited: write the next one. */
import type { Effect } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import fleet from "./0001_fleet.ts"
import refresh from "./0002_refresh.ts"
import fairClaims from "./0003_fair_claims.ts"
import signIn from "./0004_sign_in.ts"
import mail from "./0005_mail.ts"
import push from "./0006_push.ts"
import sync from "./0007_sync.ts"
import apiKeys from "./0008_api_keys.ts"
import webhooks from "./0009_webhooks.ts"
import dashboardSessions from "./0010_dashboard_sessions.ts"
import keys from "./0011_keys.ts"
import audit from "./0012_audit.ts"
import pauses from "./0013_pauses.ts"
import messageBodies from "./0014_message_bodies.ts"
import messageCascades from "./0015_message_cascades.ts"
import bodyCompression from "./0016_body_compression.ts"
import itemFields from "./0017_item_fields.ts"

export const migrations: Readonly<
  Record<string, (schema: string) => Effect.Effect<void, SqlError.SqlError, SqlClient.SqlClient>>
> = {
  "0001_fleet": fleet,
  "0002_refresh": refresh,
  "0003_fair_claims": fairClaims,
  "0004_sign_in": signIn,
  "0005_mail": mail,
  "0006_push": push,
  "0007_sync": sync,
  "0008_api_keys": apiKeys,
  "0009_webhooks": webhooks,
  "0010_dashboard_sessions": dashboardSessions,
  "0011_keys": keys,
  "0012_audit": audit,
  "0013_pauses": pauses,
  "0014_message_bodies": messageBodies,
  "0015_message_cascades": messageCascades,
  "0016_body_compression": bodyCompression,
  "0017_item_fields": itemFields,
}
