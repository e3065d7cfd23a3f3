import { assert, describe, it } from "@effect/vitest"
import { DateTime, Duration } from "effect"
import { printable, relative, short, table, upcoming } from "../../src/commands/Text.ts"

describe("Text", () => {
  it("lets no character steer the terminal", () => {
    assert.strictEqual(printable("a\x1b[2Jb\r\n\u202ec"), "a\ufffd[2Jb\ufffd\ufffd\ufffdc")
    assert.notInclude(table([["x\x1b]0;title\x07", "y"]]), "\x1b")
  })

  it("writes durations to two units", () => {
    const cases: ReadonlyArray<readonly [Duration.Input, string]> = [
      [0, "0 s"],
      ["440 millis", "0.4 s"],
      ["9.9 seconds", "9.9 s"],
      ["59 seconds", "59 s"],
      ["60 seconds", "1 min"],
      ["3599 seconds", "59 min 59 s"],
      ["130 minutes", "2 h 10 min"],
      ["76 hours", "3 d 4 h"],
    ]
    for (const [input, text] of cases) assert.strictEqual(short(Duration.fromInputUnsafe(input)), text)
  })

  it("writes times as seen from now", () => {
    const now = DateTime.makeUnsafe("2026-01-01T00:00:00Z")
    const at = (text: string) => DateTime.makeUnsafe(text)
    assert.strictEqual(relative(null, now), "never")
    assert.strictEqual(relative(now, now), "now")
    assert.strictEqual(relative(at("2026-01-01T05:30:00Z"), now), "in 5 h")
    assert.strictEqual(relative(at("2025-12-31T23:57:00Z"), now), "3 min ago")
    assert.strictEqual(relative(at("2025-12-22T00:00:00Z"), now), "10 d ago")
    assert.strictEqual(upcoming(at("2025-12-31T23:57:00Z"), now), "due")
    assert.strictEqual(upcoming(null, now), "-")
  })

  it("pads columns to their widest cell", () => {
    assert.strictEqual(table([["A", "B", "C"], ["long", "x", ""]]), "A     B  C\nlong  x")
  })
})
