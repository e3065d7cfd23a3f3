/** The databases that tests run on: `TEST_ENGINES`, by default `embedded,postgres`. */
export type Engine = "embedded" | "postgres"

const wanted = (Deno.env.get("TEST_ENGINES") ?? "embedded,postgres").split(",").map((name) => name.trim())

/** The engines to run on, in the order of speed. */
export const engines: ReadonlyArray<Engine> = (["postgres", "embedded"] as const).filter((name) =>
  wanted.includes(name)
)

/** The Postgres of `DATABASE_URL`, or else database and user `postgres` on this machine. */
export const postgresUrl = Deno.env.get("DATABASE_URL") ?? "postgres://postgres@127.0.0.1:5432/postgres"
