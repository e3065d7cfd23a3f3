/** What a process that serves is made of: settings, database, engine and HTTP. */
import { Effect, Layer, Logger, References } from "effect"
import { FetchHttpClient } from "effect/http"
import { Settings, type SettingsError, type SettingsValues } from "../domain/Settings.ts"
import { layerEngine, layerEngineInCluster } from "../schedules/Engine.ts"
import { Shutdown } from "../server/Shutdown.ts"
import type { DatabaseError } from "../storage/Database.ts"
import { layerDatabase } from "../storage/Embedded.ts"
import { layerSettings } from "../storage/EmbeddedSecrets.ts"
import { layerClusterRunner } from "./ClusterRunner.ts"
import { CommandError } from "./ExitCode.ts"
import { layerLogger, layerTracing } from "./Telemetry.ts"

const layerEngineOfSettings = Layer.unwrap(
  Effect.map(
    Settings,
    ({ cluster }) => cluster ? Layer.provide(layerEngineInCluster, layerClusterRunner) : layerEngine,
  ),
)

/** Everything but the schedules and the port. `overrides` win over the environment. */
export const layerProcess = (overrides: Partial<SettingsValues> = {}) =>
  Layer.mergeAll(layerEngineOfSettings, Shutdown.layer).pipe(
    Layer.provideMerge(layerDatabase),
    Layer.provide(FetchHttpClient.layer),
    Layer.provideMerge(Layer.merge(layerLogger, layerTracing)),
    Layer.provideMerge(layerSettings(overrides)),
  )

/**
 * Logs go to standard error, one line each: standard output is for what a command answers. Without a `level` it is that of
 * `--log-level`, or else "Info".
 */
export const layerLog = (level?: "Warn") =>
  Layer.mergeAll(
    Logger.layer([Logger.withConsoleError(Logger.formatLogFmt)]),
    level === undefined ? Layer.empty : Layer.succeed(References.MinimumLogLevel, level),
  )

/** Faults of settings and database are the operator's to mend: one line says which. */
export const toCommandError = <A, E, R>(effect: Effect.Effect<A, E | SettingsError | DatabaseError, R>) =>
  Effect.catchIf(
    effect,
    (error): error is (SettingsError | DatabaseError) & E => isOperatorError(error),
    (error) => Effect.fail(new CommandError({ message: error.message })),
  )

const isOperatorError = (error: unknown): error is SettingsError | DatabaseError =>
  typeof error === "object" && error !== null && "_tag" in error &&
  (error._tag === "SettingsError" || error._tag === "DatabaseError")
