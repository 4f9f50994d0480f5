import { mkdirSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { join } from 'node:path';
import { LOOPBACK, assertPortFree, freePort } from './ports.ts';
import { startProcess } from './process.ts';
import type { ProcessExit, RunningProcess } from './process.ts';
import { serverEnvironment } from './server-environment.ts';
import { registerMissing } from './temporal-registration.ts';
import type { SearchAttributeTypeName } from './temporal-registration.ts';
import { ensureTool } from './tools.ts';
import type { ToolProgress } from './tools.ts';

export interface StartTemporalOptions {
  /** Its own folder: temporal.db and temporal.log. A later start in the same folder finds all workflows again. */
  dir: string;
  port?: number;
  /** With the web UI. Default: false. */
  ui?: boolean;
  uiPort?: number;
  /** Made beside 'default', which is always there. */
  namespace?: string;
  /** By name, e.g. { CutoverKind: 'Keyword' }. Those a kept database lacks are added. */
  searchAttributes: Readonly<Record<string, SearchAttributeTypeName>>;
  /**
   * Default true. Without it the dev server rounds every timer and backoff up to about a second, and hands out
   * activities at half the speed (facts/temporal 0.3 and section 1, "Eager activity start").
   */
  latencyTuned?: boolean;
  /** Further `KEY=VALUE` for --dynamic-config-value; VALUE is JSON. */
  dynamicConfig?: readonly string[];
  onProgress?: ((progress: ToolProgress) => void) | undefined;
}

export interface TemporalServer {
  /** host:port, for TEMPORAL_ADDRESS. */
  readonly address: string;
  readonly port: number;
  readonly namespace: string;
  readonly uiUrl: string | undefined;
  /** The real server's pid; another one after restart(). */
  readonly pid: number;
  readonly logFile: string;
  readonly exited: Promise<ProcessExit>;
  stop(): Promise<void>;
  kill(): Promise<void>;
  /** Stops it if it runs, and starts it on the same ports with the same database. */
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT: a server that hangs. */
  signal(signal: NodeJS.Signals): void;
}

/**
 * Starts a real Temporal server (the CLI's `server start-dev`, state in a SQLite file) that ends with this process.
 * Ready means: it says SERVING, the namespace answers, every search attribute is there, and the UI (if wanted) answers.
 * @throws ToolError when the program can't be had, ProcessStartError (with its last log lines) when it does not come up,
 *   Error when a kept database has a search attribute of another type.
 */
export async function startTemporal(options: StartTemporalOptions): Promise<TemporalServer> {
  const tool = await ensureTool('temporal', { onProgress: options.onProgress });
  const namespace = options.namespace ?? 'default';
  const port = options.port ?? (await freePort());
  const uiPort = options.ui === true ? (options.uiPort ?? (await freePort())) : undefined;
  const address = `${LOOPBACK}:${port}`;
  const uiUrl = uiPort === undefined ? undefined : `http://${LOOPBACK}:${uiPort}`;
  const logFile = join(options.dir, 'temporal.log');
  mkdirSync(options.dir, { recursive: true });

  const launch = async (): Promise<RunningProcess> => {
    await assertPortFree(port, 'Temporal');
    if (uiPort !== undefined) await assertPortFree(uiPort, "Temporal's UI");
    const running = await startProcess({
      name: `temporal:${port}`,
      command: tool.path,
      args: [...tool.args, ...serverArgs(options, { port, uiPort, namespace })],
      env: serverEnvironment(),
      cwd: options.dir,
      logFile,
      ready: async () => {
        // A socket first: gRPC's own backoff after a refused connection would add a second to every start.
        if (!(await accepts(port))) return false;
        return uiUrl === undefined || (await fetch(uiUrl, { signal: AbortSignal.timeout(5_000) })).ok;
      },
    });
    try {
      await registerMissing({ address, namespace, searchAttributes: options.searchAttributes });
    } catch (error) {
      await running.kill();
      throw error;
    }
    return running;
  };
  let running = await launch();
  return {
    address,
    port,
    namespace,
    uiUrl,
    logFile,
    get pid() {
      return running.pid;
    },
    get exited() {
      return running.exited;
    },
    signal: (signal) => running.signal(signal),
    stop: () => running.stop(),
    kill: () => running.kill(),
    restart: async () => {
      await running.stop();
      running = await launch();
    },
  };
}

function serverArgs(
  options: StartTemporalOptions,
  at: { port: number; uiPort: number | undefined; namespace: string },
): string[] {
  const tuned = ['history.timerProcessorMaxTimeShift="1ms"', 'system.enableActivityEagerExecution=true'];
  const dynamic = [...(options.latencyTuned === false ? [] : tuned), ...(options.dynamicConfig ?? [])];
  return [
    'server',
    'start-dev',
    // A developer's own CLI settings (an address, a profile, TLS) must not reach the sandbox's server.
    '--disable-config-file',
    '--disable-config-env',
    '--env-file',
    join(options.dir, 'no-cli-settings.yaml'),
    '--ip',
    LOOPBACK,
    '--port',
    String(at.port),
    ...(at.uiPort === undefined ? ['--headless'] : ['--ui-port', String(at.uiPort)]),
    '--db-filename',
    join(options.dir, 'temporal.db'),
    ...(at.namespace === 'default' ? [] : ['--namespace', at.namespace]),
    ...dynamic.flatMap((value) => ['--dynamic-config-value', value]),
    ...Object.entries(options.searchAttributes).flatMap(([key, type]) => ['--search-attribute', `${key}=${type}`]),
  ];
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connectSocket({ host: LOOPBACK, port });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
