/** Rates, errors and lag over the last hours. */
import { useMemo, useRef, useState } from "preact/hooks"
import { call, type History } from "./Api.ts"
import { count, duration, secondOfDay, timeOfDay, words } from "./Format.ts"
import { Plot, type Series } from "./Plot.tsx"
import { Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

type Sample = History["samples"][number]

const spans: ReadonlyArray<readonly [minutes: number, name: string]> = [[15, "15 minutes"], [60, "1 hour"], [
  240,
  "4 hours",
]]

/** Points of a plot at most: where there are more samples, several make one. */
const mostPoints = 180

const colors = ["--s1", "--s2", "--s3", "--s4", "--s5", "--s6"]

const total = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((sum, count) => sum + count, 0)

/** Successes are no errors: `ok` of redemptions, and what turns of a sync come to when all is well. */
const fine = new Set(["ok", "complete", "unfinished"])

interface Point {
  readonly at: number
  readonly seconds: number
  readonly redemptions: number
  readonly turns: number
  readonly errors: Readonly<Record<string, number>>
  readonly refreshLag: number
  readonly syncLag: number
}

/** Counts of several samples are summed; of lags the worst is shown. */
const pointOf = (samples: ReadonlyArray<Sample>): Point => {
  const errors: Record<string, number> = {}
  for (const { redemptions, turns } of samples) {
    for (const [outcome, count] of [...Object.entries(redemptions), ...Object.entries(turns)]) {
      if (!fine.has(outcome)) errors[outcome] = (errors[outcome] ?? 0) + count
    }
  }
  const sum = (of: (sample: Sample) => number) => samples.reduce((total, sample) => total + of(sample), 0)
  const worst = (of: (sample: Sample) => number) => Math.max(...samples.map(of))
  return {
    at: new Date(samples.at(-1)!.at).getTime() / 1_000,
    seconds: sum(({ seconds }) => seconds),
    redemptions: sum(({ redemptions }) => total(redemptions)),
    turns: sum(({ turns }) => total(turns)),
    errors,
    refreshLag: worst(({ refresh }) => refresh.lagSeconds),
    syncLag: worst(({ sync }) => sync.lagSeconds),
  }
}

const pointsOf = (samples: ReadonlyArray<Sample>): ReadonlyArray<Point> => {
  const each = Math.max(1, Math.ceil(samples.length / mostPoints))
  const points: Array<Point> = []
  for (let start = 0; start < samples.length; start += each) points.push(pointOf(samples.slice(start, start + each)))
  return points
}

/** Seconds up to which a plot has several marks within a minute. */
const shortSpan = 300

const perSecond = (value: number): string => count(Math.round(value * 100) / 100)

const Plots = ({ samples }: { samples: ReadonlyArray<Sample> }) => {
  const { errors, lags, last, rates, times } = useMemo(() => {
    const points = pointsOf(samples)
    const series = (name: string, color: string, of: (point: Point) => number): Series => ({
      name,
      color,
      values: points.map(of),
    })
    const classes = [...new Set(points.flatMap((point) => Object.keys(point.errors)))].toSorted()
    return {
      last: points.at(-1)!,
      times: points.map(({ at }) => at),
      rates: [
        series("refreshes/s", "--s1", ({ redemptions, seconds }) => redemptions / seconds),
        series("syncs/s", "--s2", ({ seconds, turns }) => turns / seconds),
      ],
      errors: classes.length === 0 ? [series("errors/min", "--s4", () => 0)] : classes.map((name, index) =>
        series(
          words(name),
          colors[(index + 3) % colors.length]!,
          ({ errors, seconds }) => (errors[name] ?? 0) * 60 / seconds,
        )
      ),
      lags: [
        series("refresh", "--s1", ({ refreshLag }) => refreshLag),
        series("sync", "--s2", ({ syncLag }) => syncLag),
      ],
    }
  }, [samples])
  const formatTime = times.at(-1)! - times[0]! < shortSpan ? secondOfDay : timeOfDay
  return (
    <div class="plots">
      <Plot
        title="Rates"
        summary={`Last: ${perSecond(last.redemptions / last.seconds)} refreshes and ${
          perSecond(last.turns / last.seconds)
        } syncs per second.`}
        times={times}
        series={rates}
        kind="lines"
        formatTime={formatTime}
        formatValue={perSecond}
      />
      <Plot
        title="Errors per minute, by class"
        summary={`Last: ${
          Object.entries(last.errors).map(([name, errors]) => `${errors} ${words(name)}`).join(", ") || "none"
        }.`}
        times={times}
        series={errors}
        kind="lines"
        formatTime={formatTime}
        formatValue={perSecond}
      />
      <Plot
        title="Lag of the oldest overdue"
        summary={`Last: refreshing ${duration(last.refreshLag)}, syncing ${duration(last.syncLag)}.`}
        times={times}
        series={lags}
        kind="lines"
        formatTime={formatTime}
        formatValue={duration}
        isDuration
      />
    </div>
  )
}

export const HistoryPlots = () => {
  const [minutes, setMinutes] = useState(60)
  const known = useRef<ReadonlyArray<Sample>>([])
  // Only what is new is asked for.
  const loaded = useLoad("history", async (signal) => {
    const since = known.current.at(-1)?.at
    const { samples } = await call<History>("v1/stats/history", {
      signal,
      query: since === undefined ? {} : { since },
    })
    const oldest = Date.now() - 240 * 60_000
    known.current = [...known.current, ...samples].filter(({ at }) => new Date(at).getTime() >= oldest)
    return known.current
  }, { everyMillis: 10_000 })
  const recent = useMemo(() => {
    const oldest = Date.now() - minutes * 60_000
    return (loaded.data ?? []).filter(({ at }) => new Date(at).getTime() >= oldest)
  }, [loaded.data, minutes])

  return (
    <section aria-labelledby="lately">
      <div class="heading">
        <h2 id="lately">Lately</h2>
        <label>
          Span{" "}
          <select value={String(minutes)} onChange={(event) => setMinutes(Number(event.currentTarget.value))}>
            {spans.map(([minutes, name]) => <option key={name} value={minutes}>{name}</option>)}
          </select>
        </label>
      </div>
      <Shown loaded={loaded} what="the last hours">
        {() =>
          recent.length < 2
            ? <p class="quiet">The plots begin half a minute after the start of the server.</p>
            : <Plots samples={recent} />}
      </Shown>
      <p class="quiet">Rates and errors are those of the server process that answers this page.</p>
    </section>
  )
}
