/** Starts a restore, or finds the one that an earlier attempt started. It is not waited for. */
import {
  ImportTableCommand,
  RestoreTableToPointInTimeCommand,
  type AttributeDefinition,
  type GlobalSecondaryIndex,
} from '@aws-sdk/client-dynamodb';
import type { MadeTable, RestorePlan, TableKeys } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbRestore } from '../../spec/kind-dynamodb-restore.ts';
import { dynamodb } from '../aws/clients.ts';
import { awsFailure, isCode } from '../aws/failure.ts';
import { permanent, transient } from '../errors.ts';
import { ownTable } from './made-table.ts';
import { isThere } from './plan-restore.ts';

export interface StartRestoreArgs {
  migration: DynamoDbRestore;
  plan: RestorePlan;
  /** From the journal: by what an earlier attempt's table is known. */
  made: MadeTable;
}

/** AWS's limits of restores (50) and imports (50) at once free themselves. ms */
const LIMIT_PAUSE_MS = 30_000;

/**
 * @throws cutover.NotOurs where a table of the name is there and was not made by this run, cutover.Invalid,
 *   cutover.NotFound, cutover.Denied; cutover.Busy at AWS's limits (retried); the passing ones
 */
export async function startRestore(args: StartRestoreArgs): Promise<MadeTable> {
  const { plan, migration, made } = args;
  const call = plan.from === 'export' ? importing(args, plan) : restoring(args, plan);
  const what = `${plan.from === 'export' ? 'ImportTable' : 'RestoreTableToPointInTime'} ${plan.table}`;
  try {
    return { ...made, ...(await call) };
  } catch (error) {
    // A restore has no token: after a lost answer the second sending finds the table. An import's token comes first.
    if (isCode(error, 'TableAlreadyExists') || isCode(error, 'ResourceInUse') || isCode(error, 'TableInUse')) {
      const own = await ownTable(made, migration.aws);
      if (own.answer === 'ours') {
        // Without the import's ARN nobody would hear that it ended with errors.
        const { tableId, importArn } = own;
        return { ...made, tableId, ...(importArn === undefined ? {} : { importArn }) };
      }
      throw isThere(plan.table);
    }
    if (isCode(error, 'LimitExceeded')) {
      throw transient(ErrorType.busy, `${what}: ${(error as Error).message}`, {
        afterMs: LIMIT_PAUSE_MS,
        benign: true,
      });
    }
    if (
      ['InvalidRestoreTime', 'PointInTimeRecoveryUnavailable', 'ImportConflict'].some((code) => isCode(error, code))
    ) {
      throw permanent(ErrorType.invalid, `${what}: ${(error as Error).message}`);
    }
    throw awsFailure(error, what);
  }
}

async function restoring(
  { migration }: StartRestoreArgs,
  plan: Extract<RestorePlan, { from: 'point-in-time' }>,
): Promise<Partial<MadeTable>> {
  const { billing, aws } = migration;
  const { TableDescription: table } = await dynamodb(aws).send(
    new RestoreTableToPointInTimeCommand({
      SourceTableArn: plan.sourceArn,
      TargetTableName: plan.table,
      // Never UseLatestRestorableTime: the time is how a table is known for ours after a lost answer.
      RestoreDateTime: new Date(plan.at),
      ...(billing === 'on-demand' ? { BillingModeOverride: 'PAY_PER_REQUEST' as const } : {}),
      ...(typeof billing === 'object'
        ? { BillingModeOverride: 'PROVISIONED' as const, ProvisionedThroughputOverride: units(billing) }
        : {}),
    }),
  );
  return table?.TableId ? { tableId: table.TableId } : {};
}

async function importing(
  { migration, made }: StartRestoreArgs,
  plan: Extract<RestorePlan, { from: 'export' }>,
): Promise<Partial<MadeTable>> {
  const { billing, aws } = migration;
  const indexes = JSON.parse(plan.indexes) as { index: GlobalSecondaryIndex; attributes: AttributeDefinition[] }[];
  const throughput = typeof billing === 'object' ? { ProvisionedThroughput: units(billing) } : {};
  const { ImportTableDescription: task } = await dynamodb(aws).send(
    new ImportTableCommand({
      ClientToken: made.token,
      S3BucketSource: {
        S3Bucket: plan.bucket,
        S3KeyPrefix: plan.dataPrefix,
        ...(plan.bucketOwner ? { S3BucketOwner: plan.bucketOwner } : {}),
      },
      InputFormat: plan.format,
      InputCompressionType: 'GZIP',
      TableCreationParameters: {
        TableName: plan.table,
        ...schema(
          plan.keys,
          indexes.flatMap(({ attributes }) => attributes),
        ),
        BillingMode: typeof billing === 'object' ? 'PROVISIONED' : 'PAY_PER_REQUEST',
        ...throughput,
        ...(indexes.length > 0
          ? { GlobalSecondaryIndexes: indexes.map(({ index }) => ({ ...index, ...throughput })) }
          : {}),
      },
    }),
  );
  return {
    ...(task?.ImportArn ? { importArn: task.ImportArn } : {}),
    ...(task?.TableId ? { tableId: task.TableId } : {}),
  };
}

const units = ({ readUnits, writeUnits }: { readUnits: number; writeUnits: number }) => ({
  ReadCapacityUnits: readUnits,
  WriteCapacityUnits: writeUnits,
});

function schema({ partitionKey, sortKey }: TableKeys, more: AttributeDefinition[]) {
  const keys = [partitionKey, ...(sortKey ? [sortKey] : [])];
  const attributes = new Map(more.map((one) => [one.AttributeName, one]));
  for (const { name, type } of keys) attributes.set(name, { AttributeName: name, AttributeType: type });
  return {
    KeySchema: keys.map(({ name }, index) => ({
      AttributeName: name,
      KeyType: index === 0 ? ('HASH' as const) : ('RANGE' as const),
    })),
    AttributeDefinitions: [...attributes.values()],
  };
}
