/** `cutover start <file>` */
import type { Command } from 'commander';
import { action, addCommand, nextCommand, withClient, withConnection } from './command.ts';
import { ExitCode } from './exit-code.ts';
import type { FollowOptions } from './follow.ts';
import { note, print } from './output.ts';

interface StartOptions extends FollowOptions {
  watch?: boolean;
}

export function addStart(program: Command): void {
  const command = addCommand(program, 'start <file>', {
    summary: 'start a migration',
    description:
      'Starts the migration and returns. It runs in the workers, and goes on when this terminal is closed. A wrong file is refused before anything happens, and so is a migration that runs already.',
    examples: ['start shop.yaml', 'start shop.yaml --watch'],
  });
  withConnection(command, 'task-queue')
    .option('--watch', 'follow it, as `cutover watch` does')
    .option('--through', 'with --watch: keep on while it waits for the operator')
    .action(action(start));
}

async function start(file: string, options: StartOptions): Promise<ExitCode> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const migration = await loadMigrationFile(file);
  return withClient(options, async (client) => {
    const { startMigration } = await import('../start.ts');
    const { defaultTaskQueue } = await import('../task-queue.ts');
    const { planOf } = await import('../../workflows/plans.ts');
    const taskQueue = options.taskQueue ?? defaultTaskQueue();
    const handle = await startMigration(client, { migration, file, taskQueue });
    await warnWithoutWorker();
    if (options.watch) {
      note(`${migration.id} started`);
      const { follow } = await import('./follow.ts');
      return follow(handle, options);
    }
    const plan = planOf(migration);
    const next = ['watch', 'status'].map((word) => nextCommand(`${word} ${migration.id}`, options));
    print(options, { id: migration.id, kind: migration.kind, taskQueue, next }, () =>
      [
        `${migration.id} started: ${plan.summary}`,
        ...plan.warnings.map((warning) => `  warning: ${warning}`),
        `It runs in the workers of "${taskQueue}"; this terminal may be closed.`,
        '',
        'next:',
        ...next.map((line) => `  ${line}`),
      ].join('\n'),
    );
    return ExitCode.done;

    /** It has started all the same: it begins as soon as a worker is there. */
    async function warnWithoutWorker(): Promise<void> {
      const { expectWorker } = await import('../workers.ts');
      const { NoWorker } = await import('../errors.ts');
      await expectWorker(client, taskQueue).catch((error: unknown) => {
        if (!(error instanceof NoWorker)) throw error;
        note(`warning: ${error.message}: "${migration.id}" is started, and waits for one. ${error.mend ?? ''}`);
      });
    }
  });
}
