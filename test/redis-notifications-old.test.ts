/** Keyspace notifications of a Redis before 6.2.2, which has no class d: it writes all that we asked for as A. */
import type { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  readNotifications,
  restoreNotifications,
  switchOnNotifications,
} from '../activities/redis/copy/switch-notifications.ts';
import { startOldRedis, type OldRedis } from './old-redis.ts';

let server: OldRedis;
let redis: Redis;
let input: Parameters<typeof readNotifications>[0];
beforeAll(async () => {
  server = await startOldRedis('5.0');
  redis = server.connect();
  input = { migrationId: 'm1', source: { host: server.host, port: server.port, tls: false } };
}, 120_000);
afterAll(() => server.stop(), 60_000);

const SETTING = 'notify-keyspace-events';
const setting = async () => (await redis.config('GET', SETTING))[1];

test.each(['', 'El'])('switched on over "%s", they are put back', async (old) => {
  await redis.config('SET', SETTING, old);
  const before = await setting();
  const nodes = await readNotifications(input);
  await switchOnNotifications({ ...input, nodes });
  expect(await setting()).toContain('A');
  expect((await restoreNotifications({ ...input, nodes })).note).toContain(`put back to "${before}"`);
  expect(await setting()).toBe(before);
});

test('what somebody set since is left alone', async () => {
  await redis.config('SET', SETTING, '');
  const nodes = await readNotifications(input);
  await switchOnNotifications({ ...input, nodes });
  await redis.config('SET', SETTING, 'KEA');
  expect((await restoreNotifications({ ...input, nodes })).note).toContain('left alone: somebody set it to');
  expect(await setting()).toBe('AKE');
});
