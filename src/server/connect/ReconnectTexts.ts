/** What the pages of a reconnect link say beside what all pages of a sign-in say. */
import type { Language, Statement } from "./Texts.ts"

interface ReconnectTexts {
  readonly notWanted: Statement
  readonly tooMany: Statement
}

export const reconnectTexts: Readonly<Record<Language, ReconnectTexts>> = {
  en: {
    notWanted: { title: "This mailbox is connected", text: "There is nothing for you to do here." },
    tooMany: {
      title: "Too many sign-ins were begun",
      text: "Finish one of those that are open, or open this link again in a quarter of an hour.",
    },
  },
  de: {
    notWanted: { title: "Dieses Postfach ist verbunden", text: "Sie müssen hier nichts tun." },
    tooMany: {
      title: "Es wurden zu viele Anmeldungen begonnen",
      text: "Schließen Sie eine der offenen ab, oder öffnen Sie diesen Link in einer Viertelstunde noch einmal.",
    },
  },
  zh: {
    notWanted: { title: "此邮箱已连接", text: "您无需在此进行任何操作。" },
    tooMany: { title: "已开始的登录过多", text: "请完成其中一个尚未结束的登录，或在一刻钟后再次打开此链接。" },
  },
}
