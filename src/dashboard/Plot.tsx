/** Plots by uPlot, in the colours of the page. */
import { useEffect, useRef, useState } from "preact/hooks"
import uPlot from "uplot"

export interface Series {
  readonly name: string
  /** A custom property of the style sheet: `--s1`. */
  readonly color: string
  readonly values: ReadonlyArray<number | null>
}

export interface PlotProps {
  readonly title: string
  /** What those who do not see the plot are told. */
  readonly summary: string
  /** Seconds since 1970. */
  readonly times: ReadonlyArray<number>
  readonly series: ReadonlyArray<Series>
  readonly kind: "lines" | "bars"
  readonly formatTime: (seconds: number) => string
  readonly formatValue: (value: number) => string
  /** The values are seconds: the axis is parted as clocks are. */
  readonly isDuration?: boolean
  /** Where few and many stand side by side, and the few are what matters. */
  readonly isLogarithmic?: boolean
}

const height = 180

const colorOf = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim()

/** On a logarithmic scale that has a nought. */
const scaled = (value: number): number => Math.log10(1 + value)
/** Orders of magnitude in a plot, up to which 0 and 1 have room for their labels. */
const mostApart = 2.5
const unscaled = (value: number): number => Math.round(10 ** value - 1)

/** 0, 1, 10, 100, … as far as the plot goes; without the 1 where it would stand upon the nought. */
const powers = (highest: number): Array<number> => {
  const splits = [0]
  for (let value = highest > mostApart ? 10 : 1; scaled(value) <= highest; value *= 10) splits.push(scaled(value))
  return splits
}

const optionsOf = (props: PlotProps, width: number, point: (index: number | null) => void): uPlot.Options => {
  const grid = { stroke: colorOf("--line"), width: 1 }
  const axis = { stroke: colorOf("--quiet"), font: "12px system-ui, sans-serif", grid, ticks: { ...grid, size: 4 } }
  const isBars = props.kind === "bars"
  const bars = uPlot.paths.bars!({ size: [0.8, 40], align: 1 })
  return {
    width,
    height,
    padding: [8, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: !isBars } },
    scales: {
      x: { time: true, ...(isBars ? { range: (_, min, max) => [min, max + barSpan(props.times)] } : {}) },
      y: { range: (_, _min, max) => [0, max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      { ...axis, values: (_, splits) => splits.map(props.formatTime), space: isBars ? 84 : 60, size: 28 },
      props.isLogarithmic
        ? {
          ...axis,
          splits: (_, _axis, _min, max) => powers(max),
          values: (_, splits) => splits.map((value) => props.formatValue(unscaled(value))),
          size: 56,
        }
        : {
          ...axis,
          values: (_, splits) => splits.map((value) => props.formatValue(value)),
          size: 56,
          ...(props.isDuration ? { incrs: clockSteps } : {}),
        },
    ],
    series: [
      {},
      ...props.series.map(({ color, name }): uPlot.Series => ({
        label: name,
        stroke: colorOf(color),
        width: isBars ? 0 : 1.5,
        points: { show: false },
        ...(isBars ? { fill: colorOf(color), paths: bars } : {}),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  }
}

/** Round steps of durations, in seconds. */
const clockSteps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 43_200].concat(
  [1, 2, 5, 10, 20, 50, 100, 200, 500].map((days) => days * 86_400),
)

const barSpan = (times: ReadonlyArray<number>): number => times.length < 2 ? 3_600 : times[1]! - times[0]!

/** Counts up when the browser turns dark or light, as a canvas does not follow by itself. */
const useScheme = (): number => {
  const [turns, turn] = useState(0)
  useEffect(() => {
    const dark = matchMedia("(prefers-color-scheme: dark)")
    const follow = () => turn((count) => count + 1)
    dark.addEventListener("change", follow)
    return () => dark.removeEventListener("change", follow)
  }, [])
  return turns
}

export const Plot = (props: PlotProps) => {
  const { formatTime, formatValue, isLogarithmic, series, summary, times, title } = props
  const box = useRef<HTMLDivElement>(null)
  const plot = useRef<uPlot | undefined>(undefined)
  const [index, point] = useState<number | null>(null)
  const scheme = useScheme()
  const names = series.map(({ color, name }) => name + color).join()

  useEffect(() => {
    const element = box.current!
    const made = new uPlot(optionsOf(props, element.clientWidth, point), [[...times]], element)
    plot.current = made
    const observer = new ResizeObserver(() => made.setSize({ width: element.clientWidth, height }))
    observer.observe(element)
    return () => {
      observer.disconnect()
      made.destroy()
    }
  }, [names, scheme, formatTime])

  useEffect(() => {
    const shown = (value: number | null) => value === null || !isLogarithmic ? value : scaled(value)
    plot.current?.setData([[...times], ...series.map(({ values }) => values.map(shown))])
  }, [times, series, scheme, formatTime])

  const at = index ?? (props.kind === "lines" ? times.length - 1 : undefined)
  const time = at === undefined ? undefined : times[at]
  return (
    <figure class="plot">
      <figcaption>
        <span class="title">{title}</span>
        <span class="legend" aria-hidden="true">
          {time !== undefined && <span class="quiet">{formatTime(time)}</span>}
          {series.map(({ color, name, values }) => {
            const value = at === undefined ? null : values[at]
            return (
              <span key={name}>
                <i class={`swatch ${color.slice(2)}`} />
                {name} {value !== null && value !== undefined && <b>{formatValue(value)}</b>}
              </span>
            )
          })}
        </span>
      </figcaption>
      <div ref={box} class="canvas" role="img" aria-label={`${title}. ${summary}`} />
    </figure>
  )
}
