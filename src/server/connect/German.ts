import type { Texts } from "./Texts.ts"

export const german: Texts = {
  tag: "de",
  name: "Deutsch",
  languageLabel: "Sprache",
  signIn: {
    title: "Postfach verbinden",
    text:
      "Sie werden zu {provider} weitergeleitet, melden sich dort an und erlauben diesem Dienst, Ihre E-Mails zu lesen. Ihr Passwort sieht er nie.",
  },
  signInAs: "Bitte melden Sie sich als {expected} an.",
  consent: {
    title: "Zugriff für Ihre Organisation erlauben",
    text:
      "Als Administrator werden Sie zu {provider} weitergeleitet und erlauben diesem Dienst, Postfächer Ihrer Organisation zu lesen.",
  },
  once: "Der Link gilt ein einziges Mal. Wenn Sie abbrechen, fordern Sie einen neuen an.",
  go: "Weiter zu {provider}",
  connected: { title: "Ihr Postfach ist verbunden", text: "{email} ist verbunden." },
  disabled:
    "Der Betreiber dieses Dienstes hat dieses Postfach abgeschaltet; bis er es wieder einschaltet, wird nichts gelesen.",
  consented: { title: "Der Zugriff ist erlaubt", text: "Dieser Dienst darf nun Postfächer Ihrer Organisation lesen." },
  canClose: "Sie können diese Seite schließen.",
  unusable: {
    unknown: { title: "Dieser Link ist ungültig", text: "Prüfen Sie, ob Sie den ganzen Link geöffnet haben." },
    used: { title: "Dieser Link wurde schon benutzt", text: "Jeder Link gilt einmal, für eine Anmeldung." },
    expired: { title: "Dieser Link ist abgelaufen", text: "Links gelten nur kurze Zeit." },
    other_browser: {
      title: "Diese Anmeldung begann woanders",
      text:
        "Eine Anmeldung muss in dem Browser enden, in dem sie begann; Cookies müssen erlaubt sein. Es wurde nichts verbunden.",
    },
  },
  refused: {
    access_denied: {
      title: "Der Zugriff wurde nicht erlaubt",
      text: "Sie haben den Zugriff bei {provider} nicht erlaubt oder abgebrochen. Es wurde nichts verbunden.",
    },
    wrong_person: {
      title: "Es wurde jemand anderes erwartet",
      text: "Sie haben sich als {actual} angemeldet, erwartet wurde aber {expected}. Es wurde nichts verbunden.",
    },
    permission_missing: {
      title: "Die Erlaubnis, E-Mails zu lesen, fehlt",
      text:
        "Ohne sie kann Ihr Postfach nicht verbunden werden. Melden Sie sich erneut an und lassen Sie alle Berechtigungen angekreuzt.",
    },
    consent_required: {
      title: "Zuerst muss ein Administrator zustimmen",
      text:
        "In Ihrer Organisation dürfen nur Administratoren diese App erlauben. Bitten Sie Ihren darum und melden Sie sich dann erneut an.",
    },
    account_blocked: {
      title: "Ihre Organisation sperrt den Zugriff",
      text:
        "Eine Regel Ihrer Organisation oder eine Sperre von {provider} steht im Weg. Fragen Sie Ihren Administrator.",
    },
    account_taken: {
      title: "Dieses Postfach ist schon da",
      text:
        "Das Postfach von {actual} wird bereits auf andere Weise gelesen. Der Betreiber dieses Dienstes muss entscheiden, was bleibt.",
    },
    account_gone: {
      title: "Dieses Postfach wurde entfernt",
      text: "Der Betreiber dieses Dienstes hat es inzwischen entfernt.",
    },
    app_misconfigured: {
      title: "Dieser Dienst ist nicht richtig eingerichtet",
      text:
        "{provider} weist die App ab, nicht Sie. Sagen Sie es demjenigen, der Ihnen den Link geschickt hat; er findet den Grund in seinen Aufzeichnungen.",
    },
    issuer_mismatch: {
      title: "Die Antwort kam von woanders",
      text:
        "Die Antwort stammt nicht von dort, wo Sie sich anmelden sollten. Zu Ihrer Sicherheit wurde nichts davon verwendet.",
    },
    no_address: {
      title: "Ihre Adresse war nicht zu ermitteln",
      text:
        "{provider} teilt nicht mit, welche Adresse Ihre ist. Sagen Sie es demjenigen, der Ihnen den Link geschickt hat.",
    },
    no_refresh_token: {
      title: "Der dauerhafte Zugriff fehlt",
      text:
        "{provider} hat den Zugriff nur für den Augenblick erlaubt. Melden Sie sich erneut an und lassen Sie alle Berechtigungen angekreuzt.",
    },
    provider_unavailable: {
      title: "{provider} antwortet nicht",
      text:
        "Die Störung geht wohl vorüber. Es wurde nichts verbunden. Bitte versuchen Sie es in einigen Minuten noch einmal.",
    },
    sign_in_failed: {
      title: "Die Anmeldung ist nicht gelungen",
      text: "{provider} hat die Anmeldung nicht bestätigt. Es wurde nichts verbunden.",
    },
  },
  newLink: "Für einen neuen Versuch bitten Sie denjenigen, der Ihnen den Link geschickt hat, um einen neuen.",
  sameLink: "Für einen neuen Versuch öffnen Sie den Link noch einmal.",
  reference: "Kennzeichen für den Betreiber: {reference}",
  onward: "Weiter zu {host}",
  fault: {
    title: "Etwas ist schiefgegangen",
    text: "Der Fehler liegt bei uns und wurde vermerkt. Bitte versuchen Sie es mit einem neuen Link noch einmal.",
  },
}
