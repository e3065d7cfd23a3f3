/** Import files of any length, made as they are read. */
import { Stream } from "effect"

/** About the length of a Microsoft refresh token. */
const tokenLength = 1_200
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const clientId = "776f14ec-cbe6-4cb2-a7f3-9a4c3d8dc942"

const filler = Array.from({ length: tokenLength }, (_, index) => alphabet[(index * 37 + (index >> 3)) % 64]).join("")

const token = (row: number): string => {
  const start = (row * 7) % (tokenLength - 64)
  return `0.${row.toString(36)}.${filler.slice(start)}${filler.slice(0, start)}`
}

export const header = "email,client_id,refresh_token\n"

export const csvRow = (row: number): string => `user${row}@bench.example,${clientId},${token(row)}\n`

/** A file of `rows` rows in pieces of about 64 KiB. */
export const csvFile = (rows: number): Stream.Stream<Uint8Array> => {
  const encoder = new TextEncoder()
  const pieces = function* () {
    yield encoder.encode(header)
    for (let row = 0; row < rows; row += 50) {
      let piece = ""
      for (let index = row; index < Math.min(rows, row + 50); index++) piece += csvRow(index)
      yield encoder.encode(piece)
    }
  }
  return Stream.fromIterable({ [Symbol.iterator]: pieces })
}
