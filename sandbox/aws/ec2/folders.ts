import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cloud } from '../cloud.ts';

/** What a volume holds. */
export function volumeFolder(cloud: Cloud, volumeId: string): string {
  return join(cloud.dir, 'ec2', 'volumes', volumeId);
}

export function snapshotFolder(cloud: Cloud, snapshotId: string): string {
  return join(cloud.dir, 'ec2', 'snapshots', snapshotId);
}

/** A machine's /run: gone at every start of it. */
export function runFolder(cloud: Cloud, instanceId: string): string {
  return join(cloud.dir, 'ec2', 'run', instanceId);
}

/**
 * Copies a folder with its owners, modes, times and links. The target is there whole or not at all. Files that vanish
 * meanwhile are left out: a machine may run on while it is copied.
 * @returns bytes of the copied files. @throws Error with cp's words; where there is nothing to copy: an empty copy would
 *   pass for a good one
 */
export async function copyFolder(from: string, to: string): Promise<number> {
  if (!existsSync(from)) throw new Error(`${from} is not there.`);
  const part = `${to}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  const errors = await run('cp', ['-a', '--reflink=auto', '--', `${from}/.`, part]);
  const serious = errors.split('\n').filter((line) => line !== '' && !line.endsWith('No such file or directory'));
  if (serious.length > 0) throw new Error(`cp ${from}: ${serious.slice(0, 5).join('; ')}`);
  rmSync(to, { recursive: true, force: true });
  renameSync(part, to);
  return size(to);
}

export function dropFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
}

async function size(folder: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).size;
  }
  return sum;
}

/** @returns what it wrote to standard error. */
async function run(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, LC_ALL: 'C' } });
  let errors = '';
  child.stderr.on('data', (chunk: Buffer) => (errors += chunk.toString()));
  const code = await new Promise<number | null>((done, reject) => {
    child.once('error', reject);
    child.once('close', done);
  });
  if (code !== 0 && errors === '') return `${command} ended with ${String(code)}`;
  return errors;
}
