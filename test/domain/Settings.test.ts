import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Duration, Effect, Layer, Option, Redacted, Schema } from "effect"
import { parseDuration, Settings, type SettingsValues } from "../../src/domain/Settings.ts"

const read = (env: Record<string, string>, overrides: Partial<SettingsValues> = {}) =>
  Effect.provide(
    Settings,
    Settings.layerWith(overrides).pipe(Layer.provide(ConfigProvider.layer(ConfigProvider.fromEnv({ env })))),
  )

describe("Settings", () => {
  it.effect("have a default for everything", () =>
    Effect.gen(function* () {
      const { refreshEvery, syncEvery, syncSpacing, ...rest } = yield* read({})
      assert.deepStrictEqual([syncSpacing, refreshEvery, syncEvery].map(Duration.toSeconds), [2, 86_400, 300])
      assert.deepInclude(rest, {
        databaseUrl: Option.none(),
        databaseSchema: "mailfleet",
        databasePrepare: true,
        dataDir: ".mailfleet",
        host: "127.0.0.1",
        port: 8080,
        encryptionKeys: Option.none(),
        adminKey: Option.none(),
        microsoftAuthority: "https://login.microsoftonline.com",
        microsoftTenant: "common",
        microsoftGraphScope: "https://graph.microsoft.com/.default offline_access",
        microsoftImapScope: "https://outlook.office.com/IMAP.AccessAsUser.All offline_access",
        graphUrl: "https://graph.microsoft.com/v1.0",
        outlookImap: "imaps://outlook.office365.com:993",
        googleAuthority: "https://accounts.google.com",
        returnOrigins: Option.none(),
        googleTokenUrl: "https://oauth2.googleapis.com/token",
        gmailUrl: "https://gmail.googleapis.com/gmail/v1",
        gmailImap: "imaps://imap.gmail.com:993",
        importConcurrency: 5,
        refreshConcurrency: 5,
        backgroundRefreshConcurrency: 10,
        syncConcurrency: 5,
        concurrencyCeiling: 512,
        tokenRate: Option.none(),
        schedules: true,
      })
    }))

  it.effect("write origins as browsers do", () =>
    Effect.gen(function* () {
      const { returnOrigins } = yield* read({
        MAILFLEET_RETURN_ORIGINS: " https://APP.example:443/, http://localhost:3000 ,",
      })
      assert.deepStrictEqual(returnOrigins, Option.some(["https://app.example", "http://localhost:3000"]))
    }))

  it.effect("are taken from the environment, without the blanks around them", () =>
    Effect.gen(function* () {
      const values = yield* read({
        DATABASE_URL: " postgres://mail:secret@db:5432/mail ",
        MAILFLEET_DATABASE_SCHEMA: "mail_2",
        MAILFLEET_DATABASE_PREPARE: "off",
        MAILFLEET_PORT: "0",
        MAILFLEET_GRAPH_URL: "http://127.0.0.1:8090/v1.0//",
        MAILFLEET_SYNC_CONCURRENCY: " 40\n",
        MAILFLEET_REFRESH_CONCURRENCY: "auto",
        MAILFLEET_CONCURRENCY_CEILING: "64",
        MAILFLEET_TOKEN_RATE: " 50",
        MAILFLEET_SYNC_SPACING: "0 seconds",
        MAILFLEET_SYNC_EVERY: "1.5 minutes",
        MAILFLEET_REFRESH_EVERY: "12 Hours",
        MAILFLEET_SCHEDULES: "off",
        MAILFLEET_ADMIN_KEY: "mf_secret",
        // As good as not set.
        MAILFLEET_HOST: "  ",
        MAILFLEET_ENCRYPTION_KEYS: "",
      })
      assert.strictEqual(Redacted.value(Option.getOrThrow(values.databaseUrl)), "postgres://mail:secret@db:5432/mail")
      assert.strictEqual(Redacted.value(Option.getOrThrow(values.adminKey)), "mf_secret")
      assert.notInclude(`${JSON.stringify(values)} ${Deno.inspect(values, { depth: 9 })}`, "secret")
      assert.deepInclude(values, {
        databaseSchema: "mail_2",
        databasePrepare: false,
        port: 0,
        graphUrl: "http://127.0.0.1:8090/v1.0",
        syncConcurrency: 40,
        refreshConcurrency: "auto",
        concurrencyCeiling: 64,
        tokenRate: Option.some(50),
        schedules: false,
        host: "127.0.0.1",
        encryptionKeys: Option.none(),
      })
      assert.deepStrictEqual(
        [values.syncSpacing, values.syncEvery, values.refreshEvery].map(Duration.toSeconds),
        [0, 90, 43_200],
      )
    }))

  it.effect("give way to overrides", () =>
    Effect.gen(function* () {
      const values = yield* read({ MAILFLEET_PORT: "1" }, { port: 2, dataDir: "elsewhere" })
      assert.deepInclude(values, { port: 2, dataDir: "elsewhere" })
    }))

  const number = (from: number, to: number) => `a whole number from ${from} to ${to}`
  const numbers = ["", "x", "-1", "1.5", "1e3", "0x10", "99999999999"].slice(1)
  const url = "an http or https URL"
  const imap = "an imaps://host:port URL"
  const atLeast = (minimum: string) =>
    `a duration of at least ${minimum}, written like "2 seconds", "5 minutes" or "1 day"`
  const durations = ["5", "soon", "-1 second", "5 parsecs", "1 day 2 hours", "1e9 days", "40000 days"]
  const wrong: ReadonlyArray<readonly [variable: string, expected: string, values: ReadonlyArray<string>]> = [
    ["DATABASE_URL", "a postgres://user:password@host:port/database URL", [
      "mysql://secret@db/mail",
      "secret",
      "/secret",
    ]],
    ["MAILFLEET_DATABASE_SCHEMA", "a Postgres schema name of lower-case letters, digits and _", [
      "Mail",
      "2mail",
      "mail-fleet",
      `m"; drop table`,
      "m".repeat(64),
    ]],
    ["MAILFLEET_DATABASE_CONNECTIONS", number(2, 1_000), [...numbers, "1", "1001"]],
    ["MAILFLEET_DATABASE_PREPARE", "on or off", ["true", "ON", "1"]],
    ["MAILFLEET_HOST", "a host name or address", ["http://host", "a b", "host/path"]],
    ["MAILFLEET_PORT", number(0, 65_535), [...numbers, "65536"]],
    ["MAILFLEET_MICROSOFT_AUTHORITY", url, ["login.microsoftonline.com", "ftp://host", "https://"]],
    ["MAILFLEET_MICROSOFT_TENANT", "common, organizations, consumers, a tenant id or a domain", ["a/b", "a b", "é"]],
    ["MAILFLEET_MICROSOFT_GRAPH_SCOPE", "scopes of Microsoft Graph, separated by blanks", ["x".repeat(2_001)]],
    ["MAILFLEET_MICROSOFT_IMAP_SCOPE", "scopes of Outlook, separated by blanks", ["x".repeat(2_001)]],
    ["MAILFLEET_GRAPH_URL", url, ["graph", "imaps://host"]],
    ["MAILFLEET_OUTLOOK_IMAP", imap, ["host:993", "https://host"]],
    ["MAILFLEET_GOOGLE_TOKEN_URL", url, ["token"]],
    ["MAILFLEET_GMAIL_URL", url, ["gmail"]],
    ["MAILFLEET_GMAIL_IMAP", imap, ["imap.gmail.com"]],
    ...["IMPORT", "REFRESH", "BACKGROUND_REFRESH", "SYNC"].map((kind) =>
      [`MAILFLEET_${kind}_CONCURRENCY`, "auto or a whole number from 1 to 10000", [
        ...numbers,
        "0",
        "10001",
        "Auto",
      ]] as const
    ),
    ["MAILFLEET_CONCURRENCY_CEILING", number(1, 10_000), [...numbers, "0", "10001", "auto"]],
    ["MAILFLEET_TOKEN_RATE", number(1, 1_000), [...numbers, "0", "1001", "0.5", "none"]],
    ["MAILFLEET_SYNC_SPACING", atLeast("0"), durations],
    ["MAILFLEET_CONNECT_TTL", atLeast("1m"), [...durations, "59 seconds"]],
    [
      "MAILFLEET_RETURN_ORIGINS",
      'origins such as "https://app.example.com", separated by commas',
      [
        ",",
        "app.example",
        "https://app.example/path",
        "https://a@app.example",
        "ftp://a.example",
        "https://a.example,*",
      ],
    ],
    ["MAILFLEET_REFRESH_EVERY", atLeast("1s"), [...durations, "0 seconds", "999 millis"]],
    ["MAILFLEET_SYNC_EVERY", atLeast("1s"), [...durations, "0.5 seconds"]],
    ["MAILFLEET_SCHEDULES", "on or off", ["yes", "Off"]],
  ]
  for (const [variable, expected, values] of wrong) {
    it.effect(`${variable} refuses to be anything but ${expected}`, () =>
      Effect.gen(function* () {
        for (const value of values) {
          const error = yield* Effect.flip(read({ [variable]: value }))
          assert.strictEqual(error._tag, "SettingsError", value)
          assert.strictEqual(error.variable, variable)
          assert.isTrue(error.message.startsWith(`${variable} must be ${expected}`), error.message)
          assert.notInclude(error.message, "\n")
        }
      }))
  }

  it.effect.prop(
    "no value of any variable is a defect, and no refusal shows it",
    [Schema.Literals(wrong.map(([variable]) => variable)), Schema.String],
    ([variable, noise]) =>
      Effect.gen(function* () {
        const value = `${noise}Zq7Kx`
        const result = yield* Effect.result(read({ [variable]: value }))
        if (result._tag === "Failure") assert.notInclude(result.failure.message, "Zq7Kx")
      }),
  )

  it("reads durations of every unit, in the singular and the plural", () => {
    for (
      const [text, millis] of [
        ["1 milli", 1],
        ["500 millis", 500],
        ["20 milliseconds", 20],
        ["1 second", 1_000],
        ["2.5 minutes", 150_000],
        ["1 hour", 3_600_000],
        ["1day", 86_400_000],
        ["2 Weeks", 1_209_600_000],
      ] as const
    ) assert.strictEqual(Duration.toMillis(Option.getOrThrow(parseDuration(text))), millis, text)
  })
})
