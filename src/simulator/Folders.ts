/** The folders that a mailbox has from the start, named in the language of its owner. */
import { hash, pick, share } from "./Random.ts"

export interface Folder {
  readonly ordinal: number
  /** Ordinal of the folder around it; -1 for the root. */
  readonly parent: number
  readonly name: string
  readonly wellKnown: string | undefined
  readonly hidden: boolean
}

/** Ordinals of the folders that messages start in. */
export const root = 0
export const inbox = 1
export const drafts = 2
export const sentItems = 3
export const deletedItems = 4
export const junkEmail = 5
export const archive = 6
const projects = 10

const wellKnown: ReadonlyArray<readonly [name: string, hidden: boolean]> = [
  ["msgfolderroot", false],
  ["inbox", false],
  ["drafts", false],
  ["sentitems", false],
  ["deleteditems", false],
  ["junkemail", false],
  ["archive", false],
  ["outbox", false],
  ["conversationhistory", false],
  ["syncissues", true],
]

const names = {
  en:
    "Top of Information Store,Inbox,Drafts,Sent Items,Deleted Items,Junk Email,Archive,Outbox,Conversation History,Sync Issues,Projects,2026,Q3 / plans",
  de:
    "Oberste Ebene des Informationsspeichers,Posteingang,Entwürfe,Gesendete Elemente,Gelöschte Elemente,Junk-E-Mail,Archiv,Postausgang,Aufgezeichnete Unterhaltungen,Synchronisierungsprobleme,Projekte,2026,Größe & Übersicht",
  zh: "信息存储顶部,收件箱,草稿,已发送邮件,已删除邮件,垃圾邮件,存档,发件箱,对话历史记录,同步问题,项目,2026,第三季度",
  ar:
    "أعلى مخزن المعلومات,علبة الوارد,المسودات,العناصر المرسلة,العناصر المحذوفة,البريد الإلكتروني غير الهام,أرشيف,علبة الصادر,محفوظات المحادثات,مشاكل المزامنة,المشاريع,٢٠٢٦,الربع الثالث",
} as const

/** Half of the mailboxes are English; the rest share the other languages. */
const locales: readonly ["en", ...Array<keyof typeof names>] = ["en", "en", "en", "de", "zh", "ar"]

const templates = new Map<string, ReadonlyArray<Folder>>()

const template = (locale: keyof typeof names, nested: boolean): ReadonlyArray<Folder> => {
  const key = `${locale} ${nested}`
  let folders = templates.get(key)
  if (folders === undefined) {
    folders = names[locale].split(",").slice(0, nested ? undefined : projects).map((name, ordinal): Folder => {
      const known = wellKnown[ordinal]
      return known === undefined
        // Nested ones: projects within the inbox, then each within the one before.
        ? { ordinal, parent: ordinal === projects ? inbox : ordinal - 1, name, wellKnown: undefined, hidden: false }
        : { ordinal, parent: ordinal - 1 < 0 ? -1 : root, name, wellKnown: known[0], hidden: known[1] }
    })
    templates.set(key, folders)
  }
  return folders
}

const isNested = (seed: number, index: number): boolean => share(seed, 0xf01, index) < 0.5

/** The initial folders of a mailbox, by ordinal. The array is shared among mailboxes. */
export const initialFolders = (seed: number, index: number): ReadonlyArray<Folder> =>
  template(pick(locales, hash(seed, 0xf00, index)), isNested(seed, index))

/** Ordinals from here on are free for folders that are added later. */
export const firstAddedFolder = 16

/** The folder that an initial message starts in: 12 of 20 in the inbox, the rest spread over the others. */
export const initialFolderOf = (seed: number, index: number, ordinal: number): number => {
  const place = hash(seed, 0xf02, index, ordinal) % 20
  if (place < 12) return inbox
  if (place < 14) return sentItems
  if (place === 14) return archive
  if (place === 15) return deletedItems
  if (place === 16) return junkEmail
  if (place === 17) return drafts
  return isNested(seed, index) ? projects + hash(seed, 0xf03, index, ordinal) % 3 : inbox
}
