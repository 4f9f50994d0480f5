import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { tailOf } from './log-tail.ts';
import { startProcess } from './process.ts';
import type { ProcessExit } from './process.ts';

interface Command {
  command: string;
  args: readonly string[];
  env: NodeJS.ProcessEnv;
  /** Its working folder. Default: the machine's folder for temporary files. */
  folder?: string;
  /** It is ended after that. */
  limitMs: number;
}

/**
 * Runs a command to its end, on a leash: a fetch that is interrupted leaves no compiler or apt-get behind.
 * Resolves to what it printed. Throws with the last lines it printed when it fails or takes too long.
 */
export async function runToEnd(wanted: Command): Promise<string> {
  const { command, args, env, limitMs } = wanted;
  const output = mkdtempSync(join(wanted.folder ?? tmpdir(), 'cutover-fetch-'));
  const logFile = join(output, 'log');
  const timer = new AbortController();
  try {
    const running = await startProcess({ name: 'fetch', command, args, env, cwd: wanted.folder ?? tmpdir(), logFile });
    const exit = await Promise.race([running.exited, delay(limitMs, undefined, { signal: timer.signal })]);
    if (exit?.code === 0) return readFileSync(logFile, 'utf8');
    if (exit === undefined) await running.stop();
    const log = tailOf(logFile, { from: 0, lines: 6, secrets: [] });
    const line = [command, ...args].join(' ').replace(/\s+/g, ' ').slice(0, 200);
    throw new Error(`\`${line}\`: ${howItEnded(exit, limitMs)}${log === '' ? '' : `\n${log}`}`);
  } finally {
    timer.abort();
    rmSync(output, { recursive: true, force: true });
  }
}

function howItEnded(exit: ProcessExit | undefined, limitMs: number): string {
  if (exit === undefined) return `not done after ${limitMs / 1000} s`;
  return exit.signal !== null ? `ended by ${exit.signal}` : `exit code ${exit.code ?? 'unknown'}`;
}
