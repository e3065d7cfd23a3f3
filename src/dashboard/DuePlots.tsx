/** When grants are refreshed next, and when their refresh tokens end. */
import { useMemo } from "preact/hooks"
import { call, type Due } from "./Api.ts"
import { count, counted, dayOfYear, hourOfWeek } from "./Format.ts"
import { Plot } from "./Plot.tsx"
import { Shown } from "./Ui.tsx"
import { useLoad } from "./useLoad.ts"

type Bars = Due["endings"]["byDay"]

const sum = (bars: Bars): number => bars.reduce((total, { grants }) => total + grants, 0)
const timesOf = (bars: Bars): ReadonlyArray<number> => bars.map(({ from }) => new Date(from).getTime() / 1_000)

const Histograms = ({ due: { endings, refresh } }: { due: Due }) => {
  const hours = useMemo(() => timesOf(refresh.byHour), [refresh])
  const days = useMemo(() => timesOf(endings.byDay), [endings])
  const planned = useMemo(
    () => [{ name: "grants", color: "--s1", values: refresh.byHour.map(({ grants }) => grants) }],
    [refresh],
  )
  const ending = useMemo(
    () => [{ name: "tokens", color: "--s4", values: endings.byDay.map(({ grants }) => grants) }],
    [endings],
  )
  const week = sum(endings.byDay.slice(0, 7))
  const month = sum(endings.byDay.slice(0, 30))
  return (
    <div class="plots">
      <div>
        <Plot
          title="Refreshes due, next 48 hours"
          summary={`${count(sum(refresh.byHour.slice(0, 24)))} within a day.`}
          times={hours}
          series={planned}
          kind="bars"
          formatTime={hourOfWeek}
          formatValue={count}
        />
        <p class="quiet">
          {count(refresh.overdue)} overdue, {count(refresh.later)} later, {count(refresh.resting)} at rest.
        </p>
      </div>
      <div>
        <Plot
          title="Refresh tokens that end, next 90 days"
          summary={`${count(week)} within a week, ${count(month)} within 30 days, ${count(sum(endings.byDay))} in all.`}
          times={days}
          series={ending}
          kind="bars"
          formatTime={dayOfYear}
          formatValue={count}
          isLogarithmic
        />
        <p class="quiet">
          Unless they are used before: each refresh begins their time anew. {counted(week, "token")} within a week,{" "}
          {count(month)} within 30 days.
        </p>
      </div>
    </div>
  )
}

export const DuePlots = () => {
  const loaded = useLoad("due", (signal) => call<Due>("v1/stats/due", { signal }), { everyMillis: 60_000 })
  return (
    <section aria-labelledby="due">
      <h2 id="due">To come</h2>
      <Shown loaded={loaded} what="what is due">{(due) => <Histograms due={due} />}</Shown>
    </section>
  )
}
