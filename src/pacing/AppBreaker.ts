/**
 * Stops what is sent for an OAuth app that the provider refuses, until a single probe finds it in order again. No account
 * and no grant is touched meanwhile.
 *
 * An app has a circuit over all its tenants, for answers that leave no doubt (a wrong secret, a client that is disabled),
 * and one for each tenant, for those that may be that tenant's own matter (the app was removed there).
 */
import { Clock, Context, Effect, Exit, Layer, PubSub, Stream } from "effect"
import { codeOf, type Reach } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import { answered, type Circuit, closedCircuit, isOpen, reset, type Says, sent, waitMillis } from "./Circuit.ts"

/** An app at one tenant, or, without `tenant`, at all of them. */
export interface AppReach {
  readonly provider: string
  readonly clientId: string
  readonly tenant?: string
}

/** `provider:clientId`, or `provider:clientId:tenant`. */
export const subjectOf = ({ clientId, provider, tenant }: AppReach): string =>
  tenant === undefined ? `${provider}:${clientId}` : `${provider}:${clientId}:${tenant}`

/** A circuit opened or closed. A probe that is refused is no transition. */
export interface AppTransition {
  readonly app: AppReach
  readonly state: "open" | "closed"
  /** Why it opened. */
  readonly error?: ProviderError
}

/**
 * Refusals in a row that open a tenant's circuit. Under `common` many tenants share one, and one that has removed the app
 * must not stop all others.
 */
const tenantRefusals = 3

interface Entry {
  readonly app: AppReach
  readonly opensAfter: number
  circuit: Circuit
}

/** What a request failed with. Without `reach`, a fault of the app is taken for the tenant's matter. */
interface AppFailure {
  readonly error: ProviderError
  readonly reach?: Reach
}

export class AppBreaker extends Context.Service<AppBreaker, {
  /**
   * Runs `effect` unless a circuit of the app is open; then fails at once with class `app`, nothing sent, and the time until
   * the next probe in `retryAfterMillis`.
   */
  readonly guard: (
    app: Required<AppReach>,
  ) => <A, E extends AppFailure, R>(
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | { readonly error: ProviderError }, R>
  /** Closes both circuits of the app: its secret is a new one. */
  readonly reset: (app: Required<AppReach>) => Effect.Effect<void>
  /** The circuits that let nothing through at this moment, and until when (epoch milliseconds). */
  readonly open: Effect.Effect<ReadonlyArray<AppReach & { readonly until: number }>>
  /** From the moment of subscription on. */
  readonly transitions: Stream.Stream<AppTransition>
}>()("mailfleet/pacing/AppBreaker") {
  static readonly layer: Layer.Layer<AppBreaker> = Layer.effect(
    AppBreaker,
    Effect.gen(function* () {
      const entries = new Map<string, Entry>()
      const transitions = yield* PubSub.sliding<AppTransition>(1_024)

      const entryOf = (app: AppReach): Entry => {
        const key = subjectOf(app)
        let entry = entries.get(key)
        if (entry === undefined) {
          entry = { app, opensAfter: app.tenant === undefined ? 1 : tenantRefusals, circuit: closedCircuit }
          entries.set(key, entry)
        }
        return entry
      }

      const circuitsOf = ({ clientId, provider, tenant }: Required<AppReach>) => ({
        app: entryOf({ provider, clientId }),
        tenant: entryOf({ provider, clientId, tenant }),
      })

      const move = (entry: Entry, circuit: Circuit, error?: ProviderError) => {
        const before = isOpen(entry.circuit)
        entry.circuit = circuit
        if (isOpen(circuit) === before) return
        const transition: AppTransition = before
          ? { app: entry.app, state: "closed" }
          : { app: entry.app, state: "open", ...(error === undefined ? {} : { error }) }
        PubSub.publishUnsafe(transitions, transition)
      }

      return AppBreaker.of({
        guard: (app) => (effect) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.gen(function* () {
              const circuits = circuitsOf(app)
              const both = [circuits.app, circuits.tenant]
              const start = yield* Clock.currentTimeMillis
              const wait = Math.max(...both.map(({ circuit }) => waitMillis(circuit, start)))
              if (wait > 0) return yield* Effect.fail({ error: refusal(wait) })
              for (const entry of both) entry.circuit = sent(entry.circuit, start)
              const generations = both.map(({ circuit }) => circuit.generation)

              const exit = yield* Effect.exit(restore(effect))
              const end = yield* Clock.currentTimeMillis
              const failure = failureOf(exit)
              for (const [index, entry] of both.entries()) {
                const says = whatSays(exit, failure, entry.app)
                const { circuit, opensAfter } = entry
                move(entry, answered(circuit, generations[index]!, says, end, opensAfter), failure?.error)
              }
              return yield* exit
            })
          ),
        reset: (app) =>
          Effect.sync(() => {
            for (const entry of Object.values(circuitsOf(app))) move(entry, reset(entry.circuit))
          }),
        open: Effect.map(Clock.currentTimeMillis, (now) =>
          [...entries.values()].flatMap(({ app, circuit }) => {
            const wait = waitMillis(circuit, now)
            return wait > 0 ? [{ ...app, until: now + wait }] : []
          })),
        transitions: Stream.fromPubSub(transitions),
      })
    }),
  )
}

const failureOf = <A, E extends AppFailure>(exit: Exit.Exit<A, E>): AppFailure | undefined =>
  Exit.isFailure(exit) ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error : undefined

const whatSays = (exit: Exit.Exit<unknown, unknown>, failure: AppFailure | undefined, { tenant }: AppReach): Says => {
  if (Exit.isSuccess(exit)) return "accepted"
  switch (failure?.error.class) {
    case "app":
      return (failure.reach === "app") === (tenant === undefined) ? "refused" : "nothing"
    // The provider speaks of the grant, so it has taken the app.
    case "needs_user":
    case "blocked":
    case "scope":
    case "ambiguous":
      return "accepted"
    default:
      return "nothing"
  }
}

const refusal = (retryAfterMillis: number) =>
  new ProviderError({
    class: "app",
    code: codeOf.app,
    message:
      "the provider refuses this OAuth app (see its last error); it is tried again from time to time, its accounts are left as they are",
    providerCode: "breaker_open",
    retryAfterMillis,
    notSent: true,
  })
