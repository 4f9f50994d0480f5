import type {
  ContinuousBackupsDescription,
  DescribeContinuousBackupsInput,
  UpdateContinuousBackupsInput,
} from '@aws-sdk/client-dynamodb';
import { checkRange, tableName } from './input.ts';
import { refusal, tableNotFound } from './faults.ts';
import type { TableInfo } from './moto.ts';
import type { DynamoDb } from './service.ts';
import type { RecoveryState } from './state.ts';

const DAY_MS = 86_400_000;
const DEFAULT_DAYS = 35;

type Answer = { ContinuousBackupsDescription: ContinuousBackupsDescription };

/** When a table can be restored to, in milliseconds, both included. */
export function windowOf(db: DynamoDb, recovery: RecoveryState): { earliest: number; latest: number } {
  const enabled = Date.parse(recovery.enabledAt);
  // Whole seconds, as clients that know only those would else ask for a moment just before it.
  const earliest = Math.floor(Math.max(enabled, db.now() - recovery.recoveryDays * DAY_MS) / 1_000) * 1_000;
  return { earliest, latest: Math.max(earliest, db.now() - db.script.limits.restorableLag) };
}

export async function describeContinuousBackups(db: DynamoDb, input: DescribeContinuousBackupsInput): Promise<Answer> {
  const name = tableName(db, 'TableName', input.TableName ?? '');
  return db.locked([name], async () => {
    const table = await requireTable(db, name);
    return description(db, sameTable(db, table));
  });
}

/** Idempotent: switched on again, it stays on from when it was. */
export async function updateContinuousBackups(db: DynamoDb, input: UpdateContinuousBackupsInput): Promise<Answer> {
  const name = tableName(db, 'TableName', input.TableName ?? '');
  const { PointInTimeRecoveryEnabled: enabled, RecoveryPeriodInDays: days = DEFAULT_DAYS } =
    input.PointInTimeRecoverySpecification ?? {};
  checkRange('PointInTimeRecoverySpecification.RecoveryPeriodInDays', days, 1, 35);
  return db.locked([name], async () => {
    const table = await requireTable(db, name);
    if (db.state.made[name]?.status === 'CREATING') {
      throw refusal(
        'ContinuousBackupsUnavailableException',
        `Backups are being enabled for the table: ${name}. Please retry later`,
      );
    }
    const known = sameTable(db, table);
    if (enabled !== true) {
      if (known !== undefined) db.forget(name);
      return description(db, undefined);
    }
    if (known !== undefined) {
      known.recoveryDays = days;
      db.save();
      return description(db, known);
    }
    return description(db, await switchOn(db, table, days));
  });
}

async function switchOn(db: DynamoDb, table: TableInfo, recoveryDays: number): Promise<RecoveryState> {
  // From here writes wait for the lock that we hold: none falls between the scan and the journal.
  db.watched.add(table.TableName);
  try {
    const keys = [...table.KeySchema]
      .sort((a, b) => Number(b.KeyType === 'HASH') - Number(a.KeyType === 'HASH'))
      .map((key) => key.AttributeName);
    const base = await (await db.moto()).scan(table.TableName);
    const recovery: RecoveryState = {
      tableName: table.TableName,
      tableArn: table.TableArn,
      tableId: table.TableId,
      keys,
      enabledAt: db.iso(),
      recoveryDays,
      journal: `dynamodb/${table.TableId}-${db.now()}.jsonl`,
    };
    db.begin(recovery, base);
    db.state.recovery[table.TableName] = recovery;
    db.save();
    return recovery;
  } catch (error) {
    db.watched.delete(table.TableName);
    throw error;
  }
}

/** @throws AwsFault TableNotFoundException */
async function requireTable(db: DynamoDb, name: string): Promise<TableInfo> {
  const table = await (await db.moto()).table(name);
  if (table === undefined) throw tableNotFound(name);
  return table;
}

function sameTable(db: DynamoDb, table: TableInfo): RecoveryState | undefined {
  const recovery = db.state.recovery[table.TableName];
  if (recovery === undefined || recovery.tableId === table.TableId) return recovery;
  db.forget(table.TableName);
  return undefined;
}

function description(db: DynamoDb, recovery: RecoveryState | undefined): Answer {
  if (recovery === undefined) {
    return {
      ContinuousBackupsDescription: {
        // Always: AWS keeps continuous backups on for every table, and point-in-time recovery is the switch.
        ContinuousBackupsStatus: 'ENABLED',
        PointInTimeRecoveryDescription: { PointInTimeRecoveryStatus: 'DISABLED' },
      },
    };
  }
  const { earliest, latest } = windowOf(db, recovery);
  return {
    ContinuousBackupsDescription: {
      ContinuousBackupsStatus: 'ENABLED',
      PointInTimeRecoveryDescription: {
        PointInTimeRecoveryStatus: 'ENABLED',
        RecoveryPeriodInDays: recovery.recoveryDays,
        EarliestRestorableDateTime: new Date(earliest),
        LatestRestorableDateTime: new Date(latest),
      },
    },
  };
}
