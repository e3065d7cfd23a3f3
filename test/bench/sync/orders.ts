/** The other side of `program.ts`: what a program does that waits for orders on its standard input. */

/** The options that the program was started with. */
export const optionsOf = <A>(): A => JSON.parse(Deno.args[0] ?? "{}")

/** Carries out orders one by one until standard input ends; prints what each answers. */
export const carryOut = async <A>(work: (order: A) => Promise<unknown>): Promise<void> => {
  console.log("ready")
  let rest = ""
  for await (const piece of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
    rest += piece
    for (let end = rest.indexOf("\n"); end >= 0; end = rest.indexOf("\n")) {
      const order = JSON.parse(rest.slice(0, end))
      rest = rest.slice(end + 1)
      console.log(JSON.stringify(await work(order) ?? null))
    }
  }
}
