/** Texts from mail as they can be stored: mail may hold what no Postgres text and no UTF-8 can. */

/** Without NUL and without halves of surrogate pairs. */
export const storable = (text: string): string => text.replaceAll("\0", "").toWellFormed()

/** As long as Microsoft Graph makes its previews. */
const previewLength = 255

export const previewOf = (text: string): string =>
  storable(text.slice(0, previewLength * 8).replace(/\s+/g, " ").trim().slice(0, previewLength))
