/** What machines do to the processes of a cluster, and to what they stand on. */
import { Effect } from "effect"
import type { ClusterFault, ClusterStage } from "./clusterStage.ts"

const signal = (name: Deno.Signal) => ({ victim }: ClusterStage) =>
  Effect.sync(() => Deno.kill(victim.service.pid, name))

/** Cuts the victim off from hosts, and joins it again. */
const cutFrom = (hostsOf: (stage: ClusterStage) => ReadonlyArray<string>): Pick<ClusterFault, "begin" | "end"> => ({
  begin: (stage) =>
    Effect.forEach(hostsOf(stage), (host) => stage.network.cut(stage.victim.n, host), { discard: true }),
  end: (stage) =>
    Effect.forEach(hostsOf(stage), (host) => stage.network.restore(stage.victim.n, host), { discard: true }),
})

const setClock = (seconds: string) => ({ clock }: ClusterStage) =>
  clock === undefined ? Effect.void : Effect.promise(() => Deno.writeTextFile(clock, `${seconds}\n`))

const jump = (name: string, seconds: string): ClusterFault => ({
  name,
  seconds: 60,
  wantsClock: true,
  begin: setClock(seconds),
  end: setClock("+0"),
})

/** Of the file that takes up what is left of the disk. */
const ballast = ({ postgres }: ClusterStage): string => `${postgres.folder}/ballast`

const fill = (stage: ClusterStage) =>
  Effect.promise(async () => {
    using file = await Deno.open(ballast(stage), { create: true, write: true })
    const block = new Uint8Array(1_000_000)
    try {
      while (true) await file.write(block)
    } catch {
      // Full.
    }
  })

/** @param freeze seconds for which a process is stopped */
export const clusterFaults = (freeze: number): ReadonlyArray<ClusterFault> => [
  { name: "none", seconds: 1, begin: () => Effect.void, end: () => Effect.void },
  { name: "kill -9", seconds: 1, begin: ({ victim }) => victim.service.kill, end: () => Effect.void },
  { name: `SIGSTOP for ${freeze} s`, seconds: freeze, begin: signal("SIGSTOP"), end: signal("SIGCONT") },
  { name: "cut from Postgres for 40 s", seconds: 40, ...cutFrom(({ network }) => [network.databaseHost]) },
  {
    name: "cut from the others for 40 s",
    seconds: 40,
    ...cutFrom(({ network, victim }) => Array.from({ length: victim.n }, (_, n) => network.hostOf(n))),
  },
  {
    name: "Postgres crashes, gone for 5 s",
    seconds: 5,
    stopsAll: true,
    begin: ({ postgres }) => Effect.orDie(postgres.stop("immediate")),
    end: ({ postgres }) => Effect.orDie(postgres.start),
  },
  {
    name: "its disk is full for 20 s",
    seconds: 20,
    stopsAll: true,
    begin: fill,
    end: (stage) =>
      Effect.andThen(
        Effect.promise(() => Deno.remove(ballast(stage))),
        // It stops where it cannot write its log; who watches over it starts it again.
        Effect.ignore(stage.postgres.start),
      ),
  },
  jump("clock + 1 h for 60 s", "+3600"),
  jump("clock - 1 h for 60 s", "-3600"),
]
