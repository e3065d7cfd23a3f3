import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Webhooks: endpoints with their place in the change log and in the events, and what of these waits to be sent. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // Identities are given out before the commit: a position is given afterwards, so that positions have the order of commits.
    yield* sql`create sequence ${t("event_positions")} as bigint`
    yield* sql`alter table ${t("events")} add column position bigint`
    yield* sql`update ${t("events")} e set position = placed.position
      from (select id, nextval(${`${schema}.event_positions`}::text::regclass) as position
        from (select id from ${t("events")} order by id offset 0) waiting) placed
      where e.id = placed.id`
    yield* sql`create unique index events_position on ${t("events")} (position)`
    yield* sql`create index events_unplaced on ${t("events")} (id) where position is null`

    // secret, previous_secret = sealed. events, tags null = all. change_cursor, event_cursor = what was taken into the
    // deliveries. fence, lease_until = the process that sends. failures, failing_since, paused_until = of the receiver as a whole.
    yield* sql`create table ${t("webhooks")} (
      id uuid primary key,
      url text not null,
      description text not null,
      events text[],
      origins text[] not null,
      tags text[],
      enabled boolean not null default true,
      secret bytea not null,
      previous_secret bytea,
      previous_secret_until timestamptz,
      change_cursor bigint not null,
      event_cursor bigint not null,
      fence bigint not null default 0,
      lease_until timestamptz,
      failures integer not null default 0,
      failing_since timestamptz,
      paused_until timestamptz,
      delivered_at timestamptz,
      disabled_at timestamptz,
      disabled_reason text,
      created_at timestamptz not null default now(),
      updated_at timestamptz not null default now()
    ) with (fillfactor = 70)`

    // Of one lane (an account, an app, a run) the next is sent when the one before has arrived.
    yield* sql`create table ${t("webhook_deliveries")} (
      id bigint generated always as identity primary key,
      webhook_id uuid not null references ${t("webhooks")} on delete cascade,
      account_id uuid references ${t("accounts")} on delete cascade,
      lane text collate "C" not null,
      type text not null,
      change_id bigint,
      event_id bigint references ${t("events")} on delete cascade,
      attempts integer not null default 0,
      queued_at timestamptz not null default now(),
      first_failed_at timestamptz,
      attempted_at timestamptz,
      next_at timestamptz,
      delivered_at timestamptz,
      status integer,
      error text
    ) with (fillfactor = 80)`
    yield* sql`create index webhook_deliveries_waiting on ${
      t("webhook_deliveries")
    } (webhook_id, id) where delivered_at is null`
    yield* sql`create index webhook_deliveries_recent on ${t("webhook_deliveries")} (webhook_id, id)`
    yield* sql`create index webhook_deliveries_event on ${
      t("webhook_deliveries")
    } (event_id) where event_id is not null`
    yield* sql`create index webhook_deliveries_account on ${t("webhook_deliveries")} (account_id)`
  })
