/** Exports of many tables: verified, one of five failing, aborted, tried again, with the worker killed, by SSM, incremental. */
import { DescribeContinuousBackupsCommand } from '@aws-sdk/client-dynamodb';
import { CreateBucketCommand, PutBucketEncryptionCommand } from '@aws-sdk/client-s3';
import pLimit from 'p-limit';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { BUCKET_CHECKS } from '../activities/dynamodb/bucket-checks.ts';
import { listDynamoDbExports } from '../activities/dynamodb/list-exports.ts';
import { resolveExportSettings } from '../activities/dynamodb/settings.ts';
import type { DynamoDbExport } from '../spec/kind-dynamodb-export.ts';
import { migrationFile } from '../spec/migration.ts';
import type { TableExport } from '../spec/dynamodb-export-state.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { BUCKET, DynamoDbScene, resultOf } from './stage/dynamodb.ts';
import { endFirstAttempts, named } from './stage/second-attempt.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let scene: DynamoDbScene;
let worker: WorkerProcess;

const parked = (status: { phase: string }) => status.phase === 'needs-operator';
const aborted = (status: { phase: string }) => status.phase === 'aborted';
const day = (exportTime: string) => exportTime.slice(0, 10).replaceAll('-', '/');

beforeAll(async () => {
  stage = await Stage.open();
  scene = await DynamoDbScene.open(stage);
  worker = await stage.worker(scene.workerEnvironment);
});
beforeEach(async () => {
  await endFirstAttempts(stage.client);
  // A test that failed may have left none.
  if (worker.exit) worker = await stage.worker(scene.workerEnvironment);
});
afterEach(() => {
  expect(scene.aws.control.failures()).toEqual([]);
  scene.aws.control.reset();
});
afterAll(() => stage.close());

test('one of five tables fails: four are exported and verified, the result says so, a retry does only the one', async () => {
  const tables = ['a', 'b', 'c', 'd', 'e'].map((letter) => named(`five-${letter}`));
  for (const table of tables) await scene.table(table, { items: table === named('five-a') ? 0 : 12 });
  scene.aws.control.dynamodb.failExport({
    table: named('five-c'),
    code: 'S3AccessDenied',
    message: 'no PutObject for you',
  });
  const handle = await scene.export('five', tables);
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator).toMatchObject({
    step: 'export',
    errorType: 'cutover.ServiceFailed',
    choices: ['retry', 'skip', 'abort'],
  });
  expect(asked.operator?.reason).toMatch(/1 of 5 tables.*five-c.*S3AccessDenied: no PutObject for you/);
  const half = resultOf(asked);
  expect(half.successfulExports.map(({ tableName, itemCount }) => [tableName, itemCount])).toEqual([
    [named('five-a'), 0],
    [named('five-b'), 12],
    [named('five-d'), 12],
    [named('five-e'), 12],
  ]);
  expect(half.failedExports).toEqual([
    {
      tableName: named('five-c'),
      error: expect.stringContaining('S3AccessDenied'),
      exportArn: expect.stringContaining(`${named('five-c')}/export/`),
    },
  ]);
  await handle.retry({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  const result = resultOf(status);
  expect(result.failedExports).toEqual([]);
  expect(result.successfulExports.map(({ tableName }) => tableName)).toEqual(tables);
  expect(result.successfulExports[2]).toMatchObject({
    tableName: named('five-c'),
    itemCount: 12,
    verified: 'full',
    s3Location: `s3://${BUCKET}/${day(result.successfulExports[2]!.exportTime)}/${named('five-c')}`,
    manifest: expect.stringMatching(/five-c[^/]*\/AWSDynamoDB\/[^/]+\/manifest-summary\.json$/),
  });
  for (const table of tables) expect(await scene.exportsOf(table)).toHaveLength(table === named('five-c') ? 2 : 1);
  // The four that were done are the very same exports.
  expect(result.successfulExports.filter(({ tableName }) => tableName !== named('five-c'))).toEqual(
    half.successfulExports,
  );
  expect(status.steps.map(({ id, state }) => `${id} ${state}`)).toEqual([
    'settings done',
    'preflight done',
    'export done',
  ]);
});

test('the worker is killed in ExportTableToPointInTime, its answer lost: the table is not exported twice', async () => {
  await scene.table(named('killed'));
  let hit = false;
  const off = scene.aws.control.onCall('ExportTableToPointInTime', 'after', async () => {
    if (hit) return;
    hit = true;
    await worker.kill();
  });
  const handle = await scene.export(named('killed'), [named('killed')]);
  await until('the worker was killed in the call', async () => hit);
  off();
  worker = await stage.worker(scene.workerEnvironment);
  const status = await untilStatus(handle, 'done', isDone);
  expect(await scene.exportsOf(named('killed'))).toEqual([resultOf(status).successfulExports[0]?.exportArn]);
});

test('aborted while it runs, what can not be stopped is named; then again, to its end', async () => {
  await scene.table(named('again'), { recovery: false });
  const file = { pointInTimeRecovery: { enable: { recoveryDays: 3 } } };
  scene.aws.control.dynamodb.slowExport({ table: named('again'), ms: 600_000 });
  const first = await scene.export(named('again'), [named('again')], file);
  const [arn] = await until('it is being exported', async () => {
    const found = await scene.exportsOf(named('again'));
    return found.length > 0 && found;
  });
  expect(await recoveryOf(named('again'))).toMatchObject({
    PointInTimeRecoveryStatus: 'ENABLED',
    RecoveryPeriodInDays: 3,
  });
  await first.abort({ by: 'test' });
  const status = await untilStatus(first, 'aborted', aborted);
  expect(status.leftovers).toEqual([
    expect.stringContaining(`${arn} still runs and can not be stopped; its objects: s3://${BUCKET}/`),
    `point-in-time recovery of ${named('again')}: this run switched it on, and it stays on`,
  ]);
  // Off, the history would be gone that other runs count on by now.
  expect(await recoveryOf(named('again'))).toMatchObject({ PointInTimeRecoveryStatus: 'ENABLED' });
  const done = await untilStatus(await scene.export(named('again'), [named('again')], file), 'done', isDone);
  expect(resultOf(done).successfulExports).toMatchObject([{ tableName: named('again'), itemCount: 30 }]);
  expect(resultOf(done).successfulExports[0]?.exportArn).not.toBe(arn);
});

test('recovery that somebody else may have switched on is not switched off by an abort, but named', async () => {
  await scene.table(named('in-doubt'), { recovery: false });
  scene.aws.control.failNext({ action: 'UpdateContinuousBackups', code: 'AccessDeniedException', times: 1 });
  const handle = await scene.export(named('in-doubt'), [named('in-doubt')], { pointInTimeRecovery: 'enable' });
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'recovery', errorType: 'cutover.Denied' });
  await scene.recovery(named('in-doubt'));
  await handle.abort({ by: 'test' });
  const status = await untilStatus(handle, 'aborted', aborted);
  expect(await recoveryOf(named('in-doubt'))).toMatchObject({ PointInTimeRecoveryStatus: 'ENABLED' });
  expect(status.leftovers).toEqual([
    expect.stringContaining(`recovery of ${named('in-doubt')}: this run asked for it`),
  ]);
});

test('a table that is missing, or has no recovery, stops no other; with none left the preflight fails', async () => {
  await scene.table(named('there'));
  await scene.table(named('no-recovery'), { recovery: false });
  const handle = await scene.export('partly', [named('there'), named('no-recovery'), 'missing'], { failWhen: 'all' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(resultOf(status).successfulExports).toMatchObject([{ tableName: named('there') }]);
  expect(resultOf(status).failedExports).toMatchObject([
    { tableName: named('no-recovery'), error: expect.stringContaining('no point-in-time recovery') },
    { tableName: 'missing', error: expect.stringContaining('there is no table missing') },
  ]);
  expect(status.warnings.join('\n')).toMatch(/missing was not exported/);

  const none = await scene.export('none', [named('no-recovery'), 'missing']);
  const asked = await untilStatus(none, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
  expect(asked.operator?.remedy).toContain('aws dynamodb update-continuous-backups');
  await none.abort({ by: 'test' });
  await untilStatus(none, 'aborted', aborted);
});

test('what was exported is damaged: each damage is found and named, and exported anew by a retry', async () => {
  const damages = {
    corrupt: /its (ETag|MD5) is|no whole gzip/,
    truncated: /its (ETag|MD5) is|holds \d+ items/,
    missing: /the data file is missing/,
    manifest: /manifest-files\.json: its MD5 is/,
    'manifest-missing': /manifest-files\.json: it is missing/,
  } as const;
  const kinds = Object.keys(damages) as (keyof typeof damages)[];
  for (const damage of kinds) await scene.table(named(`damage-${damage}`), { items: 12 });
  await scene.table(named('undamaged'), { items: 12 });
  const damaged = new Set<string>();
  const damageAll = async () => {
    for (const damage of kinds) {
      const [arn] = damaged.has(damage) ? [] : await scene.exportsOf(named(`damage-${damage}`));
      if (!arn) continue;
      await scene.aws.control.dynamodb.damageExport({ export: arn, damage }).then(
        () => damaged.add(damage),
        () => undefined, // It is not COMPLETED yet.
      );
    }
  };
  // As soon as an export is COMPLETED, and before the worker hears of it. One call after the other: a byte that two of them
  // damage at once is whole again.
  const inTurn = pLimit(1);
  const off = scene.aws.control.onCall('DescribeExport', 'after', () => inTurn(damageAll));
  const handle = await scene.export('damaged', [
    ...kinds.map((damage) => named(`damage-${damage}`)),
    named('undamaged'),
  ]);
  const asked = await untilStatus(handle, 'parked', parked);
  off();
  expect([...damaged].sort()).toEqual([...kinds].sort());
  const result = resultOf(asked);
  expect(result.successfulExports).toMatchObject([{ tableName: named('undamaged') }]);
  for (const damage of kinds) {
    expect(result.failedExports.find(({ tableName }) => tableName === named(`damage-${damage}`))?.error).toMatch(
      damages[damage],
    );
  }
  await handle.retry({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(resultOf(status).failedExports).toEqual([]);
  expect(await scene.exportsOf(named('damage-corrupt'))).toHaveLength(2);
});

test('counts that do not agree are found', async () => {
  await scene.table(named('miscounted'));
  scene.aws.control.dynamodb.miscountExport({ table: named('miscounted'), where: 'summary' });
  const handle = await scene.export(named('miscounted'), [named('miscounted')]);
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator?.reason).toMatch(/items/);
  await handle.skip({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(resultOf(status).failedExports).toHaveLength(1);
});

test('the article’s parameters by SSM, from end to end; a time to come is moved to the latest, and that is said', async () => {
  await scene.table(named('by-ssm-a'));
  await scene.table(named('by-ssm-b'), { items: 3 });
  await scene.parameter(
    '/test/stg/infra/TEST_TABLE_NAME',
    `${named('by-ssm-a')}, ${named('by-ssm-b')}`,
    'SecureString',
  );
  await scene.parameter('/test/stg/infra/BACKUP_BUCKET_NAME', BUCKET);
  await scene.parameter('/test/stg/infra/BACKUP_DAY_STR', 'EVERYDAY', 'SecureString');
  await scene.parameter('/test/stg/infra/BACKUP_HOUR_STR', ' 23 ');
  await scene.parameter('/test/stg/infra/BACKUP_MINUTE_STR', '59');
  await scene.parameter('/test/stg/infra/BACKUP_SECOND_STR', '五十九');
  const file = {
    bucket: { ssm: '/test/stg/infra/BACKUP_BUCKET_NAME' },
    at: {
      day: { ssm: '/test/stg/infra/BACKUP_DAY_STR' },
      hour: { ssm: '/test/stg/infra/BACKUP_HOUR_STR' },
      minute: { ssm: '/test/stg/infra/BACKUP_MINUTE_STR' },
      second: { ssm: '/test/stg/infra/BACKUP_SECOND_STR' },
    },
  };
  const handle = await scene.export('by-ssm', { ssm: '/test/stg/infra/TEST_TABLE_NAME' }, file);
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'settings', errorType: 'cutover.Invalid' });
  expect(asked.operator?.reason).toMatch(/second is "五十九": expected a whole number/);
  // Somebody's password by mistake: a SecureString is a setting too, but one that can't be used is not shown.
  await scene.parameter('/test/stg/infra/WRONG', 'hunter2!', 'SecureString');
  const hidden: [object, RegExp][] = [
    [{ tables: { ssm: '/test/stg/infra/WRONG' } }, /tables: \[value of a SecureString\] .*not a table's name/],
    [{ bucket: { ssm: '/test/stg/infra/WRONG' } }, /bucket: \[value of a SecureString\] .*not the name of an S3/],
    [{ at: { hour: { ssm: '/test/stg/infra/WRONG' } } }, /hour is \[value of a SecureString\]: expected a whole/],
  ];
  for (const [name, value] of Object.entries(scene.workerEnvironment)) process.env[name] = value;
  for (const [wrong, message] of hidden) {
    const given = { kind: 'dynamodb-export', id: 'wrong', tables: ['orders'], bucket: BUCKET, ...wrong };
    const migration = migrationFile.parse({ ...given, aws: { region: scene.aws.region } }) as DynamoDbExport;
    const refused = resolveExportSettings({ migration, now: new Date().toISOString() });
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.not.toThrow(/hunter2/);
  }
  await scene.parameter('/test/stg/infra/BACKUP_SECOND_STR', '59');
  await handle.retry({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(status.steps[0]?.note).toMatch(/day \[value of a SecureString\] is not a number: today/);
  const { successfulExports } = resultOf(status);
  expect(successfulExports.map(({ tableName, itemCount }) => [tableName, itemCount])).toEqual([
    [named('by-ssm-a'), 30],
    [named('by-ssm-b'), 3],
  ]);
  for (const { exportTime, s3Location, tableName } of successfulExports) {
    expect(exportTime).toMatch(/\+09:00$/);
    expect(s3Location).toBe(`s3://${BUCKET}/${day(exportTime)}/${tableName}`);
  }
  expect(status.warnings.join('\n')).toMatch(/by-ssm-a\S*: .* was asked for and is not restorable yet/);
});

test('an increment goes on where the last export ended; the first one is refused', async () => {
  scene.aws.control.dynamodb.limits({ incrementalMin: 0 });
  await scene.table(named('changing'));
  const file = { type: { incremental: { from: 'last-export' } } };
  const early = await scene.export(named('changing'), [named('changing')], file);
  const asked = await untilStatus(early, 'parked', parked);
  // Of the one table that there is: so it is the preflight that stops.
  expect(asked.operator?.step).toBe('preflight');
  expect(asked.operator?.reason).toMatch(
    /E10\..*no completed export of changing\S*, of an earlier run, in the last two days/,
  );
  await early.abort({ by: 'test' });
  await untilStatus(early, 'aborted', aborted);

  const [from, to] = [new Date().toISOString(), new Date(Date.now() + 3_600_000).toISOString()];
  const late = await scene.export(named('changing'), [named('changing')], { type: { incremental: { from, to } } });
  // Shortened without a word, what comes after it would be in no export.
  expect((await untilStatus(late, 'parked', parked)).operator?.reason).toMatch(/its end is not restorable yet/);
  await late.abort({ by: 'test' });
  await untilStatus(late, 'aborted', aborted);

  const full = resultOf(await untilStatus(await scene.export(named('changing'), [named('changing')]), 'done', isDone));
  await scene.put(named('changing'), 100, 5);
  const next = await untilStatus(await scene.export(named('changing'), [named('changing')], file), 'done', isDone);
  expect(resultOf(next).successfulExports).toMatchObject([{ tableName: named('changing'), itemCount: 5 }]);
  const tables = next.report['tables'] as Record<string, { plan: { incremental: { from: string } } }>;
  expect(Date.parse(tables[named('changing')]!.plan.incremental.from)).toBe(
    Date.parse(full.successfulExports[0]!.exportTime),
  );
});

const DELETE_OBJECTS = `POST /${BUCKET}/`;

test('a deletion that is cut short after the manifest is ended by a retry', async () => {
  await scene.table(named('cut'));
  const run = () => scene.export(named('cut'), [named('cut')], { retention: { keepLast: 1 } });
  const first = resultOf(await untilStatus(await run(), 'done', isDone)).successfulExports[0]!;
  const folder = first.manifest.replace('manifest-summary.json', '');
  const { control } = scene.aws;
  const off = control.onCall(DELETE_OBJECTS, 'after', () => {
    control.failNext({ action: DELETE_OBJECTS, code: 'AccessDenied', status: 403 });
    off();
  });
  const second = await run();
  const asked = await untilStatus(second, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'retention', errorType: 'cutover.Denied' });
  expect(await scene.keys(first.manifest)).toEqual([]);
  expect((await scene.keys(folder)).length).toBeGreaterThan(2);
  await second.retry({ by: 'test' });
  const done = await untilStatus(second, 'done', isDone);
  expect(done.steps.at(-1)).toMatchObject({ note: `deleted: ${first.exportArn}` });
  expect(await scene.keys(folder)).toEqual([]);
});

test('an increment never goes on from what is not whole: not from its own run’s, nor from one that was skipped', async () => {
  const name = named('chain');
  scene.aws.control.dynamodb.limits({ incrementalMin: 0 });
  await scene.table(name);
  const full = resultOf(await untilStatus(await scene.export(name, [name]), 'done', isDone)).successfulExports[0]!;
  const file = { type: { incremental: { from: 'last-export' } } };
  await scene.put(name, 100, 5);
  scene.aws.control.dynamodb.miscountExport({ table: name, where: 'summary', times: 2 });
  const first = await scene.export(name, [name], file);
  await untilStatus(first, 'parked', parked);
  await scene.put(name, 200, 3);
  await first.retry({ by: 'test' });
  // COMPLETED for AWS, and its end is newer than the full one's: but it is this very run that found it not whole.
  await until('the retry has failed too', async () => (await scene.exportsOf(name)).length === 3);
  await untilStatus(first, 'parked again', parked);
  expect(incrementOf(await first.status())).toMatchObject({ base: full.exportArn });
  await first.skip({ by: 'test' });
  await untilStatus(first, 'done', isDone);

  const next = await untilStatus(await scene.export(name, [name], file), 'done', isDone);
  const { increment, itemCount } = resultOf(next).successfulExports[0]!;
  expect(increment?.base).toBe(full.exportArn);
  expect(Date.parse(increment!.from)).toBe(Date.parse(full.exportTime));
  expect(itemCount).toBe(8);
  expect(next.warnings.join('\n')).toMatch(
    /before exports that are not whole: .*the summary says 9.*the summary says 6/,
  );

  // The proof of what is gone on from is the file's own: a data file that was changed is found.
  await scene.aws.control.dynamodb.damageExport({ export: full.exportArn, damage: 'missing' });
  await scene.aws.control.dynamodb.damageExport({
    export: resultOf(next).successfulExports[0]!.exportArn,
    damage: 'missing',
  });
  const none = await scene.export(name, [name], file);
  const asked = await untilStatus(none, 'parked', parked);
  expect(asked.operator?.reason).toMatch(/no export of chain\S* of the last two days is whole: .*data file is missing/);
  await none.abort({ by: 'test' });
  await untilStatus(none, 'aborted', aborted);
});

test('a planning that fails and is skipped: the result names each table as not exported', async () => {
  const name = named('unplanned');
  await scene.table(name);
  let release = () => {};
  const held = new Promise<void>((resolve) => (release = resolve));
  const handle = await scene.export(name, [name]);
  const off = scene.aws.control.onCall('DescribeTable', 'before', async () => {
    if ((await handle.status()).step === 'export') await held;
  });
  const { workflowService } = stage.client;
  const namespace = stage.client.options.namespace;
  await until('the planning is ended from outside', async () => {
    const { raw } = await stage.client.workflow.getHandle(handle.id).describe();
    const planning = raw.pendingActivities?.find(({ activityType }) => activityType?.name === 'planExports');
    if (!planning?.lastStartedTime) return false;
    await workflowService.respondActivityTaskFailedById({
      namespace,
      workflowId: handle.id,
      activityId: planning.activityId!,
      failure: { message: 'ended by hand', applicationFailureInfo: { nonRetryable: true } },
    });
    return true;
  });
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'export' });
  off();
  release();
  await handle.skip({ by: 'test' });
  const status = await untilStatus(handle, 'done', isDone);
  expect(resultOf(status)).toEqual({
    successfulExports: [],
    failedExports: [{ tableName: name, error: 'it was not begun' }],
  });
  expect(status.warnings.join('\n')).toMatch(/unplanned\S* was not exported: it was not begun/);
});

test('of a bucket whose default is a KMS key nothing is passed: nobody looked at the key', async () => {
  for (const [variable, value] of Object.entries(scene.workerEnvironment)) process.env[variable] = value;
  const bucket = named('kms');
  await scene.s3.send(new CreateBucketCommand({ Bucket: bucket }));
  const check = BUCKET_CHECKS.find(({ id }) => id === 'E7')!;
  const context = { bucket, bucketOwner: undefined, sse: undefined, aws: { region: scene.aws.region } };
  const encrypt = (rule: { SSEAlgorithm: 'AES256' | 'aws:kms'; KMSMasterKeyID?: string }) =>
    scene.s3.send(
      new PutBucketEncryptionCommand({
        Bucket: bucket,
        ServerSideEncryptionConfiguration: { Rules: [{ ApplyServerSideEncryptionByDefault: rule }] },
      }),
    );
  await encrypt({ SSEAlgorithm: 'AES256' });
  expect((await check.run(context)).result).toBe('pass');
  await encrypt({ SSEAlgorithm: 'aws:kms', KMSMasterKeyID: 'alias/backups' });
  expect(await check.run(context)).toMatchObject({ result: 'unknown', found: /aws:kms alias\/backups/ });
  expect((await check.run({ ...context, sse: { algorithm: 'AES256' } })).result).toBe('pass');
});

test('retention deletes the objects of older exports and nothing else; the catalogue says which are whole', async () => {
  await scene.table(named('kept'));
  await scene.table(named('kept-other'));
  const other = await untilStatus(await scene.export(named('kept-other'), [named('kept-other')]), 'done', isDone);
  const run = async () =>
    untilStatus(await scene.export(named('kept'), [named('kept')], { retention: { keepLast: 1 } }), 'done', isDone);
  const first = resultOf(await run()).successfulExports[0]!;
  const folder = first.manifest.replace('manifest-summary.json', '');
  expect((await scene.keys(folder)).length).toBeGreaterThan(4);
  const second = await run();
  expect(second.steps.at(-1)).toMatchObject({ id: 'retention', note: `deleted: ${first.exportArn}` });
  expect(await scene.keys(folder)).toEqual([]);
  const kept = resultOf(second).successfulExports[0]!;
  for (const { manifest } of [kept, resultOf(other).successfulExports[0]!]) {
    expect(await scene.keys(manifest)).toEqual([manifest]);
  }

  // Of an earlier time, so that no rule would keep it: but it is the one that was just verified.
  const earlier = { retention: { keepLast: 1 }, at: first.exportTime };
  const third = await untilStatus(await scene.export(named('kept'), [named('kept')], earlier), 'done', isDone);
  expect(third.steps.at(-1)).toMatchObject({ id: 'retention', note: 'nothing had to go' });
  const reached = resultOf(third).successfulExports[0]!;
  expect(Date.parse(reached.exportTime)).toBe(Date.parse(first.exportTime));
  expect(await scene.keys(reached.manifest)).toEqual([reached.manifest]);

  for (const [name, value] of Object.entries(scene.workerEnvironment)) process.env[name] = value;
  const listed = await listDynamoDbExports({ source: named('kept') });
  expect(listed.map(({ id, complete, madeBy }) => [id, complete, madeBy?.migration])).toEqual([
    [reached.exportArn, true, named('kept')],
    [kept.exportArn, true, named('kept')],
    [first.exportArn, false, named('kept')],
  ]);
  expect(listed[2]?.problem).toMatch(/its manifest is gone/);
});

function incrementOf({ report }: MigrationStatus) {
  const [table] = Object.values(report['tables'] as Record<string, TableExport>);
  return table?.plan.incremental;
}

async function recoveryOf(table: string) {
  const answer = await scene.db.send(new DescribeContinuousBackupsCommand({ TableName: table }));
  return answer.ContinuousBackupsDescription?.PointInTimeRecoveryDescription;
}
