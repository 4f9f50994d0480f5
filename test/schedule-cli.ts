/** The command line of dist/, as a process, against a stage: what a test of schedules and backups types. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { outputOf } from './command-output.ts';
import { freshBuild } from './fresh-build.ts';
import type { Stage } from './stage/stage.ts';

export interface Ran {
  code: number;
  out: string;
  err: string;
}

/** Longer than any deadline of the command line. */
const HANGS_MS = 90_000;

export async function cli(stage: Stage, words: string[]): Promise<Ran> {
  const program = join(await freshBuild(), 'dist/client/cli/main.js');
  const env = {
    PATH: process.env['PATH'],
    HOME: stage.dir,
    TEMPORAL_ADDRESS: stage.temporal.address,
    CUTOVER_USER: 'ann@desk',
    NO_COLOR: '1',
  };
  try {
    const run = promisify(execFile)(process.execPath, [program, ...words], { env, cwd: stage.dir, timeout: HANGS_MS });
    const { stdout, stderr } = await run;
    return { code: 0, out: stdout, err: stderr };
  } catch (error) {
    const { code, stdout, stderr } = outputOf(error);
    if (typeof code !== 'number') throw error;
    return { code, out: stdout, err: stderr };
  }
}
