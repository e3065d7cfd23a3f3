import manifest from "../../deno.json" with { type: "json" }

/** The version of this package, as the API and the front page show it. */
export const version: string = manifest.version
