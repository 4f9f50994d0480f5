/** Runs recordings and keeps what the server has of each, as test/replay.test.ts reads it. */
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { ensureTool } from '../../sandbox/runtime/tools.ts';
import type { Stage } from '../stage/stage.ts';

/** By the name of its file: runs it to its end. @returns the workflow's id */
export type Recordings = Record<string, () => Promise<string>>;

/** Runs one after the other, and writes `<name>.json` of each that is wanted. */
export async function writeHistories(
  stage: Stage,
  recordings: Recordings,
  isWanted: (name: string) => boolean,
): Promise<void> {
  const { path } = await ensureTool('temporal');
  for (const [name, run] of Object.entries(recordings)) {
    if (!isWanted(name)) continue;
    const id = await run();
    const { stdout } = await promisify(execFile)(
      path,
      ['workflow', 'show', '--workflow-id', id, '--address', stage.temporal.address, '--output', 'json'],
      { maxBuffer: 64 * 1024 * 1024 },
    );
    writeFileSync(fileURLToPath(new URL(`${name}.json`, import.meta.url)), stdout);
    console.log(`${name}: ${(stdout.length / 1024).toFixed(0)} KiB`);
  }
}
