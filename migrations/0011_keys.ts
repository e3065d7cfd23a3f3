import { Effect } from "effect"
import { SqlClient } from "effect/sql"

/** Data keys, wrapped; rotations of the encryption key; and grants that come out of a backup. */
export default (schema: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const t = (name: string) => sql(`${schema}.${name}`)

    // use: seal = a data key, the newest seals; lookup = what tokens are hashed by, the oldest counts; direct = values may be
    // sealed by the configured key of this id itself. wrapped_by = the id of a configured key, or :command.
    yield* sql`create table ${t("data_keys")} (
      ordinal bigint generated always as identity primary key,
      id text collate "C" not null,
      use text not null,
      wrapped bytea,
      wrapped_by text,
      created_at timestamptz not null default now(),
      unique (use, id),
      check ((use = 'direct') = (wrapped is null) and (wrapped is null) = (wrapped_by is null))
    )`

    // Every sealed value is looked at in passes, by key order, until a pass finds none that data_key does not seal.
    // place = {table, after}: how far the pass has come. stale = found by this pass. Totals are of the whole rotation.
    yield* sql`create table ${t("encryption_rotations")} (
      id uuid primary key,
      data_key text not null,
      wrapped_by text not null,
      pass integer not null default 1,
      pass_began_at timestamptz not null default now(),
      place jsonb not null default '{"table": 0, "after": null}',
      stale bigint not null default 0,
      total bigint not null,
      processed bigint not null default 0,
      resealed bigint not null default 0,
      unreadable bigint not null default 0,
      fence bigint not null default 0,
      lease_until timestamptz,
      started_at timestamptz not null default now(),
      finished_at timestamptz
    )`
    yield* sql`create unique index encryption_rotations_open on ${t("encryption_rotations")} ((true))
      where finished_at is null`

    // When a backup was restored that held it, unless it was redeemed or brought anew since: its token may be an old one.
    yield* sql`alter table ${t("grants")} add column restored_at timestamptz`
  })
