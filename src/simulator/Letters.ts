/** What messages say: many scripts, odd lengths, and now and then nothing. A function of seed, mailbox and ordinal. */
import type { Attachment } from "./Attachments.ts"
import { hash, pick } from "./Random.ts"

export interface Person {
  readonly name: string
  readonly address: string
}

export interface Letter {
  readonly subject: string
  readonly from: Person
  readonly to: ReadonlyArray<Person>
  readonly cc: ReadonlyArray<Person>
  readonly text: string
  readonly html: boolean
  readonly hasAttachments: boolean
  readonly importance: "low" | "normal" | "high"
  readonly categories: ReadonlyArray<string>
  /** What is attached, where that was said; else it follows from `hasAttachments`. */
  readonly attachments?: ReadonlyArray<Attachment>
}

interface Tongue {
  readonly people: readonly [Person, ...Array<Person>]
  readonly subjects: readonly [string, ...Array<string>]
  readonly sentences: readonly [string, ...Array<string>]
}

const person = (name: string, address: string): Person => ({ name, address })

const tongues: readonly [Tongue, ...Array<Tongue>] = [
  {
    people: [person("Ada Byron", "ada@mail.example"), person("O'Neil, Pat", "pat.oneil@shop.example")],
    subjects: ["Your invoice is ready", "Re: Meeting on Thursday", "Ticket #48213 was updated", "Welcome aboard", ""],
    sentences: [
      "Thank you for your patience while we looked into this.",
      "The report <draft 3> is attached; please read section 2 & 4 first.",
      "We have moved the meeting to 3 pm, same room.",
      "If this was not you, change your password at once.",
    ],
  },
  {
    people: [person("Jürgen Groß", "juergen@post.example"), person("Käthe Müller", "k.mueller@amt.example")],
    subjects: ["Größe der Lieferung geändert", "AW: Rückfrage zur Überweisung", "Einladung zur Hauptversammlung"],
    sentences: [
      "Vielen Dank für Ihre Nachricht, wir melden uns in Kürze.",
      "Die Rechnung über 1.234,56 € fügen wir bei.",
      "Bitte bestätigen Sie den Termin bis spätestens Freitag.",
    ],
  },
  {
    people: [person("李小龙", "li@youxiang.example"), person("王芳", "wangfang@gongsi.example")],
    subjects: ["会议纪要：第三季度计划", "您的订单已发货", "回复：合同草案"],
    sentences: ["感谢您的来信，我们会尽快回复。", "附件是最新的合同草案，请查收。", "会议改到星期四下午三点。"],
  },
  {
    people: [person("سارة أحمد", "sara@barid.example"), person("محمد علي", "mohamed@sharika.example")],
    subjects: ["تأكيد الحجز رقم ٤٥٢١", "رد: موعد الاجتماع", "فاتورة شهر سبتمبر"],
    sentences: [
      "شكرا لرسالتك، سنرد عليك قريبا.",
      "تجد الفاتورة مرفقة مع هذه الرسالة.",
      "تم نقل الاجتماع إلى يوم الخميس.",
    ],
  },
  {
    people: [person("山田 太郎", "yamada@yubin.example")],
    subjects: ["【重要】ご確認のお願い", "Re: お見積りの件"],
    sentences: ["いつもお世話になっております。", "添付の資料をご確認ください。", "来週の木曜日はいかがでしょうか。"],
  },
  {
    people: [person("Иван Петров", "ivan@pochta.example")],
    subjects: ["Счёт за сентябрь", "Re: Договор поставки"],
    sentences: ["Спасибо за ваше письмо.", "Документы во вложении.", "Просим подтвердить получение."],
  },
  {
    people: [person("🚀 Launch Team", "launch@news.example"), person("", "no-reply@service.example")],
    subjects: ["🎉 It's here! 👩‍👩‍👧‍👦 family plan", `Newsletter ${"with a very long subject line ".repeat(9)}`, "🔔"],
    sentences: [
      "Don't miss out 👉 https://example.test/?a=1&b=2 ✨",
      "👍🏽👍🏿 naïve café — résumé “quoted”.",
      "नमस्ते दुनिया",
    ],
  },
]

const importances: readonly ["normal", ...Array<"low" | "normal" | "high">] = [
  "normal",
  "normal",
  "normal",
  "high",
  "low",
]

export const writeLetter = (seed: number, index: number, ordinal: number, owner: Person, outgoing: boolean): Letter => {
  const h = (salt: number) => hash(seed, salt, index, ordinal)
  const tongue = pick(tongues, h(1))
  const other = pick(tongue.people, h(2))
  const third = pick(pick(tongues, h(3)).people, h(4))
  // Most letters are short; one in 16 is long enough to need its preview cut in the middle.
  const length = h(5) % 16 === 0 ? 40 : 1 + h(5) % 6
  const sentences: Array<string> = []
  for (let i = 0; i < length; i++) sentences.push(pick(tongue.sentences, hash(seed, 6 + i, index, ordinal)))
  return {
    subject: pick(tongue.subjects, h(60)),
    from: outgoing ? owner : other,
    to: outgoing ? [other] : [owner],
    cc: h(61) % 5 === 0 ? [third] : [],
    text: h(62) % 40 === 0 ? "" : sentences.join(h(63) % 3 === 0 ? "\r\n\r\n" : " "),
    html: h(64) % 3 !== 0,
    hasAttachments: h(65) % 8 === 0,
    importance: pick(importances, h(66)),
    categories: h(67) % 10 === 0 ? ["Blue category"] : [],
  }
}

/** Text as an HTML body, as Graph returns it. @param images markup behind the text */
export const toHtml = (text: string, images = ""): string => {
  const escaped = text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;")
  return `<html><head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8"></head><body><p>${
    escaped.replaceAll("\r\n\r\n", "</p><p>")
  }</p>${images}</body></html>`
}

/** First 255 characters (UTF-16 units) on one line; a surrogate pair is not cut in two. */
export const preview = (text: string): string => {
  const start = text.length > 600 ? text.slice(0, 600) : text
  const line = start.includes("\n") ? start.replace(/\s+/g, " ").trim() : start
  if (line.length <= 255) return line
  const last = line.charCodeAt(254)
  return line.slice(0, last >= 0xd800 && last <= 0xdbff ? 254 : 255)
}
