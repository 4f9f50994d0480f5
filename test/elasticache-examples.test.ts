/** The example files as they stand, on what the sandbox is furnished with. */
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadMigrationFile, startMigration, type MigrationHandle, type MigrationStatus } from '../client/index.ts';
import type { Aws } from '../sandbox/aws/index.ts';
import { BACKED_UP_GROUP, furnishElastiCacheBackups } from '../sandbox/furnish-elasticache-backups.ts';
import { cli } from './schedule-cli.ts';
import { createGroup, openAws, workerEnvironment } from './stage/elasticache.ts';
import { endFirstAttempt } from './stage/second-attempt.ts';
import { atGate, isDone, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
let aws: Aws;

beforeAll(async () => {
  stage = await Stage.open();
  aws = await openAws(stage);
  await furnishElastiCacheBackups(aws);
  // Twice, as `cutover sandbox up` does in a folder that is furnished already.
  await furnishElastiCacheBackups(aws);
  await stage.worker(workerEnvironment(aws));
});
afterAll(() => stage.close());

async function run(file: string, more: object = {}): Promise<MigrationHandle> {
  const migration = await loadMigrationFile(`examples/${file}`);
  await endFirstAttempt(stage.client, migration.id);
  return startMigration(stage.client, { migration: { ...migration, ...more } });
}

/** 2 % of the furnished keys live for seconds only, so the two counts are of different moments. */
function expectAllKeys(status: MigrationStatus): void {
  const { keys, source } = status.report['verify'] as { keys: number; source: { keys: number } };
  expect(source.keys).toBeGreaterThan(450);
  expect(Math.abs(keys - source.keys)).toBeLessThan(25);
}

async function withPrimary<T>(use: (redis: Redis) => Promise<T>): Promise<T> {
  const { host, port } = aws.control.nodes({ group: BACKED_UP_GROUP }).find(({ role }) => role === 'primary')!;
  const redis = new Redis({ host, port });
  try {
    return await use(redis);
  } finally {
    redis.disconnect();
  }
}

const groups = () => [...new Set(aws.control.nodes({}).map(({ group }) => group))];

test('elasticache-backup.yaml: a snapshot, the daily settings, the retention', async () => {
  await createGroup(aws, 'shop-cache');
  const status = await untilStatus(await run('elasticache-backup.yaml'), 'done', isDone);
  const { name } = status.report['snapshot'] as { name: string };
  expect(status.report['daily']).toMatchObject({ after: { retentionLimit: 7, window: '15:00-16:00' } });
  expect(status.report['retention']).toMatchObject({
    kept: expect.arrayContaining([expect.objectContaining({ name })]),
    deleted: [],
  });
});

test('elasticache-restore-drill.yaml: restored, verified, timed, and nothing is left', async () => {
  const before = groups();
  const status = await untilStatus(await run('elasticache-restore-drill.yaml'), 'done', isDone);
  expect(status.report['verify']).toMatchObject({ source: { replicationGroup: BACKED_UP_GROUP } });
  expectAllKeys(status);
  expect(groups()).toEqual(before);
});

test('elasticache-restore.yaml: a new group with the keys', async () => {
  const status = await untilStatus(await run('elasticache-restore.yaml'), 'done', isDone);
  expectAllKeys(status);
  expect(groups()).toContain('shop-sessions-restored');
});

test('elasticache-retire.yaml: gone, once its name was typed; the last write comes back from the final snapshot', async () => {
  const handle = await run('elasticache-retire.yaml');
  await untilStatus(handle, 'at the gate', atGate);
  expect(groups()).toContain(BACKED_UP_GROUP);
  // After the first snapshot was proven: only the final one can have it.
  await withPrimary((redis) => redis.set('the last', 'write'));
  const unnamed = await cli(stage, ['approve', handle.id]);
  expect(unnamed.code).not.toBe(0);
  expect(unnamed.err).toContain(`--confirm ${BACKED_UP_GROUP}`);
  expect(groups()).toContain(BACKED_UP_GROUP);
  const { code, out } = await cli(stage, ['approve', handle.id, '--confirm', BACKED_UP_GROUP]);
  expect([code, out]).toEqual([0, expect.stringContaining('approved')]);
  const status = await untilStatus(handle, 'done', isDone);
  expect(status.report['retired']).toMatchObject({ finalSnapshot: { complete: true, status: 'available' } });
  expect(groups()).not.toContain(BACKED_UP_GROUP);

  const again = await run('elasticache-restore-drill.yaml', { verify: { sampleKeys: ['the last'] } });
  const drill = await untilStatus(again, 'done', isDone);
  const { name } = (status.report['retired'] as { finalSnapshot: { name: string } }).finalSnapshot;
  expect(drill.report['recovery']).toMatchObject({ from: name });
  expect(drill.report['verify']).toMatchObject({ sampleKeys: 1 });
});
