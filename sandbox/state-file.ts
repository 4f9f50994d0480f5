/** The note that a running `cutover sandbox up` leaves in its folder, for status and down. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from './runtime/error-code.ts';

export interface SandboxInfo {
  running: boolean;
  dir: string;
  /** host:port */
  temporal: string;
  ui: string;
  source: string;
  target: string;
  aws: string;
  /** These three where Postgres was not left out. */
  postgresSource?: string;
  postgresTarget?: string;
  redash?: string;
  pid: number;
  /** What a worker and the command line need in their environment. */
  env: Record<string, string>;
  [part: string]: unknown;
}

interface Noted {
  info: SandboxInfo;
  /** The supervisor's start, as /proc has it: a pid alone may have gone to another process since. */
  startedAt: string;
}

export function defaultDir(): string {
  return resolve('.cutover', 'sandbox');
}

export function noteRunning(info: SandboxInfo): void {
  const noted: Noted = { info, startedAt: startOf(info.pid) };
  mkdirSync(info.dir, { recursive: true });
  writeFileSync(`${fileOf(info.dir)}.new`, JSON.stringify(noted, null, 1), { mode: 0o600 });
  renameSync(`${fileOf(info.dir)}.new`, fileOf(info.dir));
}

export function forgetRunning(dir: string): void {
  rmSync(fileOf(dir), { force: true });
}

/** The sandbox of that folder, if it runs. A note that outlived its sandbox is passed over. */
export function findRunning(dir: string): SandboxInfo | undefined {
  let noted: Noted;
  try {
    noted = JSON.parse(readFileSync(fileOf(dir), 'utf8')) as Noted;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw new Error(`${fileOf(dir)} can't be read. Delete it if no sandbox runs in ${dir}.`, { cause: error });
  }
  return isAlive(noted.info.pid) && startOf(noted.info.pid) === noted.startedAt ? noted.info : undefined;
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errorCode(error) === 'ESRCH') return false;
  }
  // One that has ended and was not yet asked after by its parent still has its pid.
  return stateOf(pid) !== 'Z';
}

/** @returns false when it is still there after `withinMs` */
export async function untilGone(pid: number, withinMs: number): Promise<boolean> {
  const deadline = Date.now() + withinMs;
  while (isAlive(pid)) {
    if (Date.now() > deadline) return false;
    await delay(50);
  }
  return true;
}

function fileOf(dir: string): string {
  return join(dir, 'sandbox.json');
}

/** Fields of /proc/PID/stat from the third on; the second holds the program's name, which may hold anything. */
function statOf(pid: number): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return []; // No /proc (macOS), or no such process.
  }
}

const stateOf = (pid: number): string => statOf(pid)[0] ?? '';
const startOf = (pid: number): string => statOf(pid)[19] ?? '';
