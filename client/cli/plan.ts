/** `cutover plan <file>` */
import type { Command } from 'commander';
import { action, addCommand, type BasicOptions } from './command.ts';
import { print } from './output.ts';

export function addPlan(program: Command): void {
  addCommand(program, 'plan <file>', {
    summary: 'show what a migration would do',
    description:
      'Shows every step of the migration, how each is undone, and from where there is no way back. Connects to nothing.',
    examples: ['plan shop.yaml'],
  }).action(action(plan));
}

async function plan(file: string, options: BasicOptions): Promise<void> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const { planOf } = await import('../../workflows/plans.ts');
  const { planText } = await import('./plan-view.ts');
  const migration = await loadMigrationFile(file);
  const planned = planOf(migration);
  print(options, { id: migration.id, ...planned }, () => planText(migration.id, planned));
}
