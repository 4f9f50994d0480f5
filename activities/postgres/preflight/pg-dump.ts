/** The pg_dump of the worker's machine. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { majorOf } from '../server-version.ts';
import { pass, unmet, type Finding } from '../../preflight/check.ts';
import type { PostgresContext } from './context.ts';
import { shell } from './scripts.ts';

const run = promisify(execFile);

/** A pg_dump older than its server refuses it. */
export async function pgDumpFits(c: PostgresContext): Promise<Finding> {
  if (!c.migration.schema.create) return pass('not needed: schema.create is false');
  const program = process.env['CUTOVER_PG_DUMP'] || 'pg_dump';
  const needed = majorOf(await c.source.version());
  const install = shell(
    'worker',
    `apt-get install postgresql-client-${Math.floor(needed)}  # or set CUTOVER_PG_DUMP to a pg_dump of ${needed} or later`,
  );
  let text: string;
  try {
    text = (await run(program, ['--version'], { timeout: 10_000 })).stdout.trim();
  } catch (error) {
    return unmet(`${program} does not run on the worker: ${(error as Error).message.split('\n')[0]}`, install);
  }
  const version = /(\d+)(?:\.(\d+))?/.exec(text);
  const major = version ? (Number(version[1]) >= 10 ? Number(version[1]) : Number(`${version[1]}.${version[2]}`)) : 0;
  return major >= needed ? pass(text) : unmet(`${text}; the source is ${needed}, which it can't read`, install);
}
