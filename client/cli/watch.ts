/** `cutover watch <id>` */
import type { Command } from 'commander';
import { action, addCommand, withClient, withConnection } from './command.ts';
import type { ExitCode } from './exit-code.ts';
import type { FollowOptions } from './follow.ts';
import { positiveNumber } from './parse-number.ts';

export function addWatch(program: Command): void {
  const command = addCommand(program, 'watch <id>', {
    summary: 'follow a migration to its end, or until it needs you',
    description:
      'Follows a migration: a live view on a terminal, a line per change elsewhere, with --json the last state as one document. Ends with 0 where it is done, 1 where it was aborted, and 3 where it waits for an operator (--through keeps on then). A worker or a server that restarts does not end it. Ctrl-C ends the view only, never the migration.',
    examples: ['watch shop', 'watch shop --through', 'watch shop && deploy-the-rest'],
  });
  withConnection(command)
    .option('--through', 'keep on while it waits for the operator')
    .option('--interval <seconds>', 'between two looks', positiveNumber, 1)
    .action(action(watch));
}

async function watch(id: string, options: FollowOptions): Promise<ExitCode> {
  return withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    const { follow } = await import('./follow.ts');
    return follow(new MigrationHandle(client, id), options);
  });
}
