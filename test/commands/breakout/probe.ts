/** What whoever got hold of the process would try. Prints the names of what was let through. */
import process from "node:process"

const attempts: Readonly<Record<string, () => unknown>> = {
  "read /etc/passwd": () => Deno.readTextFileSync("/etc/passwd"),
  "read the environment of the process": () => Deno.readTextFileSync("/proc/self/environ"),
  "read the home folder": () => [...Deno.readDirSync("/root")],
  "write to the temporary folder": () => Deno.writeTextFileSync("/tmp/mailfleet-breakout", "x"),
  "write to the source": () => Deno.openSync(new URL("../../../src/main.ts", import.meta.url), { write: true }).close(),
  "run a program": () => new Deno.Command("id").outputSync(),
  "load a library": () => Deno.dlopen("libc.so.6", {}),
  "read another variable": () => {
    if (process.env.CANARY === undefined) throw new Deno.errors.NotCapable("it is not there")
  },
  "connect elsewhere": () => Deno.connect({ hostname: "10.0.0.1", port: 80 }),
  "ask the metadata service": () => fetch("http://169.254.169.254/latest/meta-data/"),
  "listen elsewhere": () => Deno.listen({ hostname: "0.0.0.0", port: 0 }).close(),
  "more rights in a thread": () => import("data:text/javascript,Deno.readTextFileSync('/etc/passwd')"),
}

for (const [name, attempt] of Object.entries(attempts)) {
  try {
    await attempt()
    console.log(name)
  } catch (error) {
    // Anything but a refusal is a hole, too: it got as far as to fail by itself.
    if (!(error instanceof Deno.errors.NotCapable)) console.log(`${name}: ${error}`)
  }
}
console.log("done")
