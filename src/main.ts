/** The command line. */
import { restoreBuiltinModules } from "./commands/PlainFibers.ts"

import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import { Effect, Layer } from "effect"
import { CliConfig, Command, GlobalFlag } from "effect/cli"
import { version } from "./api/Version.ts"
import { accounts } from "./commands/Accounts.ts"
import { apps } from "./commands/Apps.ts"
import { audit } from "./commands/Audit.ts"
import { backup } from "./commands/Backup.ts"
import { changes } from "./commands/Changes.ts"
import { connect } from "./commands/Connect.ts"
import { demo } from "./commands/Demo.ts"
import { doctor } from "./commands/Doctor.ts"
import { events } from "./commands/Events.ts"
import { layerPresenter, teardown } from "./commands/ExitCode.ts"
import { grants } from "./commands/Grants.ts"
import { importCommand } from "./commands/Import.ts"
import { keys } from "./commands/Keys.ts"
import { messages } from "./commands/Messages.ts"
import { migrate } from "./commands/Migrate.ts"
import { permissions } from "./commands/Permissions.ts"
import { policies } from "./commands/Policies.ts"
import { refresh } from "./commands/Refresh.ts"
import { restore } from "./commands/Restore.ts"
import { runs } from "./commands/Runs.ts"
import { serve } from "./commands/Serve.ts"
import { simulate } from "./commands/Simulate.ts"
import { stats } from "./commands/Stats.ts"
import { sync } from "./commands/Sync.ts"
import { webhooks } from "./commands/Webhooks.ts"

restoreBuiltinModules()

const mailfleet = Command.make("mailfleet").pipe(
  Command.withDescription("Keeps a fleet of OAuth mailboxes signed in and in sync."),
  Command.withSubcommands([
    { group: "Run", commands: [serve, demo, simulate] },
    {
      group: "At a running server",
      commands: [
        importCommand,
        connect,
        refresh,
        sync,
        accounts,
        messages,
        changes,
        stats,
        events,
        apps,
        grants,
        policies,
        runs,
        webhooks,
        audit,
      ],
    },
    { group: "Set up", commands: [doctor, migrate, backup, restore, keys, permissions] },
  ]),
)

mailfleet.pipe(
  Command.run({ version }),
  Effect.provide(Layer.mergeAll(
    NodeServices.layer,
    layerPresenter,
    CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions, GlobalFlag.LogLevel] }),
  )),
  NodeRuntime.runMain({ disableErrorReporting: true, teardown }),
)
