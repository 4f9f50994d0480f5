/** `cutover unfence <file>`: break glass, with Temporal gone. */
import type { Command } from 'commander';
import { action, addCommand, type BasicOptions } from './command.ts';
import { confirm } from './confirm.ts';
import { ExitCode } from './exit-code.ts';
import { note, print } from './output.ts';

interface UnfenceOptions extends BasicOptions {
  force?: boolean;
  yes?: boolean;
}

export function addUnfence(program: Command): void {
  addCommand(program, 'unfence <file>', {
    summary: 'break glass: lift the fence from the source, without Temporal',
    description:
      'Lets the source take writes again, by what the fence recorded on the source itself. Needs the file and a network to the source; no Temporal, no worker. The secrets that the file names are looked up here, as a worker does.\n\nUse it only when the target was NOT promoted: otherwise writes to the source are lost to the target. It can not know. While workers run, `cutover abort` does this and more. Asks first; where there is no terminal, in a script, it is refused without --yes.',
    examples: ['unfence shop.yaml', 'unfence shop.yaml --yes'],
  })
    .option('--force', 'lift a fence that another migration raised, or whose record is lost')
    .option('--yes', 'do not ask; needed where there is no terminal')
    .action(action(unfence));
}

async function unfence(file: string, options: UnfenceOptions): Promise<ExitCode> {
  const { loadMigrationFile } = await import('../migration-file.ts');
  const migration = await loadMigrationFile(file);
  if (migration.kind !== 'redis-online' && migration.kind !== 'redis-offline' && migration.kind !== 'postgres') {
    const { WrongUsage } = await import('../errors.ts');
    throw new WrongUsage(`${file} is of kind ${migration.kind}, which fences nothing`);
  }
  const { source } = migration;
  const target = migration.kind === 'redis-offline' ? migration.to : migration.target;
  const where = `${source.host}:${source.port}`;
  const to = 'replicationGroup' in target ? target.replicationGroup : `${target.host}:${target.port}`;
  // Nothing is promoted where the keys were copied to a server that was a primary from the start.
  const isPromoted = migration.kind === 'redis-online' && migration.engine !== 'scan';
  const question = !isPromoted
    ? `Has ${to} certainly NOT taken a write from the application? Writes to ${where} would be lost to it. Lift the fence?`
    : `Was ${to} certainly NOT promoted? Writes to ${where} would be lost to it. Lift the fence?`;
  if (!(await confirm(question, options.yes))) {
    note('nothing was changed');
    return ExitCode.failed;
  }
  const given = { migration: migration.id, ...(options.force ? { force: true } : {}) };
  const lifted =
    migration.kind === 'postgres'
      ? await (await import('../../activities/postgres/unfence.ts')).unfencePostgres(migration.source, given)
      : await (await import('../../activities/redis/unfence.ts')).unfence(migration.source, given);
  print(options, { source: where, ...lifted }, () => `${where}: ${lifted.detail}`);
  return ExitCode.done;
}
