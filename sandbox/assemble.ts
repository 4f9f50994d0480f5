/** Puts the sandbox together: Temporal, a Redis and a Postgres to migrate from, and a local AWS. */
import { mkdirSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { startAws, type Aws } from './aws/index.ts';
import { sandboxEnvironment } from './environment.ts';
import { keepDefaultNetwork } from './moto-network.ts';
import { startPostgresPair, type PostgresPair } from './postgres-pair.ts';
import { REDASH_SECRETS } from './redash-service.ts';
import { startMoto, type MotoServer } from './runtime/moto.ts';
import { freePort } from './runtime/ports.ts';
import { startRedis, type RedisServer } from './runtime/redis.ts';
import { startTemporal, type TemporalServer } from './runtime/temporal.ts';
import { ensureTool, type ToolProgress } from './runtime/tools.ts';
import type { SandboxPorts } from './ports-of-dir.ts';
import { productSearchAttributes } from './search-attributes.ts';

export interface StartSandboxOptions {
  /** Where everything is kept; another start in the same folder finds it again. Default: a new folder in the system's temp folder. */
  dir?: string | undefined;
  /** Default: free ones. */
  ports?: Partial<SandboxPorts> | undefined;
  /** Told while a program is fetched, at least once a second. */
  onProgress?: ((progress: ToolProgress) => void) | undefined;
  /** Each part can be left out. Default: true for Temporal, source and aws; false for the target and Postgres. */
  temporal?: boolean;
  source?: boolean;
  aws?: boolean;
  /** An empty Redis, for `engine: replicaof`. */
  target?: boolean;
  /** Two Postgres servers, for `kind: postgres`. */
  postgres?: boolean;
  /** With Temporal's web UI. Default true. */
  ui?: boolean;
}

export interface Sandbox {
  readonly dir: string;
  /** Undefined where it was left out; so are the others. */
  readonly temporal: TemporalServer | undefined;
  readonly source: RedisServer | undefined;
  readonly target: RedisServer | undefined;
  readonly postgres: PostgresPair | undefined;
  readonly aws: Aws | undefined;
  /** What a worker and the command line need in their environment. */
  readonly env: Record<string, string>;
  /** Ends every process. May be called again. @throws Error when one could not be ended; the others are ended all the same */
  stop(): Promise<void>;
}

interface Stoppable {
  stop(): Promise<void>;
}

/** Redis as people run it: everything in memory, saved when it is stopped. */
const REDIS = {
  save: '3600 1',
  // The default of 5 s waits for more replicas to share a copy with; here there is one, and somebody looking on.
  'repl-diskless-sync-delay': '0',
};

/**
 * Starts what was asked for, all at once. Every process ends with this one, however that ends.
 * @throws ToolError where a program can't be had, naming the command that installs it; ProcessStartError; nothing is left running
 */
export async function startSandbox(options: StartSandboxOptions = {}): Promise<Sandbox> {
  const dir = resolve(options.dir ?? (await mkdtemp(join(tmpdir(), 'cutover-sandbox-'))));
  mkdirSync(dir, { recursive: true });
  const { ports = {}, onProgress } = options;
  const started: Stoppable[] = [];
  // Ended after all else: a DMS task that loses its servers while it is stopped would be noted as failed, and stay so.
  const databases: Stoppable[] = [];
  const part = async <T extends Stoppable>(
    wanted: boolean,
    start: () => Promise<T>,
    among = started,
  ): Promise<T | undefined> => {
    if (!wanted) return undefined;
    const running = await start();
    among.push(running);
    return running;
  };
  const redis = (name: 'source' | 'target') => (): Promise<RedisServer> =>
    startRedis({ dir: join(dir, name), config: REDIS, onProgress, ...portOf(ports[name]) });
  const pair = part(
    options.postgres ?? false,
    () =>
      startPostgresPair({
        dir: join(dir, 'postgres'),
        ports: { source: ports.postgresSource, target: ports.postgresTarget },
        onProgress,
      }),
    databases,
  );
  const begun = [
    part(options.temporal ?? true, () =>
      startTemporal({
        dir: join(dir, 'temporal'),
        ui: options.ui ?? true,
        searchAttributes: productSearchAttributes(),
        onProgress,
        ...portOf(ports.temporal),
        ...(ports.ui === undefined ? {} : { uiPort: ports.ui }),
      }),
    ),
    part(options.source ?? true, redis('source')),
    part(options.target ?? false, redis('target')),
    part(options.aws ?? true, async () => {
      await pair; // DMS takes its tasks up again at once.
      return startCloud(join(dir, 'aws'), ports.aws, onProgress);
    }),
    pair,
  ] as const;
  try {
    const [temporal, source, target, aws, postgres] = await Promise.all(begun);
    return {
      dir,
      temporal,
      source,
      target,
      aws,
      postgres,
      env: sandboxEnvironment({
        dir,
        temporal,
        aws,
        worker: postgres === undefined ? {} : { ...REDASH_SECRETS, CUTOVER_PG_DUMP: postgres.pgDump },
      }),
      stop: () => stopInTurn([started, databases]),
    };
  } catch (error) {
    await Promise.allSettled(begun);
    await stopInTurn([started, databases]);
    throw error;
  }
}

/** The emulated ElastiCache; all other services go through it to moto, which is started when one is first called. */
async function startCloud(
  dir: string,
  port: number | undefined,
  onProgress: ((progress: ToolProgress) => void) | undefined,
): Promise<Aws> {
  const { path: redisServer } = await ensureTool('redis-server', { onProgress });
  let moto: Promise<MotoServer> | undefined;
  const aws = await startAws({
    dir,
    port: port ?? (await freePort()),
    redisServer,
    forward: async () => {
      moto ??= startMoto({ dir: join(dir, 'moto'), onProgress }).then(async (server) => {
        await keepDefaultNetwork(server.url, aws.region);
        return server;
      });
      return (await moto).url;
    },
  });
  const stop = async (): Promise<void> => {
    await aws.stop();
    await (await moto?.catch(() => undefined))?.stop();
  };
  return { ...aws, stop };
}

function portOf(port: number | undefined): { port?: number } {
  return port === undefined ? {} : { port };
}

async function stopInTurn(turns: readonly (readonly Stoppable[])[]): Promise<void> {
  const failed: Error[] = [];
  for (const parts of turns) {
    const ended = await Promise.allSettled(parts.map((part) => part.stop()));
    failed.push(...ended.filter((one) => one.status === 'rejected').map(({ reason }) => reason as Error));
  }
  if (failed.length > 0) throw new AggregateError(failed, failed.map(({ message }) => message).join('\n'));
}
