/** All commands of `cutover`. Each one's file is small, and loads what it needs only once it runs. */
import { Command } from 'commander';
import { createRequire } from 'node:module';
import { addAbort } from './abort.ts';
import { addApprove } from './approve.ts';
import { EXIT_CODES_HELP } from './exit-code.ts';
import { addLeaveOutTable } from './leave-out-table.ts';
import { addList } from './list.ts';
import { addPause } from './pause.ts';
import { addPlan } from './plan.ts';
import { addPreflight } from './preflight.ts';
import { addReloadTable } from './reload-table.ts';
import { addReport } from './report.ts';
import { addResume } from './resume.ts';
import { addRetry } from './retry.ts';
import { addSandbox } from './sandbox.ts';
import { addSchedule } from './schedule.ts';
import { addSchema } from './schema.ts';
import { addSkip } from './skip.ts';
import { addSnapshots } from './snapshots.ts';
import { addStart } from './start.ts';
import { addStatus } from './status.ts';
import { addUnfence } from './unfence.ts';
import { addValidate } from './validate.ts';
import { addWatch } from './watch.ts';
import { addWorker } from './worker.ts';

const FIRST_STEPS = `
A migration is one YAML file. It runs as a durable workflow on Temporal, in workers that you start:
  $ cutover validate shop.yaml     is the file right?
  $ cutover plan shop.yaml         what would happen, and from where is there no way back?
  $ cutover worker &               a process that carries it out
  $ cutover preflight shop.yaml    is everything ready? Changes nothing
  $ cutover start shop.yaml        start it
  $ cutover watch shop             follow it
  $ cutover approve shop           let it cut over
  $ cutover schedule list          backups and restore drills that run by themselves
  $ cutover snapshots              which backups are there, how old, are they complete?

Environment:
  TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, TEMPORAL_PROFILE
                      the connection, as for every Temporal tool
  CUTOVER_TASK_QUEUE  the workers' queue (default: cutover)
  CUTOVER_USER        who you are, for the record (default: user@host)
  AWS_…               on the workers: region, credentials, endpoints

${EXIT_CODES_HELP}`;

/** @param json that usage errors are left to the caller to print */
export function program(json: boolean): Command {
  const { version } = createRequire(import.meta.url)(packageFile()) as { version: string };
  const root = new Command('cutover')
    .description('Durable data migrations: plan, preflight, copy, verify, fence, cut over, prove, and a way back.')
    .version(version, '--version')
    .helpOption('-h, --help', 'show help; also: cutover help <command>')
    .addHelpText('after', FIRST_STEPS)
    .showSuggestionAfterError()
    .configureHelp({ sortSubcommands: false })
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        if (!json) write(`${text}see: cutover --help, cutover help <command>\n`);
      },
    });
  root.commandsGroup('Before:');
  for (const add of [addValidate, addPlan, addPreflight, addSchema]) add(root);
  root.commandsGroup('Run:');
  for (const add of [addWorker, addStart, addList, addStatus, addWatch, addReport]) add(root);
  root.commandsGroup('Decide:');
  for (const add of [
    addApprove,
    addPause,
    addResume,
    addRetry,
    addSkip,
    addAbort,
    addReloadTable,
    addLeaveOutTable,
    addUnfence,
  ])
    add(root);
  root.commandsGroup('Backups:');
  for (const add of [addSchedule, addSnapshots]) add(root);
  root.commandsGroup('Try out:');
  addSandbox(root);
  return root;
}

/** From the sources it is two folders up, from dist/ one more. */
function packageFile(): string {
  return import.meta.url.includes('/dist/client/cli/') ? '../../../package.json' : '../../package.json';
}
