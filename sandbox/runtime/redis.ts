import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { LOOPBACK, assertPortFree, freePort } from './ports.ts';
import { startProcess } from './process.ts';
import type { ProcessExit, RunningProcess } from './process.ts';
import { serverEnvironment } from './server-environment.ts';
import { ensureTool } from './tools.ts';
import type { Tool, ToolProgress } from './tools.ts';

export interface StartRedisOptions {
  /** Its own folder: redis.conf, redis.log, and what the configuration makes it save. */
  dir: string;
  port?: number;
  /** 'redis' (default) or 'valkey'. */
  flavour?: 'redis' | 'valkey';
  /**
   * Lines of redis.conf by directive, over the defaults. A value is what stands behind the directive, quoted as the file
   * wants it; an array writes the directive several times; '' is written as "".
   */
  config?: Readonly<Record<string, string | readonly string[]>>;
  /** requirepass. It stands in redis.conf (mode 0600), never on a command line. */
  password?: string;
  onProgress?: ((progress: ToolProgress) => void) | undefined;
}

/** replyMapping would change the client's type. */
export type ClientOptions = Omit<RedisOptions, 'replyMapping'>;

export interface RedisServer {
  readonly host: string;
  readonly port: number;
  /** The real redis-server's pid; another one after restart(). */
  readonly pid: number;
  readonly dir: string;
  readonly logFile: string;
  readonly password: string | undefined;
  /** What really runs: where no Redis can be had, 'redis' is served by Valkey. */
  readonly flavour: 'redis' | 'valkey';
  readonly version: string;
  readonly exited: Promise<ProcessExit>;
  /**
   * TERM: saves an RDB first if the configuration has save points (the default has none). Waits up to its own
   * shutdown-timeout for lagging replicas. Also disconnects the clients that connect() made.
   */
  stop(): Promise<void>;
  /** SIGKILL: nothing is saved. Clients stay, and reconnect after restart(). */
  kill(): Promise<void>;
  /** Stops it if it runs and starts it on the same port, with the redis.conf as it is on disk (CONFIG REWRITE holds). */
  restart(): Promise<void>;
  /** SIGSTOP and SIGCONT: a server that hangs. */
  signal(signal: NodeJS.Signals): void;
  /** A client of this server; ended by stop(). Options go over { host, port, password }. */
  connect(options?: ClientOptions): Redis;
}

/**
 * Starts a real redis-server or valkey-server on 127.0.0.1 that ends with this process.
 * @throws ToolError when the program can't be had, ProcessStartError (with its last log lines) when it does not come up.
 */
export async function startRedis(options: StartRedisOptions): Promise<RedisServer> {
  const { dir, password } = options;
  const flavour = options.flavour ?? 'redis';
  const tool = await ensureTool(flavour === 'valkey' ? 'valkey-server' : 'redis-server', {
    onProgress: options.onProgress,
  });
  const port = options.port ?? (await freePort());
  const name = `${flavour}:${port}`;
  const logFile = join(dir, 'redis.log');
  const configFile = join(dir, 'redis.conf');
  mkdirSync(dir, { recursive: true });
  writeFileSync(configFile, redisConf(dir, port, password, options.config ?? {}), { mode: 0o600 });

  const launch = async (): Promise<RunningProcess> => {
    await assertPortFree(port, name);
    return startProcess({
      name,
      command: tool.path,
      args: [...tool.args, configFile],
      env: serverEnvironment(),
      cwd: dir,
      logFile,
      ready: (pid) => answers(port, password, pid),
      stopTimeoutMs: 30_000,
      secrets: password === undefined ? [] : [password],
    });
  };
  let running = await launch();
  const clients = new Set<Redis>();
  const connect = (more: ClientOptions = {}): Redis => {
    const client = new Redis({
      host: LOOPBACK,
      port,
      ...(password === undefined ? {} : { password }),
      ...more,
    });
    client.on('error', () => {}); // ioredis prints errors nobody listens to; the commands themselves reject.
    clients.add(client);
    client.once('end', () => clients.delete(client));
    return client;
  };
  return {
    host: LOOPBACK,
    port,
    dir,
    logFile,
    password,
    ...reallyRuns(tool, flavour),
    connect,
    get pid() {
      return running.pid;
    },
    get exited() {
      return running.exited;
    },
    signal: (signal) => running.signal(signal),
    kill: () => running.kill(),
    stop: async () => {
      for (const client of clients) client.disconnect();
      await running.stop();
    },
    restart: async () => {
      await running.stop();
      running = await launch();
    },
  };
}

function reallyRuns(
  tool: Tool,
  wanted: 'redis' | 'valkey',
): { readonly flavour: 'redis' | 'valkey'; readonly version: string } {
  return { flavour: tool.flavour ?? wanted, version: tool.version };
}

/** Exported for its test. Throws on a line break in a directive or value: it would become a directive of its own. */
export function redisConf(
  dir: string,
  port: number,
  password: string | undefined,
  config: Readonly<Record<string, string | readonly string[]>>,
): string {
  const directives: Record<string, string | readonly string[]> = {
    port: String(port),
    bind: LOOPBACK,
    'protected-mode': 'no',
    daemonize: 'no',
    dir: quoted(dir),
    save: '',
    ...(password === undefined ? {} : { requirepass: quoted(password) }),
    ...config,
  };
  const lines = Object.entries(directives).flatMap(([directive, value]) =>
    (typeof value === 'string' ? [value] : value).map((one) => `${directive} ${one === '' ? '""' : one}`),
  );
  const broken = lines.find((line) => /[\r\n]/.test(line));
  if (broken !== undefined) {
    throw new Error(
      `redis.conf: the value of ${broken.split(' ')[0]} holds a line break. Give an array for several lines.`,
    );
  }
  return `${lines.join('\n')}\n`;
}

function quoted(value: string): string {
  return `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n').replaceAll('\r', '\\r')}"`;
}

/**
 * Up means: answers something other than LOADING, and is the process that was started.
 * A refusal (NOAUTH, NOPERM, a renamed PING) is an answer too: tests start servers that refuse on purpose.
 */
async function answers(port: number, password: string | undefined, pid: number): Promise<boolean> {
  const client = new Redis({
    host: LOOPBACK,
    port,
    ...(password === undefined ? {} : { password }),
    lazyConnect: true,
    enableReadyCheck: false,
    retryStrategy: () => null,
    connectTimeout: 2_000,
    commandTimeout: 2_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.ping();
    const info = await client.info('server').catch(() => '');
    const found = /process_id:(\d+)/.exec(info)?.[1];
    return found === undefined || Number(found) === pid;
  } catch (error) {
    if (error instanceof Error && error.name === 'ReplyError') return !error.message.startsWith('LOADING');
    throw error;
  } finally {
    client.disconnect();
  }
}
