/** What `cutover sandbox up` puts into a new sandbox, so that the files in examples/ run in it as they stand. */
import { join } from 'node:path';
import { fillRedis } from './app/fill.ts';
import type { Sandbox } from './assemble.ts';
import { createGroup, EXAMPLE_GROUP } from './example-group.ts';
import { furnishDynamoDb } from './furnish-dynamodb.ts';
import { furnishElastiCacheBackups } from './furnish-elasticache-backups.ts';
import { furnishMachines } from './furnish-machines.ts';
import { furnishRedisOffline } from './furnish-redis-offline.ts';
import { fillOnce, startRedashService, type RedashService } from './redash-service.ts';
import { freePort } from './runtime/ports.ts';

// The SDK warns about old versions of Node in the middle of somebody's screen; package.json's `engines` says it too.
process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true';

const EXAMPLE_KEYS = 20_000;

export interface FurnishOptions {
  /** Of the application that writes to Postgres. Default: a free one. */
  redashPort?: number | undefined;
  /** Told what is done that takes its time. */
  say?: ((line: string) => void) | undefined;
}

export interface Furnished {
  /** Its own HTTP address; undefined where there is no Postgres. */
  redashUrl: string | undefined;
  /** Ends the application; to be called before the sandbox is stopped, under which it would fail. May be called again. */
  stop(): Promise<void>;
}

/**
 * What is there already stays. Ended by its `stop`, and by the end of this process.
 * @throws Error of the SDK, of Redis or pg; Error where the application's port is taken; nothing of its own is left running
 */
export async function furnish(sandbox: Sandbox, options: FurnishOptions = {}): Promise<Furnished> {
  const redash = furnishPostgres(sandbox, options);
  const others = await Promise.allSettled([furnishRedis(sandbox), furnishBackups(sandbox, options), redash]);
  const failed = others.find((one) => one.status === 'rejected');
  if (failed !== undefined) {
    await (await redash.catch(() => undefined))?.service.stop();
    throw failed.reason;
  }
  const made = await redash;
  return { redashUrl: made?.url, stop: async () => made?.service.stop() };
}

async function furnishPostgres(
  { postgres, dir }: Sandbox,
  { redashPort, say = () => {} }: FurnishOptions,
): Promise<{ url: string; service: RedashService } | undefined> {
  if (postgres === undefined) return undefined;
  await fillOnce(postgres, say);
  const port = redashPort ?? (await freePort());
  const service = await startRedashService(postgres, { dir: join(dir, 'redash'), port });
  return { url: `http://127.0.0.1:${port}`, service };
}

async function furnishRedis(sandbox: Sandbox): Promise<void> {
  const client = sandbox.source?.connect();
  const empty = client !== undefined && (await client.info('keyspace')).trim() === '# Keyspace';
  client?.disconnect();
  if (sandbox.source && empty) {
    await fillRedis({ host: sandbox.source.host, port: sandbox.source.port, keys: EXAMPLE_KEYS });
  }
  if (sandbox.aws) await createGroup(sandbox.env, EXAMPLE_GROUP);
}

/** What the examples of backups and restores name: a group with a snapshot, tables, a bucket, parameters, a machine. */
async function furnishBackups({ aws }: Sandbox, { say = () => {} }: FurnishOptions): Promise<void> {
  if (aws === undefined) return;
  await Promise.all([
    furnishElastiCacheBackups(aws),
    furnishDynamoDb(aws),
    furnishRedisOffline(aws),
    // A machine's commands really run: where this host can't keep them away from its own files there is no machine.
    furnishMachines(aws).catch((error: unknown) => {
      say(
        `without a machine, so examples/machine-*.yaml won't run: ${error instanceof Error ? error.message : String(error)}`,
      );
    }),
  ]);
}
