/** Webhooks: made, changed, taken away, and what became of their deliveries. */
import { Context, Effect, Layer, Option, Redacted } from "effect"
import type { SqlError } from "effect/sql"
import { Buffer } from "node:buffer"
import { randomBytes } from "node:crypto"
import { isId, newId } from "../../domain/Ids.ts"
import type {
  DeliveryState,
  NewWebhook,
  Webhook,
  WebhookDelivery,
  WebhookId,
  WebhookPatch,
} from "../../domain/Webhook.ts"
import { Vault } from "../../oauth/Vault.ts"
import { afterCursor, type InvalidCursor, pageOf } from "../Cursor.ts"
import { column, Database, orDie } from "../Database.ts"
import { placeEvents } from "../EventPositions.ts"
import { PositionExpired, positionsOf } from "../mail/Positions.ts"
import { beforeCursor, pageBefore } from "../NewestFirst.ts"
import { type DeliveryRow, toDelivery, toWebhook, webhookColumns, type WebhookRow } from "./WebhookRows.ts"

/** Within the 24 to 64 bytes of the convention. */
const secretBytes = 32

/** The secret of before a rotation signs as well for this long. */
export const overlapHours = 24

/** The owner of the secrets, as the Vault knows it. */
export const webhookOwner = (id: WebhookId): string => `webhook:${id}`

const newSecret = () => Redacted.make(`whsec_${Buffer.from(randomBytes(secretBytes)).toString("base64")}`)

interface Listed {
  readonly limit: number
  readonly cursor?: string | undefined
}

export class Webhooks extends Context.Service<Webhooks, {
  /** It is sent what happens from now on. The secret is in this answer, and never again. */
  readonly create: (
    webhook: NewWebhook,
  ) => Effect.Effect<{ readonly webhook: Webhook; readonly secret: Redacted.Redacted }>
  readonly get: (id: WebhookId) => Effect.Effect<Option.Option<Webhook>>
  /** Oldest first. */
  readonly list: (
    options: Listed,
  ) => Effect.Effect<{ readonly items: ReadonlyArray<Webhook>; readonly nextCursor: string | null }, InvalidCursor>
  /**
   * Changes what is given. What waits already is sent as it was chosen. It cannot be enabled where changes that it has not been
   * sent are deleted: it must be told by a replay where to go on.
   */
  readonly update: (id: WebhookId, patch: WebhookPatch) => Effect.Effect<Option.Option<Webhook>, PositionExpired>
  /** What waits is sent no more. False = there is none of this id. */
  readonly remove: (id: WebhookId) => Effect.Effect<boolean>
  /** A new secret; the one before signs as well for {@link overlapHours} hours. */
  readonly rotateSecret: (
    id: WebhookId,
  ) => Effect.Effect<Option.Option<{ readonly webhook: Webhook; readonly secret: Redacted.Redacted }>>
  /**
   * Sends what comes after a position of the change log, whatever was sent of it already; events likewise, from the time of
   * that position. What waits is sent in its turn of the log, or, where the position is later, not at all.
   */
  readonly replay: (
    id: WebhookId,
    after: string,
  ) => Effect.Effect<Option.Option<Webhook>, InvalidCursor | PositionExpired>
  /** Newest first. */
  readonly deliveries: (
    id: WebhookId,
    options: Listed & { readonly state?: DeliveryState | undefined },
  ) => Effect.Effect<
    { readonly items: ReadonlyArray<WebhookDelivery>; readonly nextCursor: string | null },
    InvalidCursor
  >
  /** What signs: the current secret first, then the one before as long as both do. Sealed. None = there is no such webhook. */
  readonly target: (id: WebhookId) => Effect.Effect<
    Option.Option<{ readonly url: string; readonly secrets: ReadonlyArray<Uint8Array> }>
  >
}>()("mailfleet/storage/Webhooks") {
  static readonly layer: Layer.Layer<Webhooks, never, Database | Vault> = Layer.effect(
    Webhooks,
    Effect.gen(function* () {
      const database = yield* Database
      const vault = yield* Vault
      const { sql, tables: t } = database
      const positions = yield* orDie(positionsOf(database))
      const shown = toWebhook(positions)
      const columns = sql.literal(webhookColumns)
      // Index: webhook_deliveries_waiting. Their number is bounded, see WebhookOutbox.
      const waiting = sql`(select count(*)::int from ${t.webhook_deliveries} d
        where d.webhook_id = w.id and d.delivered_at is null) as waiting`
      const texts = (list: ReadonlyArray<string> | null) => list === null ? null : column("text", [...new Set(list)])

      const one = (id: WebhookId) =>
        Effect.map(
          sql<WebhookRow>`select ${columns}, ${waiting} from ${t.webhooks} w where id = ${id}`,
          (rows) => Option.map(Option.fromUndefinedOr(rows[0]), shown),
        )

      const create = Effect.fn("Webhooks.create")(function* (webhook: NewWebhook) {
        const id = newId()
        const secret = newSecret()
        yield* placeEvents(database)
        yield* sql`insert into ${t.webhooks}
            (id, url, description, events, origins, tags, enabled, secret, change_cursor, event_cursor)
          values (${id}, ${webhook.url}, ${webhook.description ?? ""}, ${texts(webhook.events ?? null)}::text[],
            ${texts(webhook.origins ?? ["live"])}::text[], ${texts(webhook.tags ?? null)}::text[], ${
          webhook.enabled ?? true
        },
            ${vault.seal(webhookOwner(id), Redacted.value(secret))},
            ${positions.newest}, coalesce((select max(position) from ${t.events}), 0))`
        return { webhook: Option.getOrThrow(yield* one(id)), secret }
      }, orDie)

      /** What was tried in vain is tried again at once. */
      const startAfresh = (id: WebhookId) =>
        sql`update ${t.webhook_deliveries} set attempts = 0, first_failed_at = null, next_at = null
          where webhook_id = ${id} and delivered_at is null and attempts > 0`

      const resumable = (cursor: bigint) =>
        Effect.mapError(positions.unswept(cursor), ({ position }) =>
          new PositionExpired({
            position,
            message:
              "changes that it has not been sent are older than MAILFLEET_CHANGE_RETENTION_DAYS, and have been deleted: " +
              `list the messages anew (GET /v1/messages), replay the webhook from ${position}, then enable it`,
          }))

      const update = Effect.fn("Webhooks.update")(function* (id: WebhookId, patch: WebhookPatch) {
        if (!isId(id)) return Option.none()
        const { description, enabled, events, origins, tags, url } = patch
        return yield* sql.withTransaction(Effect.gen(function* () {
          const sets = [sql`updated_at = now()`]
          if (url !== undefined) sets.push(sql`url = ${url}`)
          if (description !== undefined) sets.push(sql`description = ${description}`)
          if (events !== undefined) sets.push(sql`events = ${texts(events)}::text[]`)
          if (origins !== undefined) sets.push(sql`origins = ${texts(origins)}::text[]`)
          if (tags !== undefined) sets.push(sql`tags = ${texts(tags)}::text[]`)
          if (enabled !== undefined) sets.push(sql`enabled = ${enabled}`)
          // The receiver may be another one now, or be there again: nothing is held against it. Whoever sends begins anew.
          const afresh = url !== undefined || enabled !== undefined
          if (afresh) {
            sets.push(
              sql`failures = 0, failing_since = null, paused_until = null, fence = fence + 1, lease_until = null`,
            )
          }
          if (enabled !== undefined) sets.push(sql`disabled_at = null, disabled_reason = null`)
          const rows = yield* sql<{ change_cursor: bigint }>`update ${t.webhooks} set ${sql.csv(sets)}
            where id = ${id} returning change_cursor`
          if (rows[0] === undefined) return Option.none()
          if (enabled === true) yield* resumable(rows[0].change_cursor)
          if (afresh) yield* startAfresh(id)
          return yield* one(id)
        }))
      }, (effect) => Effect.catchTag(effect, "SqlError", Effect.die))

      const rotateSecret = Effect.fn("Webhooks.rotateSecret")(function* (id: WebhookId) {
        if (!isId(id)) return Option.none()
        const secret = newSecret()
        yield* sql`update ${t.webhooks} set previous_secret = secret, updated_at = now(),
            previous_secret_until = now() + make_interval(hours => ${overlapHours}),
            secret = ${vault.seal(webhookOwner(id), Redacted.value(secret))}
          where id = ${id}`
        return Option.map(yield* one(id), (webhook) => ({ webhook, secret }))
      }, orDie)

      const moveTo = (id: WebhookId, after: bigint): Effect.Effect<Option.Option<Webhook>, SqlError.SqlError> =>
        sql.withTransaction(Effect.gen(function* () {
          // Events of the same time as the position: before the first change there is none.
          const rows =
            yield* sql`update ${t.webhooks} set change_cursor = least(${after}, ${positions.newest}), event_cursor = coalesce((select max(position) from ${t.events}
                where at <= (select at from ${t.changes} where id <= ${after} order by id desc limit 1)), 0),
              fence = fence + 1, lease_until = null, failures = 0, failing_since = null, paused_until = null
            where id = ${id} returning 1`
          if (rows.length === 0) return Option.none()
          yield* sql`delete from ${t.webhook_deliveries} where webhook_id = ${id} and delivered_at is null`
          return yield* one(id)
        }))

      return Webhooks.of({
        create,
        update,
        rotateSecret,
        get: Effect.fn("Webhooks.get")(function* (id) {
          return isId(id) ? yield* one(id) : Option.none()
        }, orDie),
        // Served by the primary key.
        list: Effect.fn("Webhooks.list")(function* ({ cursor, limit }) {
          const after = yield* afterCursor(cursor, isId)
          const rows = yield* orDie(sql<WebhookRow>`select ${columns}, ${waiting} from ${t.webhooks} w
            where ${after === undefined ? sql`true` : sql`id > ${after}`} order by id limit ${limit + 1}`)
          return pageOf(rows, limit, shown, ({ id }) => id)
        }),
        remove: Effect.fn("Webhooks.remove")(function* (id) {
          if (!isId(id)) return false
          const rows = yield* sql`delete from ${t.webhooks} where id = ${id} returning 1`
          return rows.length > 0
        }, orDie),
        replay: Effect.fn("Webhooks.replay")(function* (id, after) {
          const position = yield* positions.parse(after)
          yield* positions.unswept(position)
          return isId(id) ? yield* orDie(moveTo(id, position)) : Option.none()
        }),
        // Index: webhook_deliveries_recent.
        deliveries: Effect.fn("Webhooks.deliveries")(function* (id, { cursor, limit, state }) {
          const before = yield* beforeCursor(cursor)
          if (!isId(id)) return { items: [], nextCursor: null }
          const rows = yield* orDie(
            sql<DeliveryRow>`select id, type, account_id, change_id, event_id, attempts, queued_at,
              attempted_at, next_at, delivered_at, status, error from ${t.webhook_deliveries}
            where ${
              sql.and([
                sql`webhook_id = ${id}`,
                ...(before === undefined ? [] : [sql`id < ${before}`]),
                ...(state === undefined ? [] : [
                  state === "delivered"
                    ? sql`delivered_at is not null`
                    : sql`delivered_at is null and attempts ${sql.literal(state === "waiting" ? "= 0" : "> 0")}`,
                ]),
              ])
            } order by id desc limit ${limit + 1}`,
          )
          return pageBefore(rows, limit, toDelivery(positions))
        }),
        target: Effect.fn("Webhooks.target")(function* (id) {
          if (!isId(id)) return Option.none()
          const rows = yield* sql<{ url: string; secret: Uint8Array; previous: Uint8Array | null }>`select url, secret,
              case when previous_secret_until > now() then previous_secret end as previous
            from ${t.webhooks} where id = ${id}`
          return Option.map(Option.fromUndefinedOr(rows[0]), ({ previous, secret, url }) => ({
            url,
            secrets: previous === null ? [secret] : [secret, previous],
          }))
        }, orDie),
      })
    }),
  )
}
