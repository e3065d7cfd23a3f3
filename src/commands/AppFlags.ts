/** What `apps add` and `apps update` take of an app, and where its secrets come from: never from an argument. */
import { Config, DateTime, Effect, Option, Redacted, Schema } from "effect"
import { CliError, Flag } from "effect/cli"
import { AppScopes, Registration } from "../domain/App.ts"
import { CommandError } from "./ExitCode.ts"
import { given } from "./Flags.ts"

/** Longer than any secret: what follows is not read. */
const mostRead = 10_000

const fromStandardInput = Effect.tryPromise({
  try: async () => {
    let text = ""
    for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
      text += piece
      if (text.length > mostRead) break
    }
    return text
  },
  catch: () => new CommandError({ message: "standard input cannot be read" }),
})

const noSecret = new CommandError({
  message: "give the secret in MAILFLEET_APP_SECRET or on standard input, such as: < secret.txt",
})

const fromEnvironment = Config.String("MAILFLEET_APP_SECRET").pipe(
  Config.option,
  Effect.map(Option.filter((text) => text.trim() !== "")),
  Effect.mapError(() => new CommandError({ message: "MAILFLEET_APP_SECRET cannot be read" })),
)

/** From the environment, else from standard input: arguments are seen by whoever lists processes. */
export const readSecret = Effect.gen(function* () {
  const environment = yield* fromEnvironment
  if (Option.isSome(environment)) return Redacted.make(environment.value)
  if (Deno.stdin.isTerminal()) return yield* noSecret
  const text = yield* fromStandardInput
  return text.trim() === "" ? yield* noSecret : Redacted.make(text)
})

const readFile = (file: string) =>
  Effect.tryPromise({
    try: async () => Redacted.make(await Deno.readTextFile(file)),
    catch: () => new CommandError({ message: `the file ${file} cannot be read` }),
  })

const decodeScopes = Schema.decodeUnknownOption(AppScopes, { onExcessProperty: "error" })

export const secretExpires = Flag.Date("secret-expires").pipe(
  Flag.withDescription("When the provider ends the secret, such as 2027-01-31: events tell of it beforehand"),
  Flag.optional,
)

export const appFlags = {
  authority: Flag.String("authority").pipe(
    Flag.withDescription(
      "Where it signs in at Microsoft, without the tenant, such as https://login.microsoftonline.us",
    ),
    Flag.withMetavar("URL"),
    Flag.optional,
  ),
  redirectUri: Flag.String("redirect-uri").pipe(
    Flag.withDescription("As registered at the provider, if not /connect/callback of the server"),
    Flag.withMetavar("URL"),
    Flag.optional,
  ),
  scopes: Flag.KeyValuePair("scopes").pipe(
    Flag.withDescription(
      'Scopes of a channel (graph, imap, gmail), such as graph="Mail.Read User.Read"; may be repeated',
    ),
    Flag.mapEffect((scopes) =>
      Effect.mapError(
        Effect.fromOption(decodeScopes(scopes)),
        () =>
          new CliError.InvalidValue({
            option: "scopes",
            value: Object.entries(scopes).map((pair) => pair.join("=")).join(", "),
            expected: "channel=scopes, where the channel is graph, imap or gmail",
            kind: "flag",
          }),
      )
    ),
    Flag.optional,
  ),
  registration: Flag.Literals("registration", Registration.literals).pipe(
    Flag.withDescription("spa: its refresh tokens end after 24 hours (Microsoft). testing: after 7 days (Google)"),
    Flag.optional,
  ),
  secretExpires,
  certificate: Flag.String("certificate").pipe(
    Flag.withDescription("A PEM file with a certificate and its private key, for a Microsoft app instead of a secret"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
  serviceAccountKey: Flag.String("service-account-key").pipe(
    Flag.withDescription("The JSON key file of a Google service account"),
    Flag.withMetavar("FILE"),
    Flag.optional,
  ),
}

interface AppFlags {
  readonly authority: Option.Option<string>
  readonly redirectUri: Option.Option<string>
  readonly scopes: Option.Option<AppScopes>
  readonly registration: Option.Option<Registration>
  readonly secretExpires: Option.Option<Date>
  readonly certificate: Option.Option<string>
  readonly serviceAccountKey: Option.Option<string>
}

const readOptional = Effect.fnUntraced(function* (file: Option.Option<string>) {
  return Option.isNone(file) ? Option.none() : Option.some(yield* readFile(file.value))
})

/** The fields of a request, of the flags that are given. */
export const fieldsOf = Effect.fnUntraced(function* (flags: AppFlags) {
  return {
    ...given("authority", flags.authority),
    ...given("redirectUri", flags.redirectUri),
    ...given("scopes", flags.scopes),
    ...given("registration", flags.registration),
    ...given("secretExpiresAt", Option.map(flags.secretExpires, DateTime.fromDateUnsafe)),
    ...given("certificate", yield* readOptional(flags.certificate)),
    ...given("serviceAccountKey", yield* readOptional(flags.serviceAccountKey)),
  }
})
