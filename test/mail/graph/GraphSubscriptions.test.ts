import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Effect, Layer, Redacted } from "effect"
import { FetchHttpClient } from "effect/http"
import { Settings } from "../../../src/domain/Settings.ts"
import { GraphSubscriptions, longestLife, resourceOf } from "../../../src/mail/graph/GraphSubscriptions.ts"
import { MailboxLimiter } from "../../../src/pacing/MailboxLimiter.ts"
import { Throttle } from "../../../src/pacing/Throttle.ts"
import { plainTokens, Provider, serve } from "../../support/simulator.ts"

const email = "sim00001@sim.example"

/** A simulator, and an address of ours that answers its handshakes as `answer` says. */
const stage = Effect.fnUntraced(function* (
  answer: (request: Request) => Response = (request) =>
    new Response(new URL(request.url).searchParams.get("validationToken"), {
      headers: { "content-type": "text/plain" },
    }),
) {
  const told: Array<Record<string, unknown>> = []
  const here = yield* serve(async (request) => {
    if (new URL(request.url).searchParams.has("validationToken")) return answer(request)
    const { value }: { value: ReadonlyArray<Record<string, unknown>> } = await request.json()
    told.push(...value)
    return new Response(null, { status: 202 })
  })
  const context = yield* Layer.build(
    Layer.unwrap(Effect.map(Provider, ({ origin }) =>
      GraphSubscriptions.layer.pipe(Layer.provide([
        FetchHttpClient.layer,
        Throttle.layer,
        MailboxLimiter.layer,
        Layer.orDie(Settings.layerWith({ graphUrl: `${origin}/v1.0` })),
      ])))).pipe(Layer.provide(plainTokens), Layer.provideMerge(Provider.layer({ accounts: 3, personal: 0 }))),
  )
  const { grants, simulator } = Context.get(context, Provider)
  grants.set("g", email)
  const account = { id: "a", email, grantId: "g", clientId: simulator.account(email).clientId, byName: false }
  const subscriptions = Context.get(context, GraphSubscriptions)
  const create = (more: { readonly minutes?: number; readonly account?: typeof account } = {}) =>
    Effect.flatMap(DateTime.now, (now) =>
      subscriptions.create(more.account ?? account, {
        notificationUrl: `${here}/n`,
        clientState: Redacted.make("a secret"),
        expiresAt: DateTime.add(now, { minutes: more.minutes ?? 100 }),
      }))
  return { account, create, here, simulator, subscriptions, told }
})

const codeOf = <A, E extends { readonly _tag: string }, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.flip(effect), (error) => "code" in error ? error.code : error._tag)

describe("GraphSubscriptions", () => {
  it("are to all messages of the own mailbox, or of the one that is read by name", () => {
    assert.strictEqual(resourceOf({ byName: false, email: "ada@example.com" }), "/me/messages")
    const guest = { byName: true, email: "ada_example.com#EXT#@contoso.example" }
    assert.strictEqual(resourceOf(guest), "/users/ada_example.com%23EXT%23@contoso.example/messages")
  })

  it.live("are made with a handshake, renewed, reauthorized and removed", () =>
    Effect.gen(function* () {
      const { account, create, here, simulator, subscriptions, told } = yield* stage()
      const made = yield* create()
      const [there] = simulator.subscriptions(email)
      assert.deepInclude(there, {
        id: made.id,
        resource: "/me/messages",
        notificationUrl: `${here}/n`,
        lifecycleNotificationUrl: `${here}/n`,
        clientState: "a secret",
      })
      simulator.deliver(email)
      yield* Effect.sleep("200 millis")
      assert.lengthOf(told, 1)
      assert.deepInclude(told[0], { subscriptionId: made.id, clientState: "a secret", changeType: "created" })

      const renewed = yield* subscriptions.renew(account, made.id, DateTime.add(made.expiresAt, { minutes: 60 }))
      assert.strictEqual(renewed.expiresAt.epochMilliseconds, made.expiresAt.epochMilliseconds + 3_600_000)
      yield* subscriptions.reauthorize(account, made.id)
      assert.strictEqual(simulator.subscriptions(email)[0]?.reauthorizations, 2)

      assert.strictEqual(yield* codeOf(create()), "SubscriptionExists")
      yield* subscriptions.clear(account, `${here}/elsewhere`)
      assert.lengthOf(simulator.subscriptions(email), 1)
      yield* subscriptions.clear(account, `${here}/n`)
      assert.lengthOf(simulator.subscriptions(email), 0)

      const again = yield* create()
      yield* subscriptions.remove(account, again.id)
      yield* subscriptions.remove(account, again.id)
      assert.strictEqual(yield* codeOf(subscriptions.renew(account, again.id, renewed.expiresAt)), "SubscriptionGone")
      assert.strictEqual(yield* codeOf(subscriptions.reauthorize(account, again.id)), "SubscriptionGone")
    }))

  it.live("tell an address that does not answer, a life too long, and a mailbox of somebody else apart", () =>
    Effect.gen(function* () {
      const wrong: ReadonlyArray<(request: Request) => Response> = [
        () => new Response("hello", { headers: { "content-type": "text/plain" } }),
        () => new Response(null, { status: 404 }),
        (request) =>
          new Response(new URL(request.url).searchParams.get("validationToken"), {
            headers: { "content-type": "text/html" },
          }),
      ]
      for (const answer of wrong) {
        const { create, simulator } = yield* stage(answer)
        assert.strictEqual(yield* codeOf(create()), "notification_url_unreachable")
        assert.lengthOf(simulator.subscriptions(email), 0)
      }
      const { account, create, simulator } = yield* stage()
      assert.strictEqual(yield* codeOf(create({ minutes: longestLife + 2 })), "notification_url_unreachable")
      const shared = { ...account, byName: true, email: "sim00002@sim.example" }
      assert.strictEqual(yield* codeOf(create({ account: shared })), "consent_required")
      // It is not asked twice for what may have been made.
      simulator.script({ endpoint: "graph", answers: [{ fault: "error" }] })
      assert.strictEqual(yield* codeOf(create()), "provider_unavailable")
      assert.lengthOf(simulator.subscriptions(email), 0)
    }))
})
