/** `cutover sandbox up|status|down`. Several sandboxes may run side by side, each in a folder of its own. */
import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { nodeProgram } from './node-program.ts';
import type { SandboxPorts } from './ports-of-dir.ts';
import { tailOf } from './runtime/log-tail.ts';
import { terminalProgress } from './runtime/tools.ts';
import { serverEnvironment } from './runtime/server-environment.ts';
import { defaultDir, findRunning, forgetRunning, untilGone, type SandboxInfo } from './state-file.ts';
import { supervise } from './supervise.ts';
import type { SupervisorOrders } from './supervisor.ts';

export interface SandboxUpOptions {
  /** Default: .cutover/sandbox below the current folder, on fixed ports; elsewhere on free ones, kept in the folder. */
  dir?: string;
  ports?: Partial<SandboxPorts>;
  /** Two Postgres servers, with the application that writes to them. Default true. */
  postgres?: boolean;
  /** Run in this process until a signal ends it, instead of in the background. */
  foreground?: boolean;
  /** Lines for people: what is started, filled, fetched. */
  onProgress?: (line: string) => void;
}

/** For what fetches; a start that fetches nothing takes seconds. */
const GO_ON_FOR = [
  'CUTOVER_CACHE',
  'TEMPORAL_CLI_PATH',
  'REDIS_SERVER_PATH',
  'VALKEY_SERVER_PATH',
  'MOTO_SERVER_PATH',
  'CUTOVER_POSTGRES_BIN',
  'CUTOVER_PG_DUMP',
];
const PARTS = ['temporal', 'ui', 'source', 'target', 'aws', 'postgresSource', 'postgresTarget', 'redash'] as const;
const STOP_MS = 60_000;
const AFTER_KILL_MS = 30_000;

/**
 * Starts a sandbox that goes on when this process ends, or finds the one that runs in the folder already.
 * @throws Error with the reason where it does not come up; nothing is left running then
 */
export async function sandboxUp(options: SandboxUpOptions = {}): Promise<SandboxInfo> {
  const dir = resolve(options.dir ?? defaultDir());
  const running = findRunning(dir);
  if (running) return running;
  const { onProgress: say, ports, postgres } = options;
  if (options.foreground) {
    const onProgress = terminalProgress({ write: (text) => say?.(text.trimEnd()) });
    return supervise({ dir, ports, postgres, onProgress, say });
  }
  return spawnSupervisor({ dir, ...(ports ? { ports } : {}), ...(postgres === undefined ? {} : { postgres }) }, say);
}

function spawnSupervisor(
  orders: SupervisorOrders,
  onProgress: ((line: string) => void) | undefined,
): Promise<SandboxInfo> {
  const { dir } = orders;
  mkdirSync(dir, { recursive: true });
  const logFile = join(dir, 'sandbox.log');
  const log = openSync(logFile, 'w', 0o600);
  const program = nodeProgram('sandbox/supervisor');
  const kept = GO_ON_FOR.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]));
  const child = spawn(program.command, [...program.args, JSON.stringify(orders)], {
    // Of its own session: Ctrl-C in this terminal is not meant for it.
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: serverEnvironment(Object.fromEntries(kept) as Record<string, string>),
  });
  closeSync(log);
  return new Promise((done, fail) => {
    const letGo = (): void => {
      child.removeAllListeners();
      if (child.connected) child.disconnect();
      child.unref();
    };
    child.on('message', (message: { progress?: string; info?: SandboxInfo; failed?: string }) => {
      if (message.progress !== undefined) onProgress?.(message.progress);
      if (message.failed !== undefined) fail(new Error(`the sandbox did not come up: ${message.failed}`));
      if (message.info !== undefined) {
        letGo();
        done(message.info);
      }
    });
    child.on('error', fail);
    child.on('exit', (code, signal) => {
      const tail = tailOf(logFile, { from: 0, lines: 20, secrets: [] });
      fail(new Error(`the sandbox ended before it was up (${signal ?? `exit code ${code}`}). ${logFile}:\n${tail}`));
    });
  });
}

/** The running sandbox, or undefined. A part that does not answer is said so in its place. */
export async function sandboxStatus(options: { dir?: string } = {}): Promise<SandboxInfo | undefined> {
  const info = findRunning(resolve(options.dir ?? defaultDir()));
  if (!info) return undefined;
  const shown = { ...info };
  for (const part of PARTS) {
    const address = info[part];
    if (address !== undefined && !(await answers(address))) shown[part] = `${address} (does not answer)`;
  }
  return shown;
}

/**
 * Ends the folder's sandbox and every process of it. What it keeps on disk stays.
 * @throws Error when it is still there after SIGKILL
 */
export async function sandboxDown(
  options: { dir?: string } = {},
): Promise<{ running: false; dir: string; ended: boolean }> {
  const dir = resolve(options.dir ?? defaultDir());
  const info = findRunning(dir);
  if (info) {
    process.kill(info.pid, 'SIGTERM');
    if (!(await untilGone(info.pid, STOP_MS))) {
      // Every program of it hangs on a leash, and ends with it.
      process.kill(info.pid, 'SIGKILL');
      if (!(await untilGone(info.pid, AFTER_KILL_MS)))
        throw new Error(`the sandbox in ${dir}, pid ${info.pid}, does not end`);
    }
  }
  forgetRunning(dir);
  return { running: false, dir, ended: info !== undefined };
}

function answers(address: string): Promise<boolean> {
  const { hostname, port } = new URL(address.includes('://') ? address : `tcp://${address}`);
  return new Promise((resolve) => {
    const socket = connect({ host: hostname, port: Number(port), timeout: 2_000 });
    const end = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}
