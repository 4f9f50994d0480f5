/** A failover of the source under the fence: the fenced one keeps its process, setting and record, and is a replica. */
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import { whyNotHeld } from '../activities/redis/fence.ts';
import { fenceOfCutoverIsUp } from '../activities/redis/fence-activities.ts';
import { generationOf } from '../activities/redis/fence-record.ts';
import { fenceSource, requireFence, type OfflineFence } from '../activities/redis/offline/fence.ts';
import { withPrimaries } from '../activities/redis/primaries.ts';
import { fencerName } from '../activities/redis/role.ts';
import { raiseSourceFence, sourceFenceHolds } from '../activities/redis/source-fence.ts';
import type { RedisServer } from '../sandbox/runtime/redis.ts';
import type { RedisEndpoint } from '../spec/values.ts';
import { stage, until } from './stage/redis-copy.ts';

// Real servers on a machine that others use too.
vi.setConfig({ testTimeout: 60_000 });

const play = stage();
const SOON = { config: { 'repl-diskless-sync-delay': '0' } };
const migrationId = 'shop';
let pairs = 0;
let fenced: RedisServer;
let next: RedisServer;
let source: RedisEndpoint;
beforeEach(async () => {
  const name = `${pairs++}`;
  [fenced, next] = await Promise.all([play.server(`${name}-fenced`, SOON), play.server(`${name}-next`, SOON)]);
  source = { host: fenced.host, port: fenced.port, tls: false };
  await next.connect().replicaof(fenced.host, fenced.port);
}, 60_000);
afterAll(() => play.stop(), 60_000);

/** As Sentinel does it: nobody is restarted, and the record comes back with the rest of the data. */
async function failOver(): Promise<void> {
  const [old, promoted] = [fenced.connect(), next.connect()];
  await until('the other has the fence’s record', async () => (await promoted.exists('cutover:fence')) === 1);
  await promoted.replicaof('NO', 'ONE');
  await old.replicaof(next.host, next.port);
  await until('it follows', async () => (await old.info('replication')).includes('master_link_status:up'));
  expect(await promoted.set('order', 'lost')).toBe('OK');
  expect(await old.config('GET', 'min-replicas-to-write')).not.toEqual(['min-replicas-to-write', '0']);
}

test('redis-offline: its fence has fallen', async () => {
  const env = new MockActivityEnvironment();
  const { runId } = (await env.run(fenceSource, { migrationId, source, withinMs: 60_000 })) as OfflineFence;
  await env.run(requireFence, { migrationId, source, runId });
  await failOver();
  await expect(env.run(requireFence, { migrationId, source, runId })).rejects.toMatchObject({
    type: 'cutover.Replication',
    message: `the fence did not hold: the source is a replica of ${next.host}:${next.port} by now, which was not fenced and takes writes; what was written since is not in the RDB`,
  });
});

test('redis-online: it does not hold, and nothing is promoted by it', async () => {
  const generation = generationOf(1, 1);
  const name = fencerName(migrationId);
  const fence = await withPrimaries(source, 'source', name, (all) => raiseSourceFence(all, migrationId, generation));
  expect(await sourceFenceHolds(source, name, fence, generation)).toEqual({ holds: true });
  expect(await fenceOfCutoverIsUp({ migrationId, source, cutover: 1 })).toBe(true);
  expect(await whyNotHeld(fenced.connect(), generation)).toBe(undefined);
  await failOver();
  expect(await sourceFenceHolds(source, name, fence, generation)).toEqual({
    holds: false,
    why: `${fenced.host}:${fenced.port} is a replica of ${next.host}:${next.port} by now, which was not fenced`,
  });
  expect(await fenceOfCutoverIsUp({ migrationId, source, cutover: 1 })).toBe(false);
  expect(await whyNotHeld(fenced.connect(), generation)).toBe(
    `the source is a replica of ${next.host}:${next.port} by now, which was not fenced`,
  );
});
