// The sandbox's container: a Redis to migrate from, an empty Redis, and the local AWS, with the Temporal of
// docker-compose.yml in place of the sandbox's own. `node docker/sandbox.mjs health` is its health check.
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DescribeReplicationGroupsCommand } from '@aws-sdk/client-elasticache';
import { Redis } from 'ioredis';
import { elastiCacheOf, EXAMPLE_GROUP, furnish, startSandbox } from '../dist/sandbox/index.js';
import { terminalProgress } from '../dist/sandbox/runtime/tools.js';

const LOOPBACK = '127.0.0.1';
const ports = {
  source: port('SANDBOX_SOURCE_PORT'),
  target: port('SANDBOX_TARGET_PORT'),
  aws: port('SANDBOX_AWS_PORT'),
};

function port(name) {
  const value = Number(process.env[name]);
  if (!Number.isInteger(value) || value <= 0 || value > 65_535) {
    console.error(`${name} is "${process.env[name] ?? ''}", expected a port; docker-compose.yml sets it`);
    process.exit(2);
  }
  return value;
}

/** There once all that the examples name is there. */
const ready = (dir) => join(dir, 'ready');

async function up() {
  let sandbox;
  let ending;
  const end = () => {
    ending ??= Promise.resolve(sandbox?.stop()).then(
      () => process.exit(0),
      (error) => {
        console.error(error.message);
        process.exit(1);
      },
    );
  };
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, end);
  const dir = process.env.SANDBOX_DIR;
  rmSync(ready(dir), { force: true });
  sandbox = await startSandbox({ dir, ports, temporal: false, target: true, onProgress: terminalProgress() });
  try {
    await furnish(sandbox, { say: console.log });
  } catch (error) {
    // Asked to end in the middle of it: what it was talking to is gone, and `end` ends the process.
    if (ending !== undefined) return;
    throw error;
  }
  writeFileSync(ready(dir), '');
  console.log(
    `sandbox ready: source ${LOOPBACK}:${ports.source}, target ${LOOPBACK}:${ports.target}, AWS ${sandbox.aws.url}`,
  );
}

async function health() {
  if (!existsSync(ready(process.env.SANDBOX_DIR))) throw new Error('what the examples name is still being made');
  for (const name of ['source', 'target']) {
    const redis = new Redis({ host: LOOPBACK, port: ports[name], lazyConnect: true, retryStrategy: null });
    // The client tells why here, and only "Connection is closed" in what connect() throws.
    let reason;
    redis.on('error', (error) => (reason = error));
    try {
      await redis.connect();
      await redis.ping();
    } catch (error) {
      throw new Error(`the ${name} at ${LOOPBACK}:${ports[name]} does not answer: ${(reason ?? error).message}`, {
        cause: error,
      });
    } finally {
      redis.disconnect();
    }
  }
  const client = elastiCacheOf(process.env);
  const { ReplicationGroups } = await client.send(
    new DescribeReplicationGroupsCommand({ ReplicationGroupId: EXAMPLE_GROUP }),
  );
  client.destroy();
  // A migration makes it "modifying" for hours, which is no illness.
  if (ReplicationGroups?.[0]?.Status === 'creating') throw new Error(`${EXAMPLE_GROUP} is still being created`);
}

try {
  await (process.argv[2] === 'health' ? health() : up());
} catch (error) {
  console.error(error.message);
  process.exit(1);
}
