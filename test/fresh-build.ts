/** For the tests that run what users get, which is `dist/`: an old one would be tested in place of the sources. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { outputOf } from './command-output.ts';
import { fetchLock } from '../sandbox/runtime/tool-lock.ts';

export const REPO = fileURLToPath(new URL('..', import.meta.url)).replace(/\/$/, '');
const SOURCES = ['spec', 'workflows', 'activities', 'worker', 'client', 'sandbox'];
const BUILT = ['dist/client/cli/main.js', 'dist/workflows/bundle.js'];

/**
 * Builds `dist/` unless it is newer than every source (`npm test` has just built it; a single file run by hand has not).
 * @returns the repo's folder
 * @throws Error with the compiler's output where the sources don't compile
 */
export async function freshBuild(): Promise<string> {
  const locks = join(REPO, '.cutover');
  mkdirSync(locks, { recursive: true });
  const unlock = await fetchLock(locks, 'build', () => {});
  try {
    if (!isFresh()) await build();
  } finally {
    unlock();
  }
  return REPO;
}

async function build(): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, ['build.mjs'], { cwd: REPO, maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    const { stdout, stderr } = outputOf(error);
    throw new Error(`npm run build failed in ${REPO}:\n${stdout}${stderr}`, { cause: error });
  }
}

function isFresh(): boolean {
  const oldestBuilt = Math.min(...BUILT.map((file) => changedAt(join(REPO, file)) ?? 0));
  const settings = ['package.json', 'tsconfig.json', 'tsconfig.build.json', 'build.mjs'];
  const sources = SOURCES.flatMap((folder) =>
    readdirSync(join(REPO, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => join(folder, file)),
  );
  return [...settings, ...sources].every((file) => (changedAt(join(REPO, file)) ?? 0) < oldestBuilt);
}

function changedAt(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
