/** `cutover leave-out-table <id> <table>` */
import type { Command } from 'commander';
import { action, addCommand, nextCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { note, print } from './output.ts';

interface TableOptions extends ConnectionOptions {
  reason?: string;
}

export function addLeaveOutTable(program: Command): void {
  const command = addCommand(program, 'leave-out-table <id> <table>', {
    summary: 'take one table out of a Postgres migration',
    description:
      'Takes one table out of the replication: it will not be on the target. The replication is stopped and started again for it; no other table starts over.',
    examples: ['leave-out-table redash public.events'],
  });
  withConnection(command).option('--reason <text>', 'why, for the record').action(action(run));
}

async function run(id: string, table: string, options: TableOptions): Promise<void> {
  const { message } = await withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    return new MigrationHandle(client, id).leaveOutTable(table, { reason: options.reason });
  });
  print(options, { id, table, command: 'leave-out-table', message }, () => `${id}: ${message}`);
  if (!options.json) note(`follow it: ${nextCommand(`watch ${id}`, options)}`);
}
