import type {
  GlobalSecondaryIndex,
  LocalSecondaryIndex,
  RestoreTableToPointInTimeInput,
} from '@aws-sdk/client-dynamodb';
import { invalid, refusal, tableNotFound } from './faults.ts';
import { checkOneOf, tableName, tableOfArn } from './input.ts';
import { fillTable, makeTable } from './made-table-work.ts';
import { shown } from './made-tables.ts';
import type { NewTable, TableInfo } from './moto.ts';
import { windowOf } from './recovery.ts';
import type { DynamoDb } from './service.ts';
import type { MadeTableState } from './state.ts';

/** What DescribeTable says of an index, beside what CreateTable takes. */
type Index = GlobalSecondaryIndex & LocalSecondaryIndex;

/** A new table with the items as they were. Settings that AWS does not restore (TTL, streams, tags, recovery) are not set here either. */
export async function restoreTable(
  db: DynamoDb,
  input: RestoreTableToPointInTimeInput,
): Promise<{ TableDescription: TableInfo }> {
  const { SourceTableArn, SourceTableName } = input;
  if ((SourceTableArn === undefined) === (SourceTableName === undefined)) {
    throw invalid('Exactly one of SourceTableArn and SourceTableName must be specified');
  }
  const source =
    SourceTableArn === undefined
      ? tableName(db, 'SourceTableName', SourceTableName ?? '')
      : tableOfArn(db, 'SourceTableArn', SourceTableArn);
  const target = tableName(db, 'TargetTableName', input.TargetTableName ?? '');
  const latest = input.UseLatestRestorableTime === true;
  if (latest === (input.RestoreDateTime !== undefined)) {
    throw invalid('Exactly one of RestoreDateTime and UseLatestRestorableTime must be specified');
  }
  checkOneOf('BillingModeOverride', input.BillingModeOverride, ['PROVISIONED', 'PAY_PER_REQUEST'], 'PROVISIONED');
  return db.locked([source], async () => {
    const table = await (await db.moto()).table(source);
    if (table === undefined) throw tableNotFound(source);
    const live = await db.live(source, true);
    if (live === undefined) {
      throw refusal(
        'PointInTimeRecoveryUnavailableException',
        `Point in time recovery is not enabled for table '${source}'`,
      );
    }
    const window = windowOf(db, live.recovery);
    const at = input.RestoreDateTime?.getTime() ?? window.latest;
    if (!(at >= window.earliest && at <= window.latest)) {
      throw refusal(
        'InvalidRestoreTimeException',
        `RestoreDateTime ${input.RestoreDateTime?.toISOString() ?? ''} is outside of the point in time recovery window, ${new Date(window.earliest).toISOString()} to ${new Date(window.latest).toISOString()}`,
      );
    }
    const { recovery } = live;
    const made = await makeTable(db, tableLike(table, target, input), {
      sourceTableArn: recovery.tableArn,
      sourceTableId: recovery.tableId,
      at: new Date(at).toISOString(),
      journal: recovery.journal,
      keys: recovery.keys,
    });
    const state = db.state.made[target];
    if (state !== undefined) runRestore(db, state);
    return { TableDescription: shown(db, made) };
  });
}

/** The restore's slow work; the same again after a restart. */
export function runRestore(db: DynamoDb, made: MadeTableState): void {
  const { restore } = made;
  if (restore === undefined) return;
  const { background, timing } = db.cloud;
  background.run(`restore ${made.tableName}`, `restore ${made.tableName}`, async () => {
    await background.sleep(timing.dynamodbRestoring);
    await fillTable(db, made, db.history(restore.journal, restore.keys).stateAt(Date.parse(restore.at)));
  });
}

/** CreateTable's input for a table like another one, with what the request puts in place of it. */
function tableLike(source: TableInfo, target: string, input: RestoreTableToPointInTimeInput): NewTable {
  const had = (source['BillingModeSummary'] as { BillingMode?: string } | undefined)?.BillingMode ?? 'PROVISIONED';
  const mode = input.BillingModeOverride ?? had;
  const throughput = (given: unknown) => {
    const { ReadCapacityUnits, WriteCapacityUnits } = (given ?? {}) as Record<string, number | undefined>;
    if (mode !== 'PROVISIONED') return {};
    // A table on demand shows 0 for both; AWS asks for an override there.
    return {
      ProvisionedThroughput: {
        ReadCapacityUnits: ReadCapacityUnits || 5,
        WriteCapacityUnits: WriteCapacityUnits || 5,
      },
    };
  };
  const global = input.GlobalSecondaryIndexOverride ?? ((source['GlobalSecondaryIndexes'] ?? []) as Index[]);
  const local = input.LocalSecondaryIndexOverride ?? ((source['LocalSecondaryIndexes'] ?? []) as Index[]);
  const shape = ({ IndexName, KeySchema, Projection }: LocalSecondaryIndex) => ({ IndexName, KeySchema, Projection });
  const used = new Set(
    [source, ...global, ...local].flatMap((entry) => (entry.KeySchema ?? []).map((key) => key.AttributeName)),
  );
  return {
    TableName: target,
    KeySchema: source.KeySchema,
    // CreateTable refuses the definition of an attribute that no key has, which an index left out leaves behind.
    AttributeDefinitions: source.AttributeDefinitions.filter((entry) => used.has(entry.AttributeName)),
    BillingMode: mode,
    ...throughput(input.ProvisionedThroughputOverride ?? source['ProvisionedThroughput']),
    ...(global.length === 0
      ? {}
      : {
          GlobalSecondaryIndexes: global.map((index) => ({
            ...shape(index),
            ...throughput(index.ProvisionedThroughput),
          })),
        }),
    ...(local.length === 0 ? {} : { LocalSecondaryIndexes: local.map(shape) }),
    ...(input.SSESpecificationOverride === undefined ? {} : { SSESpecification: input.SSESpecificationOverride }),
  };
}
