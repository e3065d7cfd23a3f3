import { Schema } from "effect"

/** A data key cannot be wrapped or unwrapped. `message` is one line for the operator. */
export class KeyProviderError extends Schema.TaggedError<KeyProviderError>()("KeyProviderError", {
  message: Schema.String,
}) {}
