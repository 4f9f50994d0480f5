/** `cutover reload-table <id> <table>` */
import type { Command } from 'commander';
import { action, addCommand, nextCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { note, print } from './output.ts';

interface TableOptions extends ConnectionOptions {
  reason?: string;
  validateOnly?: boolean;
}

export function addReloadTable(program: Command): void {
  const command = addCommand(program, 'reload-table <id> <table>', {
    summary: 'load one table of a Postgres migration again',
    description:
      'Loads one table again while the others go on: after its error is mended, or where it differs. The migration need not start over.',
    examples: ['reload-table redash public.events', 'reload-table redash public.events --validate-only'],
  });
  withConnection(command)
    .option('--validate-only', 'compare its rows again, and load none: after a validation that failed')
    .option('--reason <text>', 'why, for the record')
    .action(action(run));
}

async function run(id: string, table: string, options: TableOptions): Promise<void> {
  const { message } = await withClient(options, async (client) => {
    const { MigrationHandle } = await import('../migration-handle.ts');
    return new MigrationHandle(client, id).reloadTable(table, {
      reason: options.reason,
      validateOnly: options.validateOnly,
    });
  });
  print(options, { id, table, command: 'reload-table', message }, () => `${id}: ${message}`);
  if (!options.json) note(`follow it: ${nextCommand(`watch ${id}`, options)}`);
}
