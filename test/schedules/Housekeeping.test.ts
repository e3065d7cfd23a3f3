/** What is done now and then is done in a running engine. */
import { assert } from "@effect/vitest"
import { DateTime, Duration, Effect, Layer, Logger, Option, Redacted, Schedule } from "effect"
import { FetchHttpClient } from "effect/http"
import { newId } from "../../src/domain/Ids.ts"
import { Settings } from "../../src/domain/Settings.ts"
import { AppRequests } from "../../src/programs/AppRequests.ts"
import { layerEngine } from "../../src/schedules/Engine.ts"
import * as Housekeeping from "../../src/schedules/Housekeeping.ts"
import { Events } from "../../src/storage/Events.ts"
import { onDatabases } from "../support/databases.ts"

const lines: Array<string> = []
const capture = Logger.layer([Logger.map(Logger.formatLogFmt, (line) => {
  lines.push(line)
})])

const engine = layerEngine.pipe(
  Layer.provideMerge(Settings.layerWith({
    databaseUrl: Option.none(),
    encryptionKeys: Option.some(Redacted.make(`k1:${btoa("k".repeat(32))}`)),
  })),
  Layer.provide(FetchHttpClient.layer),
  Layer.provideMerge(capture),
  Layer.orDie,
)

await onDatabases("Housekeeping", engine, (it) => {
  it.effect("operators are told of a secret that ends", () =>
    Effect.gen(function* () {
      const requests = yield* AppRequests
      const events = yield* Events
      const app = yield* requests.add({
        provider: "microsoft",
        clientId: newId(),
        secret: Redacted.make("CANARY"),
        secretExpiresAt: DateTime.addDuration(yield* DateTime.now, Duration.days(5)),
      })
      const subject = `microsoft:${app.clientId}:common`
      yield* Layer.build(Housekeeping.layer)
      const told = yield* events.list({ limit: 10, kind: "app.secret_expiring" }).pipe(
        Effect.map(({ items }) => items.filter((event) => event.subject === subject)),
        Effect.repeat({ schedule: Schedule.spaced("20 millis"), until: (found) => found.length > 0 }),
      )
      assert.lengthOf(told, 1)
      assert.isTrue(lines.some((line) => line.includes("app.secret_expiring") && line.includes("level=WARN")))
      for (const line of lines) assert.notInclude(line, "CANARY")
    }))
})
