/** `cutover list` */
import type { Command } from 'commander';
import type { Phase } from '../../spec/status.ts';
import type { ListedMigration } from '../list.ts';
import { action, addCommand, withClient, withConnection, type ConnectionOptions } from './command.ts';
import { print } from './output.ts';
import { wholeNumber } from './parse-number.ts';

interface ListOptions extends ConnectionOptions {
  all?: boolean;
  limit: number;
}

export function addList(program: Command): void {
  const command = addCommand(program, 'list', {
    summary: 'list the migrations that run',
    description:
      'Lists the migrations that run, newest first, and which of them need an operator. With --all also those that have ended. What was started in the last seconds may be missing.',
    examples: ['list', 'list --all --json'],
  });
  withConnection(command)
    .option('--all', 'also those that have ended')
    .option('--limit <count>', 'at most so many', wholeNumber, 100)
    .action(action(list));
}

async function list(options: ListOptions): Promise<void> {
  const found = await withClient(options, async (client) => {
    const { listMigrations } = await import('../list.ts');
    const rows: ListedMigration[] = [];
    for await (const row of listMigrations(client, options)) rows.push(row);
    return rows;
  });
  const [{ PHASE_COLOR }, { tableLines }, { default: pc }] = await Promise.all([
    import('./status-view.ts'),
    import('./table.ts'),
    import('picocolors'),
  ]);
  print(options, found, () => {
    if (found.length === 0)
      return options.all ? 'no migrations' : 'no migration runs (--all lists those that have ended)';
    const rows = found.map((row) => {
      // A workflow that was terminated keeps the phase it had: it must not look as if it ran.
      const broken = !['RUNNING', 'COMPLETED'].includes(row.execution) && row.phase !== 'aborted';
      const phase = broken ? row.execution.toLowerCase().replace('_', ' ') : row.phase;
      const color = broken ? pc.red : (PHASE_COLOR[row.phase as Phase] ?? String);
      const needs = row.needsOperator ? pc.yellow('needs the operator') : '';
      return [row.id, row.kind, color(phase), row.step ?? '', row.startedAt, row.endedAt ?? '', needs];
    });
    const cut = found.length === options.limit ? [`only the first ${options.limit} are shown (--limit)`] : [];
    return [...tableLines(['id', 'kind', 'phase', 'step', 'started', 'ended', ''], rows), ...cut].join('\n');
  });
}
