/** A process is replaced by another while clients call: what they see of it. */
import { Clock, Duration, Effect, Fiber, Ref } from "effect"
import type { Installation, Service } from "../support/processes.ts"

export interface Handover {
  readonly calls: number
  /** Calls that got no answer, or one of a fault. */
  readonly failed: ReadonlyArray<string>
  readonly longestMillis: number
  readonly exitCode: number
}

/** As a proxy does: who says that he is not ready gets no more calls. */
const probeEvery = "100 millis"

const calls: ReadonlyArray<readonly [path: string, init?: RequestInit]> = [
  ["/v1/accounts?limit=5"],
  ["/v1/messages?limit=5"],
  ["/v1/changes?limit=5"],
  ["/v1/stats"],
  ["/v1/refreshes", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ filter: { search: "sim00001@" } }),
  }],
]

/** Calls in `lanes` for `millis`; half way the second process is started, and when it is ready the first is told to end. */
export const handOver = Effect.fnUntraced(function* (
  installation: Installation,
  first: Service,
  options: {
    readonly lanes: number
    readonly millis: number
    /** Settings of the second process. */
    readonly second?: Record<string, string>
  },
) {
  const ready = yield* Ref.make<ReadonlyArray<Service>>([first])
  const all = yield* Ref.make<ReadonlyArray<Service>>([first])
  const failed: Array<string> = []
  let [sent, longestMillis] = [0, 0]

  const probe = Effect.gen(function* () {
    const answers = yield* Effect.filter(
      yield* Ref.get(all),
      (service) =>
        service.send("/health/ready").pipe(
          Effect.map(({ status }) => status === 200),
          Effect.orElseSucceed(() => false),
        ),
      { concurrency: 2 },
    )
    if (answers.length > 0) yield* Ref.set(ready, answers)
  })
  const prober = yield* Effect.forkChild(Effect.forever(Effect.andThen(probe, Effect.sleep(probeEvery))))

  const end = (yield* Clock.currentTimeMillis) + options.millis
  const lane = Effect.fnUntraced(function* (number: number) {
    while ((yield* Clock.currentTimeMillis) < end) {
      const [path, init] = calls[sent++ % calls.length]!
      const services = yield* Ref.get(ready)
      const service = services[number % services.length]!
      const begun = yield* Clock.currentTimeMillis
      yield* service.send(path, init).pipe(
        Effect.match({
          onFailure: ({ cause }) => failed.push(`${path}: no answer of ${service.url}: ${cause}`),
          onSuccess: ({ status, text }) => {
            if (status >= 400) failed.push(`${path}: ${status} ${text.slice(0, 200)}`)
          },
        }),
      )
      longestMillis = Math.max(longestMillis, (yield* Clock.currentTimeMillis) - begun)
    }
  })
  const lanes = yield* Effect.forkChild(
    Effect.forEach(Array.from({ length: options.lanes }, (_, n) => n), lane, {
      concurrency: "unbounded",
      discard: true,
    }),
  )

  yield* Effect.sleep(Duration.millis(options.millis / 4))
  const second = yield* installation.start(options.second)
  yield* Ref.set(all, [first, second])
  yield* Effect.sleep(Duration.millis(options.millis / 8))
  const exitCode = yield* first.stop
  yield* Ref.set(all, [second])
  yield* Fiber.join(lanes)
  yield* Fiber.interrupt(prober)
  return { calls: sent, failed, longestMillis, exitCode } satisfies Handover
})
