/** A file of accounts comes in: chosen or dragged, checked without consequences, then imported. */
import { useEffect, useRef, useState } from "preact/hooks"
import { type Query, type Run } from "./Api.ts"
import { bytes, count, counted } from "./Format.ts"
import { go, href } from "./Router.ts"
import { RunItems } from "./RunItems.tsx"
import { RunProgress } from "./RunProgress.tsx"
import { ProblemNote } from "./Ui.tsx"
import { formats, mediaTypeOf, upload } from "./upload.ts"
import { hasEnded, useRun } from "./useRun.ts"

interface Choices {
  readonly onDuplicate: string
  readonly tags: string
  readonly verify: boolean
}

const DropZone = ({ file, onFile }: { file: File | undefined; onFile: (file: File) => void }) => {
  const input = useRef<HTMLInputElement>(null)
  const [isOver, setOver] = useState(false)
  const [fault, setFault] = useState("")
  const take = (files: FileList | null | undefined) => {
    if (files === null || files === undefined || files.length === 0) return
    const [first] = files
    if (files.length > 1) return setFault("One file at a time, please.")
    if (first!.size === 0) return setFault(`${first!.name} is empty, or is a folder.`)
    if (mediaTypeOf(first!.name) === undefined) {
      return setFault(`${first!.name}: the name must end in ${formats.join(", ")}, which tells how it is read.`)
    }
    setFault("")
    onFile(first!)
  }
  // A file that misses the box is dropped nowhere, rather than opened by the browser in place of this page.
  useEffect(() => {
    const refuse = (event: DragEvent) => event.preventDefault()
    for (const kind of ["dragover", "drop"] as const) addEventListener(kind, refuse)
    return () => {
      for (const kind of ["dragover", "drop"] as const) removeEventListener(kind, refuse)
    }
  }, [])
  return (
    <>
      <div
        class={`drop ${isOver ? "over" : ""}`}
        onDragOver={(event) => {
          event.preventDefault()
          setOver(true)
        }}
        onDragLeave={() => setOver(false)}
        onDrop={(event) => {
          event.preventDefault()
          setOver(false)
          take(event.dataTransfer?.files)
        }}
      >
        <p>
          {file === undefined ? "Drag a file of accounts here, or" : (
            <>
              <b>{file.name}</b>, {bytes(file.size)}
            </>
          )}
        </p>
        <button type="button" onClick={() => input.current?.click()}>
          {file === undefined ? "Choose a file" : "Choose another file"}
        </button>
        <input
          ref={input}
          class="unseen"
          type="file"
          tabIndex={-1}
          aria-label="File of accounts"
          accept={formats.join(",")}
          onChange={(event) => {
            take(event.currentTarget.files)
            event.currentTarget.value = ""
          }}
        />
      </div>
      <p class="fault" role="alert">{fault}</p>
      <p class="quiet">
        CSV with a header of <code>email,client_id,refresh_token</code>, NDJSON or JSON with the same names, or lines of
        {" "}
        <code>email----client_id----refresh_token</code>. The file goes to your server only.
      </p>
    </>
  )
}

const Options = ({ choices, onChoices }: { choices: Choices; onChoices: (choices: Choices) => void }) => (
  <fieldset class="options">
    <legend>How</legend>
    <label>
      An account that exists
      <select
        value={choices.onDuplicate}
        onChange={(event) => onChoices({ ...choices, onDuplicate: event.currentTarget.value })}
      >
        <option value="skip">is left as it is</option>
        <option value="update">gets the token of the file</option>
        <option value="fail">counts as a failure</option>
      </select>
    </label>
    <label>
      Tags for all of them
      <input
        value={choices.tags}
        placeholder="support, eu"
        onInput={(event) => onChoices({ ...choices, tags: event.currentTarget.value })}
      />
    </label>
    <label class="check">
      <input
        type="checkbox"
        checked={choices.verify}
        onChange={(event) => onChoices({ ...choices, verify: event.currentTarget.checked })}
      />
      Redeem each refresh token at once, to see that it works
    </label>
  </fieldset>
)

/** What a dry run found. */
const Preview = ({ run, start }: { run: Run; start: () => void }) => {
  const [cursor, setCursor] = useState<string>()
  const outcome = run.failed > 0 ? "failed" : run.skipped > 0 ? "skipped" : ""
  if (!hasEnded(run)) {
    return (
      <section aria-labelledby="preview">
        <h2 id="preview">Checking the file</h2>
        <RunProgress run={run} />
      </section>
    )
  }
  return (
    <section aria-labelledby="preview">
      <h2 id="preview">{run.failed === 0 ? "The file is good" : `${counted(run.failed, "bad line")}`}</h2>
      <RunProgress run={run} />
      <p role="status">
        {counted(run.succeeded, "account")} can be imported.
        {run.failed > 0 && " Bad lines are left out: mend them and check the file again, or go on without them."}
        {run.skipped > 0 && ` ${count(run.skipped)} are skipped: they exist already, or stand in the file twice.`}
      </p>
      <p class="actions">
        <button type="button" class="primary" disabled={run.succeeded === 0} onClick={start}>
          Import {counted(run.succeeded, "account")}
        </button>
      </p>
      {outcome !== "" && (
        <div
          onClick={(event) => {
            // Pages of the preview are not addresses of their own: the file would be lost on the way.
            const link = (event.target as HTMLElement).closest(".pager a")
            if (link === null) return
            event.preventDefault()
            setCursor(link.getAttribute("href")?.slice(1) || undefined)
          }}
        >
          <h3>{outcome === "failed" ? "Bad lines" : "Skipped lines"}</h3>
          <RunItems
            runId={run.id}
            outcome={outcome}
            cursor={cursor}
            changes="ended"
            pageOf={(next) => `#${next ?? ""}`}
          />
        </div>
      )}
    </section>
  )
}

const Checked = ({ id, start }: { id: string; start: () => void }) => {
  const { problem, run } = useRun(id)
  return (
    <>
      {problem !== undefined && <ProblemNote problem={problem} />}
      {run !== undefined && <Preview run={run} start={start} />}
    </>
  )
}

export const Import = () => {
  const [file, setFile] = useState<File>()
  const [choices, setChoices] = useState<Choices>({ onDuplicate: "skip", tags: "", verify: true })
  const [sent, setSent] = useState<number>()
  const [fault, setFault] = useState("")
  const [checkedId, setChecked] = useState<string>()

  const change = () => {
    setChecked(undefined)
    setFault("")
  }
  const send = async (dryRun: boolean) => {
    change()
    setSent(0)
    const { onDuplicate, tags, verify } = choices
    const query: Query = { onDuplicate, tags, ...(verify ? {} : { verify }), ...(dryRun ? { dryRun } : {}) }
    try {
      const run = await upload(file!, query, setSent)
      if (dryRun) setChecked(run.id)
      else go(href(["runs", run.id]))
    } catch (error) {
      setFault(error instanceof Error ? error.message : String(error))
    }
    setSent(undefined)
  }

  return (
    <>
      <h1>Import</h1>
      <DropZone
        file={file}
        onFile={(chosen) => {
          change()
          setFile(chosen)
        }}
      />
      {file !== undefined && (
        <>
          <Options
            choices={choices}
            onChoices={(next) => {
              change()
              setChoices(next)
            }}
          />
          <p class="actions">
            <button type="button" class="primary" disabled={sent !== undefined} onClick={() => void send(true)}>
              Check the file
            </button>
            <span class="quiet">A check contacts no provider and stores no account.</span>
          </p>
        </>
      )}
      {sent !== undefined && <p role="status">{sent < 1 ? `Sending: ${Math.floor(sent * 100)} %` : "Taking it in…"}</p>}
      {fault !== "" && <p class="note bad" role="alert">{fault}</p>}
      {checkedId !== undefined && <Checked id={checkedId} start={() => void send(false)} />}
    </>
  )
}
