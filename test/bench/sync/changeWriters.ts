/**
 * Writers of the change log, each on a connection of its own: short transactions that do some work before they append their
 * entries and commit. `store` appends as the product does; `plain` is an insert and nothing else.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect, Redacted } from "effect"
import { newId } from "../../../src/domain/Ids.ts"
import { appendChanges } from "../../../src/storage/mail/ChangeLog.ts"
import { Database } from "../../../src/storage/Database.ts"
import { carryOut, optionsOf } from "./orders.ts"

export interface ChangeWritersOptions {
  readonly databaseUrl: string
  readonly schema: string
  readonly writers: number
  /** Entries of a transaction. */
  readonly entries: number
}

export interface ChangeWritersOrder {
  readonly by: "store" | "plain"
  /** Table of `plain`, within the schema. */
  readonly table: string
  /** Of each writer. */
  readonly transactions: number
}

const options = optionsOf<ChangeWritersOptions>()

const program = Effect.gen(function* () {
  const database = yield* Database.fromClient({ schema: options.schema, engine: "postgres" })
  const { sql } = database
  return ({ by, table, transactions }: ChangeWritersOrder) =>
    Effect.gen(function* () {
      const plain = sql(`${options.schema}.${table}`)
      const write = (n: number) =>
        sql.withTransaction(Effect.gen(function* () {
          // As pages do: some take longer than others.
          yield* sql`select pg_sleep(${(n % 7) / 2_000})`
          const entries = Array.from({ length: options.entries }, () => ({
            accountId: newId(),
            kind: "message.created" as const,
            origin: "live" as const,
            messageId: newId(),
            folderId: newId(),
          }))
          if (by === "store") return yield* appendChanges(database, entries)
          yield* sql`insert into ${plain} (account_id, message_id, folder_id, kind, origin)
            select a::uuid, m::uuid, f::uuid, 'message.created', 'live' from unnest(
              ${entries.map(({ accountId }) => accountId)}::text[], ${
            entries.map(({ messageId }) => messageId)
          }::text[],
              ${entries.map(({ folderId }) => folderId)}::text[]) as new (a, m, f)`
        }))
      const begun = performance.now()
      yield* Effect.forEach(
        Array.from({ length: options.writers }, (_, writer) => writer),
        (writer) =>
          Effect.forEach(Array.from({ length: transactions }, (_, n) => n + writer), write, { discard: true }),
        { concurrency: "unbounded", discard: true },
      )
      return { seconds: (performance.now() - begun) / 1_000 }
    })
})

await Effect.runPromise(
  Effect.gen(function* () {
    const work = yield* program
    yield* Effect.promise(() => carryOut<ChangeWritersOrder>((order) => Effect.runPromise(work(order))))
  }).pipe(
    Effect.provide(PgClient.layer({
      url: Redacted.make(options.databaseUrl),
      maxConnections: options.writers,
      minConnections: options.writers,
      multiplex: false,
    })),
  ),
)
