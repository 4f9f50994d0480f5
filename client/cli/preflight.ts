/** `cutover preflight <file>` */
import { Option, type Command } from 'commander';
import type { Fix, PreflightReport } from '../../spec/preflight.ts';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';
import { wholeNumber } from './parse-number.ts';

interface PreflightOptions extends ConnectionOptions {
  timeout: number;
  fix?: boolean;
  side?: Side;
}

type Side = Fix['side'];
const SIDES: readonly Side[] = ['source', 'target', 'aws', 'worker'];

export function addPreflight(program: Command): void {
  const command = addCommand(program, 'preflight <file>', {
    summary: 'run the checks of a migration, and change nothing',
    description:
      'Runs all checks of the migration on a worker, from where it would run, and shows what was found, with the command that mends it. Changes nothing. A check that could not be run is `unknown`, never a pass. Exit code 1 where one failed.\n\nWith --fix it prints the mends of all that failed or warned as scripts, one for each side: SQL for the source and the target, shell for AWS and the worker. They are printed and never run: read them. What destroys something, or needs a decision, is commented out in them; what only you can do (a change of the file) stands at the end. With --fix the exit code is the same.',
    examples: [
      'preflight shop.yaml',
      'preflight shop.yaml --json',
      'preflight --fix shop.yaml                              # all sides, to read',
      'preflight --fix --side source shop.yaml > source.sql   # one side, to run: psql -f source.sql',
    ],
  });
  withConnection(command, 'task-queue')
    .option('--fix', 'print the mends as one script for each side, and run none')
    .addOption(
      new Option('--side <side>', 'with --fix: the script of this side alone')
        .choices([...SIDES])
        .implies({ fix: true }),
    )
    .option('--timeout <seconds>', 'for all checks', wholeNumber, 300)
    .action(action(preflight));
}

async function preflight(file: string, options: PreflightOptions): Promise<ExitCode> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const migration = await loadMigrationFile(file);
  const report = await withClient(options, async (client) => {
    const { runPreflight } = await import('../preflight.ts');
    if (process.stderr.isTTY) note(`checking ${migration.id} …`);
    return runPreflight(client, { migration, taskQueue: options.taskQueue, timeoutMs: options.timeout * 1000 });
  });
  if (options.fix) await printFix(report, options);
  else {
    const { preflightText } = await import('./preflight-view.ts');
    print(options, report, () => preflightText(report));
  }
  return report.failed > 0 ? ExitCode.failed : ExitCode.done;
}

async function printFix(report: PreflightReport, options: PreflightOptions): Promise<void> {
  const { fixScripts, fixText } = await import('./preflight-fix.ts');
  const fixes = fixScripts(report);
  const { side } = options;
  if (!side) return print(options, fixes, () => fixText(report));
  const scripts = fixes.scripts.filter((one) => one.side === side);
  print(options, { scripts, byHand: fixes.byHand }, () => scripts[0]?.script ?? '');
  // Beside the script: a pipe into psql must not swallow what no script mends.
  if (fixes.byHand.length > 0 && !options.json)
    note(`${fixes.byHand.length} more to mend by hand: cutover preflight … --fix shows them`);
}
