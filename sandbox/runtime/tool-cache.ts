import { createHash } from 'node:crypto';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from './error-code.ts';

const FACTS = z.object({ version: z.string(), flavour: z.enum(['redis', 'valkey']).exactOptional() });
const SEEN = z.object({ key: z.string(), facts: FACTS });

/** What was learnt about a program by running it. */
export type ToolFacts = z.infer<typeof FACTS>;

/** Outside any checkout, so that a fresh clone need not fetch again: $CUTOVER_CACHE, or ~/.cache/cutover. */
export function cacheFolder(env: NodeJS.ProcessEnv): string {
  const named = env['CUTOVER_CACHE'];
  return named !== undefined && named !== '' ? named : join(env['HOME'] ?? homedir(), '.cache', 'cutover');
}

/**
 * A folder to fetch into, inside the cache: only then is the rename to the final place atomic (one file system), so that
 * whoever looks there finds the whole program or none.
 */
export function newStaging(cache: string, tool: string): { path: string; remove(): void } {
  const parent = join(cache, 'staging');
  mkdirSync(parent, { recursive: true });
  const path = mkdtempSync(join(parent, `${tool}-${process.pid}-`));
  return { path, remove: () => removeTree(path) };
}

/** Removes what fetches that were killed have left. */
export function dropDeadStaging(cache: string): void {
  const parent = join(cache, 'staging');
  for (const entry of listing(parent)) {
    const pid = Number(/-(\d+)-[^-]*$/.exec(entry)?.[1]);
    if (Number.isInteger(pid) && !isAlive(pid)) removeTree(join(parent, entry));
  }
}

/** Puts a fetched file or folder in its final place. A folder that is already there is set aside and removed first. */
export function install(from: string, to: string): void {
  mkdirSync(join(to, '..'), { recursive: true });
  if (statSync(from).isDirectory() && statSync(to, { throwIfNoEntry: false }) !== undefined) {
    const aside = `${from}-before`;
    renameSync(to, aside);
    removeTree(aside);
  }
  renameSync(from, to);
}

/** The facts about this very file, if it was looked at before and is unchanged since. */
export function remembered(cache: string, tool: string, path: string): ToolFacts | undefined {
  try {
    const { key, facts } = SEEN.parse(JSON.parse(readFileSync(factsFile(cache, tool, path), 'utf8')));
    return key === identityOf(path) ? facts : undefined;
  } catch {
    return undefined; // Never seen, or half a file: looking again is always right.
  }
}

/** Never fails: a cache that can't be written costs time, not correctness. */
export function remember(cache: string, tool: string, path: string, facts: ToolFacts): void {
  try {
    const file = factsFile(cache, tool, path);
    mkdirSync(join(file, '..'), { recursive: true });
    const fresh = `${file}.${process.pid}`;
    writeFileSync(fresh, JSON.stringify({ key: identityOf(path), facts }));
    renameSync(fresh, file);
  } catch {
    /* see above */
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
}

function factsFile(cache: string, tool: string, path: string): string {
  return join(cache, 'seen', `${tool}-${createHash('sha256').update(path).digest('hex').slice(0, 16)}.json`);
}

function identityOf(path: string): string {
  const real = realpathSync(path);
  const { size, mtimeMs, ino } = statSync(real);
  return `${real} ${size} ${mtimeMs} ${ino}`;
}

function listing(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function removeTree(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}
