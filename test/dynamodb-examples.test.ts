/** The example files as they stand, on what the sandbox is furnished with. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadMigrationFile, startMigration } from '../client/index.ts';
import { EXAMPLE_BUCKET, EXAMPLE_PARAMETERS, EXAMPLE_TABLES, furnishDynamoDb } from '../sandbox/furnish-dynamodb.ts';
import type { MigrationStatus } from '../spec/status.ts';
import { DynamoDbScene, resultOf } from './stage/dynamodb.ts';
import { endFirstAttempt } from './stage/second-attempt.ts';
import { isDone, Stage, untilStatus } from './stage/stage.ts';

let stage: Stage;
let scene: DynamoDbScene;

beforeAll(async () => {
  stage = await Stage.open();
  scene = await DynamoDbScene.open(stage);
  await furnishDynamoDb(scene.aws);
  // Twice, as `cutover sandbox up` does in a folder that is furnished already.
  await furnishDynamoDb(scene.aws);
  await stage.worker(scene.workerEnvironment);
});
afterAll(() => stage.close());

async function run(file: string): Promise<MigrationStatus> {
  const migration = await loadMigrationFile(`examples/${file}`);
  await endFirstAttempt(stage.client, migration.id);
  return untilStatus(await startMigration(stage.client, { migration }), 'done', isDone);
}

test('dynamodb-export.yaml: every item of both tables', async () => {
  const status = await run('dynamodb-export.yaml');
  const { successfulExports, failedExports } = resultOf(status);
  expect(failedExports).toEqual([]);
  expect(successfulExports.map(({ tableName, itemCount }) => [tableName, itemCount])).toEqual(
    Object.entries(EXAMPLE_TABLES),
  );
  // The furnished bucket is as it should be: nothing of it is warned of.
  const { checks } = status.report['preflight'] as { checks: { id: string; result: string; found: string }[] };
  expect(checks.filter(({ result }) => result === 'fail' || result === 'warn')).toEqual([]);
  expect(checks.filter(({ result }) => result === 'unknown').map(({ id }) => id)).toEqual(['E6']);
});

test('dynamodb-export-article.yaml: by the parameters', async () => {
  const { successfulExports } = resultOf(await run('dynamodb-export-article.yaml'));
  const table = EXAMPLE_PARAMETERS['/test/stg/infra/TEST_TABLE_NAME'];
  expect(successfulExports).toMatchObject([{ tableName: table, itemCount: EXAMPLE_TABLES.orders }]);
  const { exportTime, s3Location } = successfulExports[0]!;
  expect(s3Location).toBe(`s3://${EXAMPLE_BUCKET}/${exportTime.slice(0, 10).replaceAll('-', '/')}/${table}`);
});

test('dynamodb-restore.yaml: restored, read, and deleted again', async () => {
  const status = await run('dynamodb-restore.yaml');
  expect(status.report['verified']).toMatchObject({ items: EXAMPLE_TABLES.orders });
  const { table } = status.report['restore'] as { table: string };
  expect(await scene.exists(table)).toBe(false);
  expect(await scene.exists('orders')).toBe(true);
});
