/** What a process tells of itself: its log, and its spans where somebody takes them. */
import { ConfigProvider, Effect, Layer, Logger, Option, References, Tracer } from "effect"
import { FetchHttpClient } from "effect/http"
import { OtlpSerialization, OtlpTracer } from "effect/observability"
import { version } from "../api/Version.ts"
import { Settings } from "../domain/Settings.ts"

/** One line each, on standard error. */
export const layerLogger: Layer.Layer<never, never, Settings> = Layer.unwrap(
  Effect.map(
    Settings,
    ({ logFormat }) =>
      Logger.layer([Logger.withConsoleError(logFormat === "json" ? Logger.formatJson : Logger.formatLogFmt)]),
  ),
)

/** What a trace may begin with: a call of the API, or a piece of work. The loops that look for work would fill any collector. */
const beginning = /^(?:Run\.|Tokens\.refresh$|SyncAccount\.)/

const sampled = (tracer: Tracer.Tracer): Tracer.Tracer =>
  Tracer.make({
    ...tracer,
    span: (options) =>
      tracer.span(
        Option.isNone(options.parent) && options.kind !== "server" && !beginning.test(options.name)
          ? { ...options, sampled: false }
          : options,
      ),
  })

/**
 * Sends spans to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, as OTLP over HTTP in JSON. The exporter itself reads the
 * further standard variables: headers, resource attributes, batches, compression and timeouts.
 */
export const layerTracing: Layer.Layer<never, never, Settings> = Layer.unwrap(
  Effect.map(Settings, ({ otlpEndpoint, serviceName }) =>
    Option.isNone(otlpEndpoint)
      // Nobody takes the spans of this process: making them would be for nothing.
      ? Layer.succeed(References.TracerEnabled, false)
      : Layer.effect(Tracer.Tracer, Effect.map(Tracer.Tracer, sampled)).pipe(
        Layer.provide(OtlpTracer.layerFromConfig({ resource: { serviceName, serviceVersion: version } })),
        Layer.provide([OtlpSerialization.layerJson, FetchHttpClient.layer]),
        // What the OpenTelemetry specification says where it is not set; `none` turns it off.
        Layer.provide(ConfigProvider.layerAdd(ConfigProvider.fromEnvRecord({ OTEL_TRACES_EXPORTER: "otlp" }))),
      )),
)
