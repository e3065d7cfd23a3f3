/** One thing that `doctor` looked at. */
import { Schema } from "effect"

export const Finding = Schema.Struct({
  /** What was looked at. */
  check: Schema.String,
  /** `warn`: it works as it is, and something is to be done or known. `fail`: it does not work. */
  state: Schema.Literals(["ok", "warn", "fail"]),
  message: Schema.String,
  /** What to do about it. */
  todo: Schema.optionalKey(Schema.String),
})
export type Finding = typeof Finding.Type

export const ok = (check: string, message: string): Finding => ({ check, state: "ok", message })
export const warn = (check: string, message: string, todo: string): Finding => ({ check, state: "warn", message, todo })
export const fail = (check: string, message: string, todo?: string): Finding => ({
  check,
  state: "fail",
  message,
  ...(todo === undefined ? {} : { todo }),
})
