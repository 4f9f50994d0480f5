/** An application of the sandbox as a process: killed like any other, and with a clock and an event loop of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { nodeProgram } from '../node-program.ts';
import { freePort } from '../runtime/ports.ts';
import { startProcess, type RunningProcess } from '../runtime/process.ts';
import { serverEnvironment } from '../runtime/server-environment.ts';

export interface StartAppOptions {
  /** Of the process and of its log file. */
  name: string;
  log: string;
  /** Its main file, from the project's root, without an ending. */
  main: string;
  /** For its record and its log; made where it is missing. */
  dir: string;
  /** `--name value`; undefined ones are left out. */
  flags: Record<string, string | number | undefined>;
  /** Its password, by the variable that it reads. */
  secrets: Record<string, string>;
  /** Of its own HTTP address. Default: a free one. */
  port?: number | undefined;
}

export interface StartedApp {
  readonly url: string;
  readonly running: RunningProcess;
  /** @throws Error with what the application answered, where it is no success */
  readonly ask: (method: 'GET' | 'POST', path: string, body?: unknown) => Promise<unknown>;
}

const ANSWERS_WITHIN_MS = 30_000;
const READY_WITHIN_MS = 5_000;

/** @throws ProcessStartError with its last log lines where it does not come up */
export async function startApp(options: StartAppOptions): Promise<StartedApp> {
  const { name, dir } = options;
  mkdirSync(dir, { recursive: true });
  const port = options.port ?? (await freePort());
  const url = `http://127.0.0.1:${port}`;
  const { command, args } = nodeProgram(options.main);
  const flags = Object.entries({ ...options.flags, 'http-port': port });
  const running = await startProcess({
    name,
    command,
    args: [...args, ...flags.flatMap(([flag, value]) => (value === undefined ? [] : [`--${flag}`, String(value)]))],
    env: serverEnvironment(options.secrets),
    logFile: join(dir, options.log),
    secrets: Object.values(options.secrets),
    ready: async () => (await fetch(`${url}/stats`, { signal: AbortSignal.timeout(READY_WITHIN_MS) })).ok,
  });
  return {
    url,
    running,
    async ask(method, path, body) {
      const response = await fetch(`${url}${path}`, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        signal: AbortSignal.timeout(ANSWERS_WITHIN_MS),
      });
      const answer = (await response.json()) as { error?: string };
      if (!response.ok) throw new Error(answer.error ?? `the application answered ${response.status} to ${path}`);
      return answer;
    },
  };
}
