/** What a restore is made of and makes. Changes nothing. */
import type { TableDescription } from '@aws-sdk/client-dynamodb';
import { DescribeTimeToLiveCommand } from '@aws-sdk/client-dynamodb';
import type { RestorePlan, TableKeys } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbRestore, RestoreFromExport, RestoreFromTable } from '../../spec/kind-dynamodb-restore.ts';
import { dynamodb, type AwsTarget } from '../aws/clients.ts';
import { awsFailure } from '../aws/failure.ts';
import { permanent } from '../errors.ts';
import { exportInS3 } from './export-location.ts';
import { findTable, recoveryOf, requireTable } from './tables.ts';
import { recoveryIsOff } from './recovery.ts';

/**
 * @param args.table The new table's name.
 * @throws cutover.NotFound, cutover.Invalid (time, incremental export, unknown keys), cutover.NotOurs where the table is there
 *   already, cutover.Differs for an export whose manifests are not whole; cutover.Denied and the passing ones
 */
export async function planTableRestore(args: { migration: DynamoDbRestore; table: string }): Promise<RestorePlan> {
  const { migration, table } = args;
  const { from, aws } = migration;
  const there = await findTable(table, aws);
  if (there) throw isThere(table);
  return 'table' in from ? pointInTime(table, from, aws) : ofExport(table, from, aws);
}

export function isThere(table: string): Error {
  return permanent(ErrorType.notOurs, `there is a table ${table} already: nothing is ever restored into one`, {
    remedy: 'give another name in `table`, or delete that table yourself',
  });
}

async function pointInTime(table: string, from: RestoreFromTable, aws: AwsTarget): Promise<RestorePlan> {
  const source = await requireTable(from.table, aws);
  const recovery = await recoveryOf(from.table, aws);
  if (!recovery.enabled || !recovery.earliest || !recovery.latest) throw recoveryIsOff(from.table, aws);
  const { earliest, latest } = recovery;
  const at = from.at === 'latest' ? latest : new Date(from.at).toISOString();
  if (at < earliest || at > latest) {
    throw permanent(
      ErrorType.invalid,
      `${from.table} can't be restored to ${at}: ${earliest} to ${latest} is restorable`,
      {
        remedy: 'give a time within, or `latest`; older ones may be in an export',
      },
    );
  }
  const keys = keysOf(source);
  if (!keys) throw permanent(ErrorType.invalid, `${from.table} has no key schema`);
  return {
    from: 'point-in-time',
    table,
    sourceTable: source.TableName ?? from.table,
    sourceArn: source.TableArn ?? from.table,
    at,
    keys,
    notRestored: await notRestored(source, aws),
  };
}

async function ofExport(table: string, from: RestoreFromExport, aws: AwsTarget): Promise<RestorePlan> {
  const found = await exportInS3(from, aws);
  const { summary, folder } = found.manifest;
  if (summary.exportType === 'INCREMENTAL_EXPORT') {
    throw permanent(ErrorType.invalid, `${summary.exportArn} is incremental: AWS imports full exports only`, {
      remedy: 'restore the full export that it goes on from',
    });
  }
  const source = await sourceOf(summary.tableArn, aws);
  const keys = from.keySchema ? given(from.keySchema) : source && keysOf(source);
  if (!keys) {
    throw permanent(
      ErrorType.invalid,
      `the keys of the new table are not known: ${summary.tableArn} can't be looked at`,
      {
        remedy: 'give `from.keySchema` in the file: an export does not hold it',
      },
    );
  }
  return {
    from: 'export',
    table,
    exportArn: summary.exportArn,
    bucket: found.bucket,
    ...(from.bucketOwner ? { bucketOwner: from.bucketOwner } : {}),
    folder,
    dataPrefix: `${folder}data/`,
    format: summary.outputFormat === 'ION' ? 'ION' : 'DYNAMODB_JSON',
    itemCount: summary.itemCount,
    keys,
    indexes: source ? indexesOf(source) : '[]',
    notRestored: source ? await notRestored(source, aws, true) : ['indexes: the exported table is not there any more'],
  };
}

/** Another account's or Region's table, or one that is gone, can't be looked at: that is no failure where keys are given. */
async function sourceOf(tableArn: string, aws: AwsTarget): Promise<TableDescription | undefined> {
  const region = tableArn.split(':')[3];
  return findTable(tableArn, { ...aws, ...(region ? { region } : {}) }).catch(() => undefined);
}

function given({ partitionKey, sortKey }: NonNullable<RestoreFromExport['keySchema']>): TableKeys {
  return { partitionKey, ...(sortKey ? { sortKey } : {}) };
}

/** The keys of a table. */
export function keysOf(table: TableDescription): TableKeys | undefined {
  const types = new Map((table.AttributeDefinitions ?? []).map((one) => [one.AttributeName, one.AttributeType]));
  const key = (type: 'HASH' | 'RANGE') => {
    const name = table.KeySchema?.find((one) => one.KeyType === type)?.AttributeName;
    return name === undefined ? undefined : { name, type: types.get(name) ?? 'S' };
  };
  const [partitionKey, sortKey] = [key('HASH'), key('RANGE')];
  return partitionKey && { partitionKey, ...(sortKey ? { sortKey } : {}) };
}

/** Global indexes as ImportTable takes them, with the attributes of their keys. It takes no local ones. */
function indexesOf(table: TableDescription): string {
  const types = new Map((table.AttributeDefinitions ?? []).map((one) => [one.AttributeName, one.AttributeType]));
  return JSON.stringify(
    (table.GlobalSecondaryIndexes ?? []).map(({ IndexName, KeySchema = [], Projection }) => ({
      index: { IndexName, KeySchema, Projection },
      attributes: KeySchema.map(({ AttributeName }) => ({
        AttributeName,
        AttributeType: types.get(AttributeName) ?? 'S',
      })),
    })),
  );
}

/** What has to be set again by hand: AWS restores items and indexes, and nothing of these. */
async function notRestored(source: TableDescription, aws: AwsTarget, imported = false): Promise<string[]> {
  const lost = ['tags', 'auto scaling', 'alarms', 'resource policies', 'point-in-time recovery'];
  if (source.StreamSpecification?.StreamEnabled) lost.push(`its stream (${source.StreamSpecification.StreamViewType})`);
  if (source.DeletionProtectionEnabled) lost.push('deletion protection');
  if (imported && (source.LocalSecondaryIndexes?.length ?? 0) > 0) {
    lost.push(`local indexes: ${source.LocalSecondaryIndexes!.map((one) => one.IndexName).join(', ')}`);
  }
  const ttl = await timeToLive(source.TableName ?? '', aws);
  if (ttl) lost.push(`time to live (${ttl})`);
  return lost;
}

async function timeToLive(table: string, aws: AwsTarget): Promise<string | undefined> {
  try {
    const { TimeToLiveDescription: found } = await dynamodb(aws).send(
      new DescribeTimeToLiveCommand({ TableName: table }),
    );
    return found?.TimeToLiveStatus === 'ENABLED' ? found.AttributeName : undefined;
  } catch (error) {
    const failure = awsFailure(error, `DescribeTimeToLive of ${table}`);
    // A missing permission must not keep anybody from a restore.
    return 'nonRetryable' in failure && failure.nonRetryable ? 'it could not be read' : raise(failure);
  }
}

function raise(error: Error): never {
  throw error;
}
