/** This process as one of a cluster: it listens for the others, and shares shards with them by way of the database. */
import { NodeClusterSocket } from "@effect/platform-node"
import { Effect, Layer, Option } from "effect"
import {
  MessageStorage,
  RunnerAddress,
  RunnerHealth,
  Runners,
  type RunnerStorage,
  type Sharding,
  ShardingConfig,
  SocketRunner,
  SqlRunnerStorage,
} from "effect/cluster"
import { RpcSerialization } from "effect/rpc"
import { SqlClient } from "effect/sql"
import { Settings } from "../domain/Settings.ts"
import { clusterPrefix, Database, DatabaseError } from "../storage/Database.ts"
import { CommandError } from "./ExitCode.ts"

/**
 * How long a process that is silent is believed to live: its shards are taken over then. Locks are rows that are renewed a
 * third of that apart, and not advisory locks of a session, which a pooler does not keep.
 */
const shardLockExpiration = "15 seconds"

/** How often it is asked whether each can be reached: the rows only say that it reaches the database. */
const runnerHealthCheckInterval = "10 seconds"

/** Within the time that a process has to end. */
const entityTerminationTimeout = "3 seconds"

/** Not `NodeClusterSocket.layer`: that reads variables of the environment that are not ours, such as `PORT`. */
export const layerClusterRunner: Layer.Layer<
  Sharding.Sharding | RunnerStorage.RunnerStorage,
  CommandError | DatabaseError,
  Database | Settings
> = Layer.unwrap(Effect.gen(function* () {
  const { clusterHost: host, clusterPort: port } = yield* Settings
  const { schema, sql } = yield* Database
  const protocol = NodeClusterSocket.layerClientProtocol
  const health = RunnerHealth.layerPing.pipe(Layer.provide(Runners.layerRpc), Layer.provide(protocol))
  const taken = new CommandError({
    message: `cannot listen on ${host}:${port} for the other processes; check MAILFLEET_CLUSTER_HOST and ` +
      "MAILFLEET_CLUSTER_PORT: each process of a machine needs a port of its own",
  })
  const members = SqlRunnerStorage.layerWith({ prefix: clusterPrefix(schema) }).pipe(
    Layer.catchCause((cause) =>
      Layer.effectContext(Effect.fail(
        new DatabaseError({
          message: "the database cannot keep the members of the cluster: it needs the right to create tables",
          cause,
        }),
      ))
    ),
  )

  return SocketRunner.layer.pipe(
    Layer.provide([NodeClusterSocket.layerSocketServer, protocol, health]),
    Layer.catch(() => Layer.effectContext(Effect.fail(taken))),
    Layer.provideMerge(members),
    // What they ask of each other is not kept: whoever gets no answer asks again.
    Layer.provide(MessageStorage.layerNoop),
    Layer.provide(ShardingConfig.layer({
      runnerAddress: Option.some(RunnerAddress.make(host, port)),
      shardLockDisableAdvisory: true,
      shardLockExpiration,
      shardLockRefreshInterval: "5 seconds",
      runnerHealthCheckInterval,
      entityTerminationTimeout,
      maxResidentEntities: "unbounded",
      simulateRemoteSerialization: false,
    })),
    Layer.provide(RpcSerialization.layerSchemaBinary()),
    Layer.provide(Layer.succeed(SqlClient.SqlClient, sql)),
  )
}))
