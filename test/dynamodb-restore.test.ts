/** Tables restored from a point in time and from an export: equal to what was; drills; aborts; nothing that is not ours deleted. */
import { DeleteTableCommand, ListTagsOfResourceCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DynamoDbScene, resultOf } from './stage/dynamodb.ts';
import { endFirstAttempts, named } from './stage/second-attempt.ts';
import { isDone, Stage, until, untilStatus } from './stage/stage.ts';
import type { WorkerProcess } from './stage/worker-process.ts';

let stage: Stage;
let scene: DynamoDbScene;
let worker: WorkerProcess;

const parked = (status: { phase: string }) => status.phase === 'needs-operator';
const aborted = (status: { phase: string }) => status.phase === 'aborted';

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
  scene.aws.control.setTiming({ dynamodbRestoring: 100 });
});
afterAll(() => stage.close());

test('backup, the data are lost, restored from the export: equal, item by item', async () => {
  await scene.table(named('lost'), { items: 230 });
  const before = await scene.items(named('lost'));
  const exported = resultOf(await untilStatus(await scene.export('lost-export', [named('lost')]), 'done', isDone));
  const location = exported.successfulExports[0]!.s3Location;
  await scene.db.send(new DeleteTableCommand({ TableName: named('lost') }));

  const handle = await scene.restore(named('lost-restore'), { export: location }, { table: named('lost-again') });
  const asked = await untilStatus(handle, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'preflight', errorType: 'cutover.Preflight' });
  expect(asked.operator?.reason).toMatch(/the keys of the new table are not known/);
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', aborted);

  const keySchema = { partitionKey: { name: 'id', type: 'S' }, sortKey: { name: 'at', type: 'N' } };
  const again = await scene.restore(
    named('lost-restore'),
    { export: location, keySchema },
    { table: named('lost-again') },
  );
  const status = await untilStatus(again, 'done', isDone);
  expect(status.report['verified']).toMatchObject({ items: 230, expected: 230, compared: 230, how: 'full' });
  expect(await scene.items(named('lost-again'))).toEqual(before);
  const { Tags } = await scene.db.send(new ListTagsOfResourceCommand({ ResourceArn: arnOf(named('lost-again')) }));
  expect(Tags).toContainEqual({ Key: 'cutover:migration', Value: named('lost-restore') });
});

test('from a point in time: as it was then, though the table went on', async () => {
  await scene.table(named('moving'), { items: 20 });
  const before = await scene.items(named('moving'));
  const at = await nextMoment();
  await scene.put(named('moving'), 500, 5);
  const status = await untilStatus(
    await scene.restore(
      named('moving'),
      { table: named('moving'), at: at.toISOString() },
      { table: named('moving-then') },
    ),
    'done',
    isDone,
  );
  expect(await scene.items(named('moving-then'))).toEqual(before);
  expect(status.report['restore']).toMatchObject({
    table: named('moving-then'),
    notRestored: expect.arrayContaining(['tags']),
  });
});

test('an item that is not the export’s is found and named', async () => {
  await scene.table(named('touched'), { items: 12 });
  const exported = resultOf(
    await untilStatus(await scene.export('touched-export', [named('touched')]), 'done', isDone),
  );
  const [item] = await scene.items(named('touched'));
  // Somebody writes to the new table before it is compared.
  const off = scene.aws.control.onCall('TagResource', 'after', async () => {
    await scene.db.send(
      new PutItemCommand({ TableName: named('touched-again'), Item: { ...item, total: { N: '99' } } }),
    );
  });
  const from = { export: exported.successfulExports[0]!.exportArn };
  const handle = await scene.restore(named('touched'), from, { table: named('touched-again') });
  const asked = await untilStatus(handle, 'parked', parked);
  off();
  expect(asked.operator).toMatchObject({ step: 'verify', errorType: 'cutover.Differs' });
  expect(asked.operator?.reason).toMatch(
    /1 of 12 items of touched-again\S* are not the export's: .*touched\S*-\d+.* is another/,
  );
  await handle.abort({ by: 'test' });
  await untilStatus(handle, 'aborted', aborted);
  expect(await scene.exists(named('touched-again'))).toBe(false);
});

test('aborted while it is made, the table is deleted; then again; and a table that is there is never touched', async () => {
  await scene.table(named('source'), { items: 5 });
  scene.aws.control.setTiming({ dynamodbRestoring: 2_000 });
  const first = await scene.restore('again', { table: named('source') }, { table: named('source-again') });
  await until('it is being made', () => scene.exists(named('source-again')));
  await first.abort({ by: 'test' });
  const status = await untilStatus(first, 'aborted', aborted);
  expect(await scene.exists(named('source-again'))).toBe(false);
  expect(status.leftovers).toEqual([]);
  scene.aws.control.setTiming({ dynamodbRestoring: 100 });
  await untilStatus(
    await scene.restore('again', { table: named('source') }, { table: named('source-again') }),
    'done',
    isDone,
  );

  const other = await scene.restore('other', { table: named('source') }, { table: named('source-again') });
  const asked = await untilStatus(other, 'parked', parked);
  expect(asked.operator).toMatchObject({ step: 'preflight' });
  expect(asked.operator?.reason).toMatch(/there is no table of the new name: source-again\S* is there/);
  await other.abort({ by: 'test' });
  await untilStatus(other, 'aborted', aborted);
  expect(await scene.items(named('source-again'))).toHaveLength(5);
});

test('a table that somebody made in between is neither restored into nor deleted', async () => {
  await scene.table(named('between'), { items: 5 });
  let hit = false;
  const off = scene.aws.control.onCall('RestoreTableToPointInTime', 'before', async () => {
    if (hit) return;
    hit = true;
    await scene.table(named('between-again'), { items: 2, recovery: false });
  });
  const handle = await scene.restore(named('between'), { table: named('between') }, { table: named('between-again') });
  const asked = await untilStatus(handle, 'parked', parked);
  off();
  expect(asked.operator).toMatchObject({ step: 'restore', errorType: 'cutover.NotOurs' });
  await handle.abort({ by: 'test' });
  const status = await untilStatus(handle, 'aborted', aborted);
  expect(await scene.items(named('between-again'))).toHaveLength(2);
  expect(status.leftovers).toEqual([expect.stringContaining('was not made by this run and is left alone')]);
});

test.each(['RestoreTableToPointInTime', 'ImportTable'] as const)(
  'the worker is killed in %s, its answer lost: the table is known for ours, and a drill deletes it',
  async (call) => {
    const name = named(`drill-${call === 'ImportTable' ? 'import' : 'restore'}`);
    await scene.table(name, { items: 7 });
    const from =
      call === 'ImportTable'
        ? {
            export: resultOf(await untilStatus(await scene.export(`${name}-export`, [name]), 'done', isDone))
              .successfulExports[0]!.exportArn,
          }
        : { table: name };
    let hit = false;
    const off = scene.aws.control.onCall(call, 'after', async () => {
      if (hit) return;
      hit = true;
      await worker.kill();
    });
    const handle = await scene.restore(name, from, { drill: true });
    await until('the worker was killed in the call', async () => hit);
    off();
    worker = await stage.worker(scene.workerEnvironment);
    const status = await untilStatus(handle, 'done', isDone);
    const { table, restoreMs, verifyMs } = status.report['restore'] as Record<string, unknown>;
    expect(table).toMatch(new RegExp(`^${name}-\\d{8}-\\d{6}$`));
    expect(restoreMs).toBeGreaterThan(0);
    expect(verifyMs).toBeGreaterThan(0);
    expect(status.report['verified']).toMatchObject({ items: 7 });
    expect(await scene.exists(table as string)).toBe(false);
    expect(await scene.items(name)).toHaveLength(7);
  },
);

function arnOf(table: string): string {
  return `arn:aws:dynamodb:${scene.aws.region}:123456789012:table/${table}`;
}

/** A time later than every write before and earlier than every one after: times have milliseconds here. */
async function nextMoment(): Promise<Date> {
  const before = Date.now();
  const at = await until('the next millisecond', async () => Date.now() > before && Date.now());
  await until('the one after', async () => Date.now() > at);
  return new Date(at);
}
