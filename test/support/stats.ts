/** The statistics of a fleet, measured anew: a busy machine may keep a slow measurement for long. */
import { Layer } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { Stats } from "../../src/storage/Stats.ts"

export const freshStats = Layer.fresh(
  Stats.layer.pipe(Layer.provide(SyncPace.layer), Layer.provide(Layer.orDie(Settings.layerWith({})))),
)
