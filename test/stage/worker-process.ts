/** A worker as users run it: `cutover worker` from dist/, a process of its own that a test may kill. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { startProcess, type RunningProcess } from '../../sandbox/runtime/process.ts';
import { freshBuild } from '../fresh-build.ts';

export interface WorkerProcess extends RunningProcess {
  log(): string;
}

let count = 0;

/** Starts a worker and waits until every queue is polled. */
export async function startWorker(options: {
  dir: string;
  address: string;
  env?: Record<string, string>;
  taskQueue?: string;
}): Promise<WorkerProcess> {
  const repo = await freshBuild();
  const logFile = join(options.dir, `worker-${(count += 1)}.log`);
  const log = () => readFileSync(logFile, 'utf8');
  const running = await startProcess({
    name: 'cutover worker',
    command: process.execPath,
    args: [
      join(repo, 'dist/client/cli/main.js'),
      'worker',
      '--address',
      options.address,
      '--task-queue',
      options.taskQueue ?? 'cutover',
    ],
    env: { ...process.env, ...options.env },
    cwd: options.dir,
    logFile,
    ready: async () => /worker ready:/.test(log()),
  });
  return Object.assign(running, { log });
}
