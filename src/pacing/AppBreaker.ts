/**
 * Stops what is sent for an OAuth app that the provider refuses, until a single probe finds it in order again. No account
 * and no grant is touched meanwhile.
 *
 * An app has a circuit over all its tenants, for answers that leave no doubt (a wrong secret, a client that is disabled),
 * and one for each tenant and resource, for those that may be a matter of these (the app was removed there, or does not list
 * the permission): what is asked for beside stops nobody who reads mail.
 */
import { Context, Effect, Exit, Layer, Option, PubSub, Stream } from "effect"
import { monotonicMillis } from "../domain/Monotonic.ts"
import type { Resource } from "../domain/Account.ts"
import type { AppName, AppReach } from "../domain/App.ts"
import { codeOf, type Reach } from "../domain/FailureClass.ts"
import { ProviderError } from "../domain/ProviderError.ts"
import {
  answered,
  type Circuit,
  closedCircuit,
  isOpen,
  isUntroubled,
  reset,
  type Says,
  sent,
  waitMillis,
} from "./Circuit.ts"

/** What a circuit stops: an app at all tenants, or one resource of it at one tenant. */
export interface CircuitReach extends AppReach {
  /** Set together with `tenant`. */
  readonly resource?: Resource
}

/** `provider:clientId`, or `provider:clientId:tenant:resource`. */
export const subjectOf = ({ clientId, provider, resource, tenant }: CircuitReach): string =>
  tenant === undefined ? `${provider}:${clientId}` : `${provider}:${clientId}:${tenant}:${resource}`

/** A circuit opened or closed. A probe that is refused is no transition. */
export interface AppTransition {
  readonly app: CircuitReach
  readonly state: "open" | "closed"
  /** Why it opened. */
  readonly error?: ProviderError
}

/**
 * Refusals in a row that open the circuit of a resource at a tenant. Under `common` many tenants share one, and one that has removed the app
 * must not stop all others.
 */
const tenantRefusals = 3

/** What is sent. `updatedAt`: when the app was last changed, by whatever clock; another value means another secret. */
interface Sent extends AppName {
  readonly resource: Resource
  readonly updatedAt: number
}

interface Entry {
  readonly key: string
  readonly app: CircuitReach
  readonly opensAfter: number
  circuit: Circuit
  /** What opened it. */
  openedBy: Pick<Sent, "tenant" | "updatedAt"> | undefined
  /** Requests without an answer yet, which will speak of this very circuit. */
  underWay: number
}

/** What a request failed with. Without `reach`, a fault of the app is taken for the tenant's matter. */
interface AppFailure {
  readonly error: ProviderError
  readonly reach?: Reach
}

export class AppBreaker extends Context.Service<AppBreaker, {
  /**
   * Runs `effect` unless a circuit of the app is open; then fails at once with class `app`, nothing sent, and the time until
   * the next probe in `retryAfterMillis`. An app that was changed since it opened a circuit closes it.
   */
  readonly guard: (
    request: Sent,
  ) => <A, E extends AppFailure, R>(
    effect: Effect.Effect<A, E, R>,
  ) => Effect.Effect<A, E | { readonly error: ProviderError }, R>
  /** Closes the circuits of the app: its secret is a new one. */
  readonly reset: (app: AppName) => Effect.Effect<void>
  /** The circuits that let nothing through at this moment, and until when (by `Monotonic`). */
  readonly open: Effect.Effect<ReadonlyArray<CircuitReach & { readonly until: number }>>
  /** From the moment of subscription on. */
  readonly transitions: Stream.Stream<AppTransition>
}>()("mailfleet/pacing/AppBreaker") {
  static readonly layer: Layer.Layer<AppBreaker> = Layer.effect(
    AppBreaker,
    Effect.gen(function* () {
      const entries = new Map<string, Entry>()
      const transitions = yield* PubSub.sliding<AppTransition>(1_024)

      const entryOf = (app: CircuitReach): Entry => {
        const key = subjectOf(app)
        let entry = entries.get(key)
        if (entry === undefined) {
          const opensAfter = app.tenant === undefined ? 1 : tenantRefusals
          entry = { key, app, opensAfter, circuit: closedCircuit, openedBy: undefined, underWay: 0 }
          entries.set(key, entry)
        }
        return entry
      }

      const entriesOf = ({ clientId, provider, resource, tenant }: Sent) => [
        entryOf({ provider, clientId }),
        entryOf({ provider, clientId, tenant, resource }),
      ]

      const forgetUntroubled = (entry: Entry) => {
        if (entry.underWay === 0 && isUntroubled(entry.circuit)) entries.delete(entry.key)
      }

      const move = (entry: Entry, circuit: Circuit, by?: Sent, error?: ProviderError) => {
        const before = isOpen(entry.circuit)
        entry.circuit = circuit
        if (isOpen(circuit) === before) return
        entry.openedBy = by
        const transition: AppTransition = before
          ? { app: entry.app, state: "closed" }
          : { app: entry.app, state: "open", ...(error === undefined ? {} : { error }) }
        PubSub.publishUnsafe(transitions, transition)
      }

      return AppBreaker.of({
        guard: (request) => (effect) =>
          Effect.uninterruptibleMask((restore) =>
            Effect.gen(function* () {
              const start = yield* monotonicMillis
              const both = entriesOf(request)
              for (const entry of both) {
                const { circuit, openedBy } = entry
                const isChanged = openedBy?.tenant === request.tenant && openedBy.updatedAt !== request.updatedAt
                if (isOpen(circuit) && isChanged) move(entry, reset(circuit))
              }
              const wait = Math.max(...both.map(({ circuit }) => waitMillis(circuit, start)))
              if (wait > 0) {
                both.forEach(forgetUntroubled)
                return yield* Effect.fail({ error: refusal(wait) })
              }
              for (const entry of both) {
                entry.circuit = sent(entry.circuit, start)
                entry.underWay++
              }
              const generations = both.map(({ circuit }) => circuit.generation)

              const exit = yield* Effect.exit(restore(effect))
              const end = yield* monotonicMillis
              const failure = Option.getOrUndefined(Exit.findErrorOption(exit))
              for (const [index, entry] of both.entries()) {
                const says = whatSays(exit, failure, entry.app)
                const { circuit, opensAfter } = entry
                move(entry, answered(circuit, generations[index]!, says, end, opensAfter), request, failure?.error)
                entry.underWay--
                forgetUntroubled(entry)
              }
              return yield* exit
            })
          ),
        reset: ({ clientId, provider, tenant }) =>
          Effect.sync(() => {
            for (const entry of entries.values()) {
              const { app } = entry
              if (app.provider !== provider || app.clientId !== clientId) continue
              if (app.tenant !== undefined && app.tenant !== tenant) continue
              move(entry, reset(entry.circuit))
              forgetUntroubled(entry)
            }
          }),
        open: Effect.map(monotonicMillis, (now) =>
          [...entries.values()].flatMap(({ app, circuit }) => {
            const wait = waitMillis(circuit, now)
            return wait > 0 ? [{ ...app, until: now + wait }] : []
          })),
        transitions: Stream.fromPubSub(transitions),
      })
    }),
  )
}

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
