/** Opens an address in the browser of whoever sits at the terminal. */
import { Effect } from "effect"

const commands: Readonly<Record<string, readonly [string, ReadonlyArray<string>]>> = {
  darwin: ["open", []],
  // The empty argument is the title of the window, for which `start` would take the address.
  windows: ["cmd", ["/c", "start", ""]],
  linux: ["xdg-open", []],
}

/** Does nothing where nobody sits there, and says nothing where it fails: the address has been printed. */
export const openInBrowser = (url: string): Effect.Effect<void> =>
  Effect.sync(() => {
    const command = commands[Deno.build.os]
    if (command === undefined || !Deno.stdout.isTerminal()) return
    const [name, args] = command
    // Windows' shell takes an ampersand for the end of a command.
    const address = Deno.build.os === "windows" ? url.replaceAll("&", "^&") : url
    try {
      new Deno.Command(name, { args: [...args, address], stdin: "null", stdout: "null", stderr: "null" }).spawn()
        .unref()
    } catch {
      // No such program.
    }
  })
