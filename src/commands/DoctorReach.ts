/** What `doctor` looks at in the network: whether the providers can be reached, and what time it is there. */
import { Clock, Effect } from "effect"
import type { SettingsValues } from "../domain/Settings.ts"
import { clockFinding } from "./DoctorLocal.ts"
import { fail, type Finding, ok } from "./Finding.ts"

const patience = "5 seconds"

/** @param setting what the address comes from */
const blocked = (setting: string) =>
  `let this machine reach it (firewall, proxy, name resolution), or correct ${setting}`

/** Any answer at all: without a token it is a refusal. */
const http = (check: string, url: string, setting: string): Effect.Effect<ReadonlyArray<Finding>> =>
  Effect.tryPromise((signal) => fetch(url, { signal, redirect: "manual" })).pipe(
    Effect.tap((response) => Effect.promise(() => response.body?.cancel() ?? Promise.resolve())),
    Effect.timeout(patience),
    Effect.bindTo("response"),
    Effect.bind("now", () => Clock.currentTimeMillis),
    Effect.map(({ now, response }) => {
      const date = new Date(response.headers.get("date") ?? "")
      const found = ok(check, `${new URL(url).host} answers`)
      return Number.isNaN(date.getTime()) ? [found] : [found, clockFinding(`${check} clock`, date, now, "the provider")]
    }),
    Effect.orElseSucceed(() => [fail(check, `${new URL(url).host} does not answer`, blocked(setting))]),
  )

const tcp = (check: string, url: string, setting: string): Effect.Effect<ReadonlyArray<Finding>> => {
  const { hostname, port, protocol } = new URL(url)
  const at = { hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port) || (protocol === "imap:" ? 143 : 993) }
  return Effect.tryPromise(() => Deno.connect(at)).pipe(
    Effect.tap((connection) => Effect.sync(() => connection.close())),
    Effect.timeout(patience),
    Effect.as([ok(check, `${at.hostname}:${at.port} takes connections`)]),
    Effect.orElseSucceed(() => [fail(check, `${at.hostname}:${at.port} takes no connections`, blocked(setting))]),
  )
}

/** @param providers those that are in use; none = not known yet, so all */
export const reach = (
  settings: SettingsValues,
  providers: ReadonlyArray<string>,
): Effect.Effect<ReadonlyArray<Finding>> => {
  const uses = (provider: string) => providers.length === 0 || providers.includes(provider)
  const { gmailImap, gmailUrl, googleTokenUrl, graphUrl, microsoftAuthority, microsoftTenant, outlookImap } = settings
  return Effect.map(
    Effect.all([
      ...(uses("microsoft")
        ? [
          http(
            "Microsoft tokens",
            `${microsoftAuthority}/${microsoftTenant}/oauth2/v2.0/token`,
            "MAILFLEET_MICROSOFT_AUTHORITY",
          ),
          http("Microsoft Graph", `${graphUrl}/me`, "MAILFLEET_GRAPH_URL"),
          tcp("Outlook IMAP", outlookImap, "MAILFLEET_OUTLOOK_IMAP"),
        ]
        : []),
      ...(uses("google")
        ? [
          http("Google tokens", googleTokenUrl, "MAILFLEET_GOOGLE_TOKEN_URL"),
          http("Gmail", `${gmailUrl}/users/me/profile`, "MAILFLEET_GMAIL_URL"),
          tcp("Gmail IMAP", gmailImap, "MAILFLEET_GMAIL_IMAP"),
        ]
        : []),
    ], { concurrency: "unbounded" }),
    (findings) => findings.flat(),
  )
}
