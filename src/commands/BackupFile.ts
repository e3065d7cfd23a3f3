/** The file of a backup: lines, compressed, encrypted in the format of age (age-encryption.org/v1), as a stream in and out. */
import { Decrypter, Encrypter, identityToRecipient } from "age-encryption"
import { Effect, Option, Redacted, type Scope } from "effect"
import { Settings } from "../domain/Settings.ts"
import { CommandError } from "./ExitCode.ts"

/** Shorter passphrases are guessed. */
const shortestPassphrase = 16

const howToMakeAKey = "make one with: mailfleet keys new-backup-key"

type BackupKey =
  | { readonly _tag: "Passphrase"; readonly text: string }
  /** Encrypts and decrypts. */
  | { readonly _tag: "Identity"; readonly text: string }
  /** Only encrypts. */
  | { readonly _tag: "Recipient"; readonly text: string }

const backupKey = Effect.gen(function* () {
  const { backupKey } = yield* Settings
  if (Option.isNone(backupKey)) {
    return yield* new CommandError({ message: `MAILFLEET_BACKUP_KEY must be set; ${howToMakeAKey}` })
  }
  const text = Redacted.value(backupKey.value)
  const key: BackupKey = {
    _tag: /^AGE-SECRET-KEY-/.test(text) ? "Identity" : /^age1/.test(text) ? "Recipient" : "Passphrase",
    text,
  }
  if (key._tag === "Passphrase" && text.length < shortestPassphrase) {
    return yield* new CommandError({
      message:
        `MAILFLEET_BACKUP_KEY must be an age key, or a passphrase of at least ${shortestPassphrase} characters; ${howToMakeAKey}`,
    })
  }
  return key
})

const wrongKey = new CommandError({ message: `MAILFLEET_BACKUP_KEY is no key of age; ${howToMakeAKey}` })

const encrypterOf = Effect.fnUntraced(function* ({ _tag, text }: BackupKey) {
  const encrypter = new Encrypter()
  yield* Effect.tryPromise({
    try: async () => {
      if (_tag === "Passphrase") encrypter.setPassphrase(text)
      else encrypter.addRecipient(_tag === "Identity" ? await identityToRecipient(text) : text)
    },
    catch: () => wrongKey,
  })
  return encrypter
})

const decrypterOf = Effect.fnUntraced(function* ({ _tag, text }: BackupKey) {
  if (_tag === "Recipient") {
    return yield* new CommandError({
      message: "MAILFLEET_BACKUP_KEY is the public part of a key, which only encrypts: to restore, set the secret one",
    })
  }
  const decrypter = new Decrypter()
  yield* Effect.try({
    try: () => _tag === "Passphrase" ? decrypter.addPassphrase(text) : decrypter.addIdentity(text),
    catch: () => wrongKey,
  })
  return decrypter
})

/** Where bytes go. What is not finished is removed. */
interface Target {
  readonly writable: WritableStream<Uint8Array>
  /** The file has its name only once it is whole. */
  readonly finish: Effect.Effect<void, CommandError>
}

const cannotWrite = (file: string) => new CommandError({ message: `${file} cannot be written` })

const targetOf = Effect.fnUntraced(function* (file: string): Effect.fn.Return<Target, CommandError, Scope.Scope> {
  if (file === "-") return { writable: Deno.stdout.writable, finish: Effect.void }
  const aside = `${file}.partial`
  if (yield* Effect.promise(() => Deno.stat(file).then(() => true, () => false))) {
    return yield* new CommandError({ message: `${file} exists already: choose another name` })
  }
  const opened = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () => Deno.open(aside, { write: true, create: true, truncate: true, mode: 0o600 }),
      catch: () => cannotWrite(file),
    }),
    () => Effect.promise(() => Deno.remove(aside).catch(() => {})),
  )
  return {
    writable: opened.writable,
    finish: Effect.tryPromise({
      try: async () => {
        using whole = await Deno.open(aside, { write: true })
        await whole.syncData()
        await Deno.rename(aside, file)
      },
      catch: () => cannotWrite(file),
    }),
  }
})

/** Opens a backup to be written: `write` takes its lines and waits for the disk, `finish` ends it. */
export const writeBackupFile = Effect.fnUntraced(function* (file: string) {
  const encrypter = yield* encrypterOf(yield* backupKey)
  const { finish, writable } = yield* targetOf(file)
  const lines = new TransformStream<string, string>()
  const encrypted = yield* Effect.promise(() =>
    encrypter.encrypt(
      lines.readable.pipeThrough(new TextEncoderStream()).pipeThrough(new CompressionStream("gzip")) as ReadableStream<
        Uint8Array
      >,
    )
  )
  const piped = encrypted.pipeTo(writable)
  // Told when it is asked for: until then it is nobody's unhandled rejection.
  piped.catch(() => {})
  const writer = lines.writable.getWriter()
  yield* Effect.addFinalizer(() => Effect.promise(() => writer.abort().catch(() => {})))
  const failing = <A>(attempt: () => Promise<A>) => Effect.tryPromise({ try: attempt, catch: () => cannotWrite(file) })
  return {
    write: (line: string) => Effect.asVoid(failing(() => Promise.race([writer.write(line), piped]))),
    finish: Effect.andThen(failing(() => Promise.all([writer.close(), piped])), finish),
  }
})

/** Cuts pieces of text into lines. */
const intoLines = () => {
  let rest: Array<string> = []
  return new TransformStream<string, string>({
    transform(piece, controller) {
      const [first = "", ...others] = piece.split("\n")
      rest.push(first)
      for (const next of others) {
        controller.enqueue(rest.join(""))
        rest = [next]
      }
    },
    flush(controller) {
      if (rest.join("") !== "") controller.enqueue(rest.join(""))
    },
  })
}

/** The lines of a backup, one by one. Fails where the file was cut off or altered, or is another key's. */
export const readBackupFile = Effect.fnUntraced(function* (file: string) {
  const decrypter = yield* decrypterOf(yield* backupKey)
  const source = file === "-" ? Deno.stdin.readable : (yield* Effect.tryPromise({
    try: () => Deno.open(file, { read: true }),
    catch: () => new CommandError({ message: `${file} cannot be read` }),
  })).readable
  const refused = new CommandError({
    message:
      `${file === "-" ? "standard input" : file} cannot be decrypted: it is no backup, another MAILFLEET_BACKUP_KEY ` +
      "encrypted it, or it was cut off or altered",
  })
  const reader = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        const decrypted = await decrypter.decrypt(source)
        return decrypted.pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>)
          .pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>)
          .pipeThrough(intoLines()).getReader()
      },
      catch: () => refused,
    }),
    (reader) => Effect.promise(() => reader.cancel().catch(() => {})),
  )
  return Effect.map(
    Effect.tryPromise({ try: () => reader.read(), catch: () => refused }),
    ({ value }) => Option.fromUndefinedOr(value),
  )
})
