/** Why a control call is refused. */
import { Schema } from "effect"

/** A control call named something that does not exist. */
export class NotFound extends Schema.TaggedError<NotFound>()("SimulatorNotFound", { message: Schema.String }) {}

/** A control call that makes no sense for what it names, such as an AADSTS code for a Google account. */
export class Unfit extends Schema.TaggedError<Unfit>()("SimulatorUnfit", { message: Schema.String }) {}
