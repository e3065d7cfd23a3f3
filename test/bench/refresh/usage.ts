/** What processes use of this machine, as Linux counts it; NaN where there is no `/proc`. */

/** USER_HZ: the unit of CPU times in `/proc`, 100 on every architecture that Deno runs on (proc_pid_stat(5)). */
const ticksPerSecond = 100

const read = (path: string): string => {
  try {
    return Deno.readTextFileSync(path)
  } catch {
    return ""
  }
}

/** The fields of `/proc/PID/stat` from the third on: the second is a name in parentheses that may hold anything. */
const statFields = (pid: number | string): ReadonlyArray<number> => {
  const text = read(`/proc/${pid}/stat`)
  return text.slice(text.lastIndexOf(")") + 2).split(" ").map(Number)
}

const [user, system, ofEndedChildren, systemOfEndedChildren] = [11, 12, 13, 14]

/** Seconds of CPU, user and system, of all threads of a process since its start. */
export const cpuSeconds = (pid: number): number => {
  const fields = statFields(pid)
  return ((fields[user] ?? NaN) + (fields[system] ?? NaN)) / ticksPerSecond
}

/** The same of every Postgres on this machine, with connections that have ended. */
export const postgresCpuSeconds = (): number => {
  const pids = [...entries("/proc")].filter((name) => /^\d+$/.test(name))
  const ticks = pids.filter((pid) => read(`/proc/${pid}/comm`).trim() === "postgres").map((pid) => {
    const fields = statFields(pid)
    return [user, system, ofEndedChildren, systemOfEndedChildren].reduce((sum, at) => sum + (fields[at] ?? 0), 0)
  })
  return ticks.length === 0 ? NaN : ticks.reduce((sum, one) => sum + one, 0) / ticksPerSecond
}

const entries = function* (folder: string): Generator<string> {
  try {
    for (const { name } of Deno.readDirSync(folder)) yield name
  } catch {
    // Not Linux.
  }
}

/** Memory of a process, in MiB: `now`, and the most since its start. */
export const residentMiB = (pid: number): { readonly now: number; readonly peak: number } => {
  const status = read(`/proc/${pid}/status`)
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1] ?? NaN) / 1_024
  return { now: field("VmRSS"), peak: field("VmHWM") }
}
