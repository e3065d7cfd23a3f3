// The part of html-to-text that is used here: the package brings no types.
export const compile: (options?: {
  readonly wordwrap?: number | false
  readonly selectors?: ReadonlyArray<{
    readonly selector: string
    readonly format?: string
    readonly options?: Readonly<Record<string, unknown>>
  }>
}) => (html: string) => string
