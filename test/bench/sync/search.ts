/** (d) Search over a million messages, beside the barest query that an index serves. */
import { Console, Effect, Schema } from "effect"
import pg from "pg"
import { newId } from "../../../src/domain/Ids.ts"
import { vectorOf } from "../../../src/storage/mail/SearchWords.ts"
import { postgresUrl } from "../../support/engines.ts"
import { install, type Installation, type Service } from "../../support/processes.ts"
import { count, load, markdown, millis, quantile } from "../refresh/figures.ts"
import { random, textOf, wordOf } from "./letters.ts"

const accounts = 100
/** Different texts; each message has one of them, and a word that it shares with few. */
const texts = 20_000
/** Messages that share a rare word. */
const shared = 20

/** Of scripts without blanks, and from right to left. */
const scripts = [
  "感谢您的来信，我们会尽快回复。会议改到星期四下午三点。",
  "いつもお世話になっております。添付の資料をご確認ください。",
  "شكرا لرسالتك، سنرد عليك قريبا. تم نقل الاجتماع إلى يوم الخميس.",
  "Спасибо за ваше письмо. Документы во вложении.",
]

/** Any uuid will do where the vector of a text is made before it is known whose it is. */
const nobody = "00000000-0000-0000-0000-000000000000"

/** Milliseconds of the newest message; each of the others is a minute older than the one before. */
const now = Date.UTC(2026, 9, 1)
const day = 86_400_000

/** Messages of many accounts, the newest first; they are the same each time. */
export const fill = async (installation: Installation, messages: number, accounts: number) => {
  const client = new pg.Client({ connectionString: postgresUrl })
  await client.connect()
  const t = (name: string) => `${installation.schema}.${name}`
  const query = (text: string, values: ReadonlyArray<unknown> = []) => client.query(text, [...values])
  const app = newId()
  await query(`set maintenance_work_mem = '512MB'`)
  await query(
    `insert into ${t("apps")} (id, provider, client_id, tenant) values ($1::uuid, 'microsoft', $1::text, 'common')`,
    [
      app,
    ],
  )
  await query(
    `with grants as (insert into ${t("grants")} (id, app_id, secret, token_hash)
      select gen_random_uuid(), $1::uuid, '', '' from generate_series(1, ${accounts}) returning id)
    insert into ${t("accounts")} (id, provider, email, email_key, channel, grant_id, status)
      select gen_random_uuid(), 'microsoft', id || '@bench.example', id || '@bench.example', 'graph', id, 'disabled' from grants`,
    [app],
  )
  await query(`insert into ${t("folders")} (account_id, id, remote_id, display_name, role, origin)
    select id, gen_random_uuid(), 'inbox', 'Inbox', 'inbox', 'live' from ${t("accounts")}`)

  await query(`create unlogged table ${t("bench_texts")} (n int primary key, subject text, body text, search tsvector)`)
  for (let from = 0; from < texts; from += 1_000) {
    const rows = Array.from({ length: 1_000 }, (_, index) => {
      const n = from + index
      const chance = random(n)
      const subject = textOf(chance, 5)
      const body = `${textOf(chance, 40 + Math.floor(chance() * 80))} ${
        n % 4 === 0 ? scripts[(n / 4) % scripts.length] : ""
      }`
      const sender = `sender${n % 397}@sender${n % 97}.example`
      return {
        n,
        subject,
        body,
        search: vectorOf(nobody, {
          subject,
          sender,
          people: [`Sender ${n % 397}`, sender],
          texts: [body],
          receivedAt: null,
        }, now),
      }
    })
    await query(
      `insert into ${t("bench_texts")} select n, subject, body, search::tsvector
        from json_to_recordset($1) as r (n int, subject text, body text, search text)`,
      [JSON.stringify(rows)],
    )
  }

  // What a message is found by of its time: as many words as there are days.
  await query(`create unlogged table ${t("bench_days")} (day date primary key, search tsvector)`)
  const days = Array.from({ length: Math.ceil(messages / 1_440) + 2 }, (_, n) => {
    const receivedAt = now - n * day
    const search = vectorOf(nobody, { subject: "", sender: "", people: [], texts: [], receivedAt }, now)
    return { day: new Date(receivedAt).toISOString().slice(0, 10), search }
  })
  await query(
    `insert into ${
      t("bench_days")
    } select day, search::tsvector from json_to_recordset($1) as r (day date, search text)`,
    [JSON.stringify(days)],
  )

  const { rows: indexes } = await query(
    `select indexname, indexdef from pg_indexes where schemaname = $1 and tablename in ('messages', 'message_index')
      and indexdef not like '%UNIQUE%'`,
    [installation.schema],
  )
  for (const { indexname } of indexes) await query(`drop index ${t(indexname)}`)
  await query(
    `insert into ${t("messages")} (account_id, id, remote_id, folder_id, seen_round, subject, sender, received_at,
      preview, body_text, body_state, internet_message_id, to_recipients, cc_recipients, bcc_recipients, reply_to, is_read,
      is_draft, is_flagged, importance, categories, has_attachments)
    select a.account_id, gen_random_uuid(), i::text, a.id, 1, x.subject,
      jsonb_build_object('name', 'Sender ' || i % 397, 'address', 'sender' || i % 397 || '@sender' || i % 97 || '.example'),
      timestamptz '2026-10-01 00:00:00Z' - make_interval(mins => i), left(x.body, 200), x.body, 'complete', '<' || i || '@bench.example>', '[]', '[]', '[]', '[]', true, false, false, 'normal', '{}',
      false
    from generate_series(0, ${messages - 1}) i join ${t("bench_texts")} x on x.n = (i::bigint * 7919) % ${texts}
    join (select account_id, id, row_number() over () - 1 as place from ${
      t("folders")
    }) a on a.place = i % ${accounts}`,
  )
  await query(`insert into ${t("message_index")} (account_id, message_id, received_at, wants_body, search)
    select m.account_id, m.id, m.received_at, false,
      x.search || ('''=' || m.account_id || '''')::tsvector || ('''rare' || m.remote_id::int / ${shared} || ''':1')::tsvector || d.search
    from ${t("messages")} m join ${t("bench_texts")} x on x.n = (m.remote_id::int::bigint * 7919) % ${texts}
    join ${t("bench_days")} d on d.day = (m.received_at at time zone 'UTC')::date`)
  for (const { indexdef } of indexes) await query(indexdef)
  for (const name of ["messages", "message_index", "folders", "accounts"]) await query(`vacuum (analyze) ${t(name)}`)
  const { rows } = await query(`select id from ${t("accounts")} order by id limit 1`)
  const { rows: sizes } = await query(
    `select relname as name, pg_total_relation_size(oid)::float8 as bytes from pg_class
      where relnamespace = $1::regnamespace and relname in ('messages', 'message_index')`,
    [installation.schema],
  )
  return {
    client,
    account: String(rows[0].id),
    sizes: new Map(sizes.map(({ bytes, name }) => [name, bytes as number])),
  }
}

const Found = Schema.Struct({ items: Schema.Array(Schema.Struct({ id: Schema.String })) })

interface Question {
  readonly name: string
  /** What is typed in the `n`th time. */
  readonly words: (n: number) => string
  /** The same as a `tsquery` without any comfort. */
  readonly bare: (n: number) => string
}

const questions = (messages: number): ReadonlyArray<Question> => {
  const rare = (n: number) => `rare${(n * 7_001) % Math.floor(messages / shared)}`
  const some = (n: number) => wordOf(20_000 + n * 37)
  const frequent = (n: number) => wordOf(n % 5)
  return [
    { name: "a rare word", words: rare, bare: (n) => `'${rare(n)}'` },
    { name: "a word that some have", words: some, bare: (n) => `'${some(n)}'` },
    { name: "a frequent word", words: frequent, bare: (n) => `'${frequent(n)}'` },
    {
      name: "a frequent and a rare one",
      words: (n) => `${frequent(n)} ${rare(n)}`,
      bare: (n) => `'${frequent(n)}' & '${rare(n)}'`,
    },
    { name: "Chinese", words: () => "星期四", bare: () => "'星期' <1> '期四'" },
    { name: "Arabic", words: () => "الاجتماع", bare: () => "'الاجتماع'" },
    { name: "a word that nobody has", words: (n) => `nothing${n}at${n}all`, bare: (n) => `'nothing${n}at${n}all'` },
  ]
}

/** Milliseconds of each of so many runs, after one that warms up. */
const timesOf = async (runs: number, ask: (n: number) => Promise<unknown>) => {
  const times: Array<number> = []
  await ask(runs)
  for (let n = 0; n < runs; n++) {
    const begun = performance.now()
    await ask(n)
    times.push(performance.now() - begun)
  }
  return times
}

const ask = (service: Service, path: string, words: string) =>
  Effect.runPromise(service.call(Found, `${path}?limit=50&q=${encodeURIComponent(words)}`))

export const benchSearch = (quick: boolean) =>
  Effect.gen(function* () {
    const messages = quick ? 50_000 : 1_000_000
    const runs = quick ? 10 : 60
    const installation = yield* install("postgres", "http://127.0.0.1:1", { MAILFLEET_SCHEDULES: "off" })
    const service = yield* installation.start()
    const begun = performance.now()
    const { account, client, sizes } = yield* Effect.acquireRelease(
      Effect.promise(() => fill(installation, messages, accounts)),
      ({ client }) => Effect.promise(() => client.end()),
    )
    const filled = (performance.now() - begun) / 1_000
    const rows: Array<ReadonlyArray<string>> = []
    for (const { bare, name, words } of questions(messages)) {
      const row = (where: string, path: string, condition: string, values: ReadonlyArray<string>) =>
        Effect.promise(async () => {
          const ours = await timesOf(runs, (n) => ask(service, path, words(n)))
          const theirs = await timesOf(runs, (n) =>
            client.query(
              `select m.id, m.subject, m.sender, m.received_at, m.preview from ${installation.schema}.message_index i
                join ${installation.schema}.messages m on m.account_id = i.account_id and m.id = i.message_id
                where i.search @@ $1::tsquery ${condition} order by i.received_at desc, i.message_id desc limit 50`,
              [bare(n), ...values],
            ))
          rows.push([
            `${name}, ${where}`,
            ...[ours, theirs].flatMap((times) => [millis(quantile(times, 0.5)), millis(quantile(times, 0.99))]),
          ])
        })
      yield* row("one account", `/v1/accounts/${account}/messages`, "and i.account_id = $2", [account])
      yield* row("the fleet", "/v1/messages", "", [])
    }
    const each = (name: string) => `${name} ${count(Math.round((sizes.get(name) ?? NaN) / messages))}`
    yield* Console.log(
      `\n(d) search over ${count(messages)} messages of ${accounts} accounts, filled in ${
        filled.toFixed(0)
      } s; ${runs} questions each; ${load()}\n\n` +
        markdown([["the newest 50 with …", "p50", "p99", "barest p50", "barest p99"], ...rows]) +
        `\n\nbytes per message, indexes included: ${each("messages")}, ${each("message_index")}`,
    )
  }).pipe(Effect.scoped)
