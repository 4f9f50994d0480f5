import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode } from './error-code.ts';
import { LEASH_SCRIPT } from './leash.ts';
import { tailOf } from './log-tail.ts';

/** How a program ended: an exit code, or the signal that ended it. Both null: nobody saw it (its leash was killed). */
export interface ProcessExit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

export interface ProcessOptions {
  /** What people call it, in errors and in `ps`. */
  name: string;
  /** A path, or a name to look up on PATH. */
  command: string;
  args?: readonly string[];
  /** The whole environment, as in child_process.spawn. Default: ours. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** Standard output and standard error are appended here. */
  logFile: string;
  /** Polled until it resolves true. A throw counts as "not yet" and is shown when the deadline passes. */
  ready?: (pid: number) => Promise<boolean>;
  /** Milliseconds until an unready program is ended and the start fails. Default 60,000. */
  readyTimeoutMs?: number;
  /** Milliseconds between TERM and KILL in stop(). Default 15,000. */
  stopTimeoutMs?: number;
  /** Whole seconds between TERM and KILL when it is our own end that ends the program. Default 10. */
  orphanGraceSeconds?: number;
  /** Replaced by *** in every log line that an error shows. */
  secrets?: readonly string[];
}

export interface RunningProcess {
  readonly name: string;
  /** The program's own pid, not its leash's. */
  readonly pid: number;
  readonly logFile: string;
  /** How it ended; undefined while it runs. */
  readonly exit: ProcessExit | undefined;
  /** Resolves when the program and all that it forked are gone. Never rejects. */
  readonly exited: Promise<ProcessExit>;
  /** TERM, then KILL after stopTimeoutMs. Resolves when gone; may be called again. Throws if even KILL does not end it. */
  stop(): Promise<void>;
  /** SIGKILL at once. Resolves when gone. */
  kill(): Promise<void>;
  /** Sends a signal to the program (SIGSTOP and SIGCONT make a hanging server). Does nothing once it has ended. */
  signal(signal: NodeJS.Signals): void;
}

/** Thrown by startProcess; the message holds the command, how it ended and the last 20 log lines, without secrets. */
class ProcessStartError extends Error {
  override readonly name = 'ProcessStartError';
}

/** Those that end a program in practice; another shows as its exit code, 128 + its number. */
const SIGNAL_NAMES = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGSEGV',
  'SIGPIPE',
  'SIGTERM',
] as const;
const POLL_MS = 25;
const LOG_LINES = 20;
const AFTER_KILL_MS = 10_000;

/**
 * Starts a program that ends with us, even when we are SIGKILLed (see leash.ts), and waits until it is ready.
 * @throws ProcessStartError when it can't be started, ends before it is ready, or is not ready within readyTimeoutMs;
 *   nothing is left running then.
 */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const logFrom = startOfLog(options.logFile);
  const { leash, pid, exited } = await spawnLeashed(options);
  let exit: ProcessExit | undefined;
  void exited.then((how) => (exit = how));

  const signal = (name: NodeJS.Signals): void => {
    if (exit === undefined) sendSignal(pid, name);
  };
  const endWith = async (first: NodeJS.Signals, patienceMs: number): Promise<void> => {
    signal(first);
    // A stopped program keeps TERM pending for ever unless it is let go on.
    if (first === 'SIGTERM') signal('SIGCONT');
    if (await settledWithin(exited, patienceMs)) return;
    signal('SIGKILL');
    // The leash sees it end, tells how, and takes the forks with it.
    if (await settledWithin(exited, AFTER_KILL_MS)) return;
    // It did not: the leash may have been stopped or killed by hand.
    if (leash.pid !== undefined) sendSignal(-leash.pid, 'SIGKILL');
    if (await settledWithin(exited, AFTER_KILL_MS)) return;
    throw new Error(
      `${options.name} (pid ${pid}) is still there ${(2 * AFTER_KILL_MS) / 1000} s after SIGKILL. See it with: ps -o pid,stat,wchan,args -p ${pid}`,
    );
  };
  const running: RunningProcess = {
    name: options.name,
    pid,
    logFile: options.logFile,
    exited,
    signal,
    get exit() {
      return exit;
    },
    stop: () => endWith('SIGTERM', options.stopTimeoutMs ?? 15_000),
    kill: () => endWith('SIGKILL', AFTER_KILL_MS),
  };
  try {
    await waitUntilReady(running, options, logFrom);
  } catch (error) {
    await running.kill();
    throw error;
  }
  return running;
}

async function waitUntilReady(running: RunningProcess, options: ProcessOptions, logFrom: number): Promise<void> {
  if (options.ready === undefined) return;
  const limitMs = options.readyTimeoutMs ?? 60_000;
  const deadline = Date.now() + limitMs;
  let lastError: unknown;
  const fail = (what: string): never => {
    const log = tailOf(options.logFile, { from: logFrom, lines: LOG_LINES, secrets: options.secrets ?? [] });
    const because = lastError instanceof Error ? `\nlast check: ${lastError.message}` : '';
    throw new ProcessStartError(
      `${options.name} ${what} (${options.command}, pid ${running.pid})${because}\n` +
        `last lines of ${options.logFile}:\n${log === '' ? '  (it wrote nothing)' : log}`,
    );
  };
  for (;;) {
    if (running.exit !== undefined) fail(`ended before it was ready, ${describeExit(running.exit)}`);
    // Raced, because a check may hang on a program that has just died.
    const isReady = await Promise.race([
      options.ready(running.pid).catch((error: unknown) => {
        lastError = error;
        return false;
      }),
      running.exited.then(() => false),
      delay(Math.max(0, deadline - Date.now()), false, { ref: false }),
    ]);
    if (isReady && running.exit === undefined) return;
    if (Date.now() >= deadline) fail(`was not ready within ${limitMs / 1000} s`);
    if (running.exit === undefined) await delay(POLL_MS);
  }
}

async function spawnLeashed(
  options: ProcessOptions,
): Promise<{ leash: ChildProcess; pid: number; exited: Promise<ProcessExit> }> {
  const log = openSync(options.logFile, 'a', 0o600);
  const grace = String(Math.ceil(options.orphanGraceSeconds ?? 10));
  const leash = spawn(
    '/bin/sh',
    ['-c', LEASH_SCRIPT, `leash:${options.name}`, grace, options.command, ...(options.args ?? [])],
    {
      detached: true,
      stdio: ['pipe', log, log, 'pipe'],
      env: options.env ?? process.env,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    },
  );
  closeSync(log);
  leash.stdin?.on('error', () => {}); // We never write to it; what its end means comes with 'exit'.

  let exit: ProcessExit = { code: null, signal: null };
  let startFailure: Error | undefined;
  const exited = new Promise<ProcessExit>((resolve) => {
    leash.on('error', (error) => {
      startFailure = error;
      resolve(exit);
    });
    // A leash that was killed by hand leaves its watcher: letting go of the pipe makes that one end the program.
    leash.on('exit', () => leash.stdin?.destroy());
    // 'close' and not 'exit': descriptor 3 is held open by the program and by all that it forked.
    leash.on('close', () => resolve(exit));
  });
  const pid = await new Promise<number | undefined>((resolve) => {
    let text = '';
    const report = leash.stdio[3];
    if (!(report instanceof Readable)) throw new Error('the leash has no descriptor 3');
    report.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      const started = /^pid (\d+)\n/m.exec(text);
      if (started) resolve(Number(started[1]));
      const ended = /^exit (\d+)\n/m.exec(text);
      if (ended) exit = exitOf(Number(ended[1]));
    });
    void exited.then(() => resolve(undefined));
  });
  if (pid === undefined) {
    throw new ProcessStartError(
      `${options.name} could not be started with /bin/sh in ${options.cwd ?? process.cwd()}: ${startFailure?.message ?? 'the shell ended at once'}`,
    );
  }
  return { leash, pid, exited };
}

/** A shell tells of a signal as 128 + its number. */
function exitOf(status: number): ProcessExit {
  const signal = SIGNAL_NAMES.find((name) => constants.signals[name] === status - 128);
  return signal === undefined ? { code: status, signal: null } : { code: null, signal };
}

function describeExit(exit: ProcessExit): string {
  if (exit.signal !== null) return `by ${exit.signal}`;
  if (exit.code === 127) return 'exit code 127: there is no such program';
  if (exit.code === 126) return 'exit code 126: it is not executable here';
  return `exit code ${exit.code ?? 'unknown'}`;
}

function startOfLog(logFile: string): number {
  mkdirSync(dirname(logFile), { recursive: true });
  return statSync(logFile, { throwIfNoEntry: false })?.size ?? 0;
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (errorCode(error) !== 'ESRCH') throw error;
  }
}

async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timer = new AbortController();
  try {
    return await Promise.race([promise.then(() => true), delay(ms, false, { signal: timer.signal })]);
  } finally {
    timer.abort();
  }
}
