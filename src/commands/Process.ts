/** What a process that serves is made of: settings, database, engine and HTTP. */
import { Effect, Layer, Logger, References } from "effect"
import { FetchHttpClient } from "effect/http"
import type { SettingsError, SettingsValues } from "../domain/Settings.ts"
import { layerEngine } from "../schedules/Engine.ts"
import { Shutdown } from "../server/Shutdown.ts"
import type { DatabaseError } from "../storage/Database.ts"
import { layerDatabase } from "../storage/Embedded.ts"
import { layerSettings } from "../storage/EmbeddedSecrets.ts"
import { CommandError } from "./ExitCode.ts"
import { layerLogger, layerTracing } from "./Telemetry.ts"

/** Everything but the schedules and the port. `overrides` win over the environment. */
export const layerProcess = (overrides: Partial<SettingsValues> = {}) =>
  Layer.mergeAll(layerEngine, Shutdown.layer).pipe(
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
