/** `cutover preflight <file>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';
import { wholeNumber } from './parse-number.ts';

interface PreflightOptions extends ConnectionOptions {
  timeout: number;
}

export function addPreflight(program: Command): void {
  const command = addCommand(program, 'preflight <file>', {
    summary: 'run the checks of a migration, and change nothing',
    description:
      'Runs all checks of the migration on a worker, from where it would run, and shows what was found, with the command that mends it. Changes nothing. A check that could not be run is `unknown`, never a pass. Exit code 1 where one failed.',
    examples: ['preflight shop.yaml', 'preflight shop.yaml --json'],
  });
  withConnection(command, 'task-queue')
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
  const { preflightText } = await import('./preflight-view.ts');
  print(options, report, () => preflightText(report));
  return report.failed > 0 ? ExitCode.failed : ExitCode.done;
}
