/**
 * Progress of work over many items: a bar on a terminal, plain lines elsewhere.
 *
 * ```ts
 * import { Effect } from "effect"
 * import * as Progress from "./Progress.ts"
 *
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const progress = yield* Progress.make({ label: "import", total: 100 })
 *   yield* progress.update({ processed: 50, succeeded: 48, failed: 2, skipped: 0 })
 *   yield* progress.done
 * }))
 * ```
 */
import { Clock, Context, Duration, Effect, Schedule, type Scope } from "effect"
import { barLine, type Counts, plainLine, type State } from "./ProgressLine.ts"

export type { Counts } from "./ProgressLine.ts"

export interface Progress {
  /** Takes the newest counts. Cheap: what is drawn, and when, is decided here. `total` where it has become known. */
  readonly update: (counts: Counts & { readonly total?: number }) => Effect.Effect<void>
  /** Shows how it ended and leaves the line. Nothing is drawn afterwards. */
  readonly done: Effect.Effect<void>
}

/** Where progress is shown. */
export interface Screen {
  /** A terminal that can go back to the start of its line. */
  readonly isTerminal: boolean
  readonly colors: boolean
  readonly columns: () => number
  /** Writes to the terminal. */
  readonly draw: (text: string) => void
  /** Writes a line of a log. */
  readonly log: (line: string) => void
}

/** The screen in use. Commands that print JSON, and tests, put their own in its place. */
export const Screen: Context.Reference<Screen> = Context.Reference<Screen>("mailfleet/commands/Progress/Screen", {
  defaultValue: () => standardScreen("stdout"),
})

const encoder = new TextEncoder()

const write = (text: string): void => {
  const bytes = encoder.encode(text)
  for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at))
}

/**
 * The bar goes to standard error, so that standard output holds results only. Plain lines are part of the output, and go
 * where `log` says.
 */
export const standardScreen = (log: "stdout" | "stderr"): Screen => ({
  isTerminal: Deno.stderr.isTerminal() && Deno.env.get("TERM") !== "dumb",
  // https://no-color.org
  colors: (Deno.env.get("NO_COLOR") ?? "") === "",
  columns: () => {
    try {
      return Deno.consoleSize().columns || 80
    } catch {
      return 80
    }
  },
  draw: write,
  log: log === "stdout" ? (line) => console.log(line) : (line) => console.error(line),
})

/** Least time between two drawings; faster is only flicker. */
const redrawMillis = 100
/** The bar is drawn anew at least so often: time goes on where nothing else does. */
const tick = Duration.seconds(1)
/** A log gets a line at every tenth of the work, and at least so often. */
const lineMillis = 5_000
/** The rate is that of so much time past. */
const windowMillis = 10_000

interface Sample {
  readonly at: number
  readonly processed: number
}

/** What is known of the work so far. */
class Meter {
  #counts: Counts = { processed: 0, succeeded: 0, failed: 0, skipped: 0 }
  #samples: Array<Sample>

  constructor(
    readonly label: string,
    public total: number,
    readonly unit: string | undefined,
    readonly startedAt: number,
  ) {
    this.#samples = [{ at: startedAt, processed: 0 }]
  }

  take(counts: Counts, at: number): void {
    this.#counts = counts
    this.#samples.push({ at, processed: counts.processed })
  }

  state(now: number, isDone: boolean): State {
    // The newest sample from before the window stays: the rate needs a point to start at.
    while ((this.#samples[1]?.at ?? Infinity) <= now - windowMillis) this.#samples.shift()
    const from = isDone ? { at: this.startedAt, processed: 0 } : this.#samples[0]
    const millis = from === undefined ? 0 : now - from.at
    // A rate over less than half a second is noise.
    const isKnown = from !== undefined && (isDone ? millis > 0 : millis >= 500) && this.#counts.processed > 0
    return {
      ...this.#counts,
      label: this.label,
      total: this.total,
      unit: this.unit,
      rate: isKnown ? (this.#counts.processed - from.processed) / (millis / 1_000) : undefined,
      elapsed: Duration.millis(now - this.startedAt),
      isDone,
    }
  }
}

/**
 * Begins to show progress; the scope ends it. `total` 0 = not known yet. With a `unit`, such as `MB`, the counts are an
 * amount, and only `processed` is shown.
 */
export const make = Effect.fnUntraced(function* (options: {
  readonly label: string
  readonly total: number
  readonly unit?: string
}): Effect.fn.Return<Progress, never, Scope.Scope> {
  const screen = yield* Screen
  const clock = yield* Clock.Clock
  const now = () => clock.currentTimeMillisUnsafe()
  const meter = new Meter(options.label, options.total, options.unit, now())
  return yield* (screen.isTerminal ? bar(meter, screen, now) : lines(meter, screen, now))
})

const bar = Effect.fnUntraced(function* (meter: Meter, screen: Screen, now: () => number) {
  let drawnAt = -Infinity
  let drawnWidth = 0
  let isOver = false

  const draw = (isDone: boolean, end = "") => {
    const { text, width } = barLine(meter.state(now(), isDone), screen.columns(), screen.colors)
    // One write, and blanks over what was longer before, rather than clearing first: clearing is what flickers.
    screen.draw(`\r${text}${" ".repeat(Math.max(0, drawnWidth - width))}${end}`)
    drawnWidth = width
    drawnAt = now()
  }
  const end = (isDone: boolean) =>
    Effect.sync(() => {
      if (isOver) return
      isOver = true
      draw(isDone, "\n")
    })

  draw(false)
  yield* Effect.sync(() => isOver || draw(false)).pipe(Effect.schedule(Schedule.spaced(tick)), Effect.forkScoped)
  // However the work ends, what is printed next begins on a line of its own.
  yield* Effect.addFinalizer(() => end(false))
  const progress: Progress = {
    update: ({ total, ...counts }) =>
      Effect.sync(() => {
        meter.total = total ?? meter.total
        meter.take(counts, now())
        if (!isOver && now() - drawnAt >= redrawMillis) draw(false)
      }),
    done: end(true),
  }
  return progress
})

const lines = (meter: Meter, screen: Screen, now: () => number): Effect.Effect<Progress> =>
  Effect.sync(() => {
    let loggedAt = now()
    let loggedTenth = 0
    let isOver = false
    return {
      update: ({ total, ...counts }) =>
        Effect.sync(() => {
          meter.total = total ?? meter.total
          meter.take(counts, now())
          const tenth = meter.total === 0 ? 0 : Math.floor(counts.processed / meter.total * 10)
          // The last tenth is said by `done`, with the time that all of it took.
          const isNews = tenth > loggedTenth && tenth < 10 || now() - loggedAt >= lineMillis
          if (isOver || !isNews) return
          loggedAt = now()
          loggedTenth = tenth
          screen.log(plainLine(meter.state(now(), false)))
        }),
      done: Effect.sync(() => {
        if (isOver) return
        isOver = true
        screen.log(plainLine(meter.state(now(), true)))
      }),
    }
  })
