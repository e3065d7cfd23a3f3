/** How progress reads: one line that fits the terminal, or one plain line of a log. */
import { Duration } from "effect"
import { short } from "./Text.ts"

/** How far the work is. `processed` = succeeded + failed + skipped. */
export interface Counts {
  readonly processed: number
  readonly succeeded: number
  readonly failed: number
  readonly skipped: number
}

export interface State extends Counts {
  readonly label: string
  readonly total: number
  /** Of the counts; undefined = items, with outcomes. */
  readonly unit: string | undefined
  /** Items a second of late; undefined while nothing can be said. */
  readonly rate: number | undefined
  /** Since the start. */
  readonly elapsed: Duration.Duration
  readonly isDone: boolean
}

const shareOf = ({ processed, total, isDone }: State): number =>
  total > 0 ? Math.min(1, processed / total) : isDone ? 1 : 0

const percent = (state: State): string => `${Math.floor(shareOf(state) * 100)} %`

const unitOf = ({ unit }: State): string => unit === undefined ? "" : ` ${unit}`

const rateText = (state: State): string | undefined => {
  const { rate } = state
  return rate === undefined
    ? undefined
    : `${rate >= 100 ? Math.round(rate) : Math.round(rate * 10) / 10}${unitOf(state)}/s`
}

const timeText = (state: State): string | undefined => {
  if (state.isDone) return `in ${short(state.elapsed)}`
  if (state.rate === undefined || state.rate === 0 || state.total === 0) return undefined
  return `${short(Duration.seconds(Math.max(1, Math.ceil((state.total - state.processed) / state.rate))))} left`
}

/** `import: 50 of 100 (50 %), 48 succeeded, 2 failed, 0 skipped, 4.9/s, 10 s left` */
export const plainLine = (state: State): string =>
  [
    `${state.label}: ${state.processed} of ${state.total}${unitOf(state)} (${percent(state)})`,
    ...(state.unit === undefined
      ? [`${state.succeeded} succeeded`, `${state.failed} failed`, `${state.skipped} skipped`]
      : []),
    rateText(state),
    timeText(state),
  ].filter((part) => part !== undefined).join(", ")

type Paint = (text: string) => string

const sgr = (code: number): Paint => (text) => `\x1b[${code}m${text}\x1b[0m`
const plain: Paint = (text) => text

/** A piece of the line; on a narrow terminal those of the lowest worth go first. */
interface Piece {
  readonly text: string
  readonly paint: Paint
  readonly worth: number
}

const widest = 40
const narrowest = 8

/**
 * The line on a terminal of so many columns. It never fills the last column: some terminals wrap there, and the next
 * drawing would begin one line lower. `width` is its visible width.
 */
export const barLine = (
  state: State,
  columns: number,
  colors: boolean,
): { readonly text: string; readonly width: number } => {
  const room = Math.max(1, columns - 1)
  const [green, red, yellow, dim] = colors ? [sgr(32), sgr(31), sgr(33), sgr(2)] : [plain, plain, plain, plain]
  const rate = rateText(state)
  const time = timeText(state)
  const pieces: Array<Piece> = [
    { text: state.label, paint: plain, worth: 5 },
    { text: percent(state).padStart(5), paint: plain, worth: 9 },
    { text: `${state.processed}/${state.total}${unitOf(state)}`, paint: plain, worth: 8 },
    ...(rate === undefined ? [] : [{ text: rate, paint: dim, worth: 2 }]),
    ...(time === undefined ? [] : [{ text: time, paint: dim, worth: 4 }]),
    ...(state.failed === 0 ? [] : [{ text: `${state.failed} failed`, paint: red, worth: 6 }]),
    ...(state.skipped === 0 ? [] : [{ text: `${state.skipped} skipped`, paint: yellow, worth: 1 }]),
  ]
  const widthOf = (bar: number) => pieces.reduce((sum, { text }) => sum + text.length, bar) + 2 * pieces.length
  // Below 60 columns the words say more than a stub of a bar.
  const smallestBar = columns < 60 ? 0 : narrowest
  while (pieces.length > 1 && widthOf(smallestBar) - (smallestBar === 0 ? 2 : 0) > room) {
    const least = pieces.reduce((low, piece) => piece.worth < low.worth ? piece : low)
    pieces.splice(pieces.indexOf(least), 1)
  }
  const size = Math.min(widest, room - widthOf(0))
  const [first, ...others] = pieces.map(({ text, paint }) => ({ width: text.length, text: paint(text) }))
  const parts = [
    ...(first === undefined ? [] : [first]),
    ...(size < narrowest ? [] : [{ width: size, text: bar(shareOf(state), size, colors, green, dim) }]),
    ...others,
  ]
  const width = parts.reduce((sum, part) => sum + part.width, 2 * (parts.length - 1))
  if (width <= room) return { text: parts.map(({ text }) => text).join("  "), width }
  return { text: pieces.map(({ text }) => text).join("  ").slice(0, room), width: room }
}

const bar = (share: number, size: number, colors: boolean, green: Paint, dim: Paint): string => {
  // Without colours the two halves must differ in shape.
  if (!colors) {
    const filled = Math.floor(share * (size - 2))
    return `[${"#".repeat(filled)}${"-".repeat(size - 2 - filled)}]`
  }
  const filled = Math.floor(share * size)
  return green("━".repeat(filled)) + dim("━".repeat(size - filled))
}
