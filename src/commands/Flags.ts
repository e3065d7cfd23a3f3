/** Flags that several commands take. */
import { Option } from "effect"
import { Flag } from "effect/cli"
import { AccountStatus, Provider } from "../domain/Account.ts"

/** The flag's value under its name, or nothing: queries and payloads leave out what is not given. */
export const given = <const Name extends string, A>(
  name: Name,
  value: Option.Option<A>,
): { readonly [K in Name]?: A } =>
  Option.match(value, {
    onNone: () => ({}),
    // A computed name of a literal type becomes an index signature, hence the type by hand.
    onSome: (some) => ({ [name]: some } as { readonly [K in Name]: A }),
  })

export const json = Flag.Boolean("json").pipe(
  Flag.withDescription("Print JSON on standard output, and nothing else there"),
  Flag.withoutNegation,
  Flag.withDefault(false),
)

export const wait = Flag.Boolean("wait").pipe(
  Flag.withDescription(
    "Follow the run until it has ended. --no-wait prints its id and leaves; it goes on at the server",
  ),
  Flag.withDefault(true),
)

export const limit = Flag.Int("limit").pipe(
  Flag.withDescription("How many to list at most"),
  Flag.filter((limit) => limit >= 1 && limit <= 1_000_000, () => "a whole number from 1 to 1000000"),
  Flag.withDefault(50),
)

export const status = Flag.Literals("status", AccountStatus.literals).pipe(
  Flag.withDescription("Accounts of this status"),
  Flag.optional,
)

export const tag = Flag.String("tag").pipe(Flag.withDescription("Accounts that carry this tag"), Flag.optional)

export const search = Flag.String("search").pipe(
  Flag.withDescription("Accounts whose address contains this text, in whatever case"),
  Flag.optional,
)

export const provider = Flag.Literals("provider", Provider.literals).pipe(
  Flag.withDescription("Accounts at this provider"),
  Flag.optional,
)
