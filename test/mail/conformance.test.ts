/** The suite of `conformance.ts` over each channel. */
import { Effect, Layer } from "effect"
import { Settings } from "../../src/domain/Settings.ts"
import { SyncAccount } from "../../src/programs/SyncAccount.ts"
import { SyncPace } from "../../src/pacing/SyncPace.ts"
import { mailStorage } from "../support/mail.ts"
import type { Remote } from "../support/remote.ts"
import { graphRemote } from "../support/remoteGraph.ts"
import { graphOver, plainTokens, Provider } from "../support/simulator.ts"
import { Tap } from "../support/tap.ts"
import { conformance } from "./conformance.ts"

const messages = 40

const over = (remote: Layer.Layer<Remote, never, Provider>) =>
  SyncAccount.layer.pipe(
    Layer.provideMerge(
      Layer.unwrap(Effect.map(Provider, ({ origin }) => Tap.layer(graphOver(origin)))),
    ),
    Layer.provide([plainTokens, SyncPace.layer]),
    Layer.provideMerge(remote),
    Layer.provide(Provider.layer({ accounts: 200, messages, oddPages: 0.2 })),
    Layer.provideMerge(Layer.orDie(Settings.layerWith({}))),
    Layer.provide(mailStorage),
  )

await conformance("Graph", over(graphRemote))
