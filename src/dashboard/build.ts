/** Makes `Assets.ts`: the page's script and style, with all that they stand on, as the server hands them out. */
import * as esbuild from "esbuild"
import { readFile, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"

const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url))

const head = `/** Made by \`deno task dashboard\` from the files beside it: not to be edited. */
// deno-fmt-ignore-file
// deno-lint-ignore-file
`

/** Whose code the script holds. Their licenses ask to be handed on with it. */
const licenses = async (): Promise<string> => {
  const texts = await Promise.all(
    ["preact", "uplot"].map((name) => readFile(here(`../../node_modules/${name}/LICENSE`), "utf8")),
  )
  return `/*! Preact and uPlot\n\n${texts.join("\n\n")}*/`
}

/** The text of `Assets.ts`, the same for the same sources. */
export const build = async (): Promise<string> => {
  const options = { bundle: true, minify: true, write: false, legalComments: "inline", charset: "utf8" } as const
  const script = await esbuild.build({
    ...options,
    entryPoints: [here("Main.tsx")],
    format: "iife",
    target: "es2023",
    jsx: "automatic",
    jsxImportSource: "preact",
    banner: { js: await licenses() },
  })
  const style = await esbuild.build({
    ...options,
    stdin: {
      contents: '@import "uplot/dist/uPlot.min.css"; @import "./style.css";',
      resolveDir: here("."),
      loader: "css",
    },
  })
  return [
    head,
    `export const script = ${JSON.stringify(script.outputFiles[0]!.text)}\n`,
    `export const style = ${JSON.stringify(style.outputFiles[0]!.text)}\n`,
  ].join("\n")
}

if (import.meta.main) {
  await writeFile(here("Assets.ts"), await build())
  await esbuild.stop()
}
