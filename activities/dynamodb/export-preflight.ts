/** Checks of `dynamodb-export`: identity, bucket, limits, and each table by itself. */
import { ApplicationFailure } from '@temporalio/common';
import pLimit from 'p-limit';
import { ErrorType } from '../../spec/errors.ts';
import { recoveryDaysOf, type DynamoDbExport } from '../../spec/kind-dynamodb-export.ts';
import { summarisePreflight, type CheckReport, type PreflightReport } from '../../spec/preflight.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { fail, pass, unmet, warn, type Check, type Finding } from '../preflight/check.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { BUCKET_CHECKS, callerIdentity } from './bucket-checks.ts';
import { listExports } from './find-exports.ts';
import { spanOf } from './increment.ts';
import { basesOf } from './last-export.ts';
import { resolveExportSettings, type ExportSettings } from './settings.ts';
import { tableMeaning } from './status-table.ts';
import { enableCommand, findTable, recoveryOf, requireTable } from './tables.ts';
import { clamp, type Restorable } from './window.ts';

/** AWS's limit of exports that run at once in an account. */
const EXPORTS_AT_ONCE = 300;
const TABLES_AT_ONCE = 4;

interface TableContext {
  migration: DynamoDbExport;
  settings: ExportSettings;
  table: string;
}

/**
 * @param args.settings Where they are resolved already; else they are here.
 * @throws nothing but passing errors: settings that can't be resolved are a failed check
 */
export async function preflightDynamoDbExport(args: {
  migration: DynamoDbExport;
  settings?: ExportSettings;
}): Promise<PreflightReport> {
  const { migration } = args;
  const { aws, bucketOwner, sse } = migration;
  const settings = args.settings ?? (await resolved(migration));
  const identity = await runChecks([callerIdentity], { aws });
  if ('id' in settings) return summarisePreflight([...identity, settings]);
  const { notes: read, warnings } = settings.asked;
  const notes = [...read, ...warnings].map((found, index): CheckReport => ({
    id: `E0.${index + 1}`,
    title: 'the point in time that the parameters name',
    result: warnings.includes(found) ? 'warn' : 'pass',
    found,
  }));
  const bucket = await runChecks(BUCKET_CHECKS, { bucket: settings.bucket, bucketOwner, sse, aws });
  const limits = await runChecks([underLimit], { aws });
  const limit = pLimit(TABLES_AT_ONCE);
  const tables = await Promise.all(
    settings.tables.map((table) =>
      limit(() => runChecks([tableIsThere(table), tableIsRecoverable(table)], { migration, settings, table })),
    ),
  );
  return summarisePreflight([...identity, ...notes, ...bucket, ...limits, ...tables.flat()]);
}

async function resolved(migration: DynamoDbExport): Promise<ExportSettings | CheckReport> {
  try {
    return await resolveExportSettings({ migration, now: new Date().toISOString() });
  } catch (error) {
    if (!(error instanceof ApplicationFailure) || !error.nonRetryable) throw error;
    const { remedy } = (error.details?.[0] ?? {}) as { remedy?: string };
    return {
      id: 'E0',
      title: 'the settings can be read',
      result: 'fail',
      found: error.message,
      ...(remedy ? { remedy } : {}),
    };
  }
}

const underLimit: Check<{ aws: AwsTarget }> = {
  id: 'E8',
  title: `fewer than ${EXPORTS_AT_ONCE} exports run`,
  severity: 'warn',
  remedy: () => 'exports are begun as others end; the migration waits for that',
  byHand: () => 'aws dynamodb list-exports',
  async run({ aws }) {
    const running = (await listExports({ aws })).filter(({ ExportStatus }) => ExportStatus === 'IN_PROGRESS').length;
    return running < EXPORTS_AT_ONCE ? pass(`${running} exports run in the account`) : unmet(`${running} exports run`);
  },
};

const tableIsThere = (table: string): Check<TableContext> => ({
  id: `E9.${table}`,
  title: `the table ${table} is there`,
  severity: 'fail',
  remedy: () => 'correct its name in the file, or take it out',
  byHand: () => `aws dynamodb describe-table --table-name ${table}`,
  async run({ migration }) {
    const found = await findTable(table, migration.aws);
    if (!found) return unmet(`there is no table ${table}`);
    const { meaning, warning } = tableMeaning(found.TableStatus);
    if (meaning === 'ok')
      return pass(`${found.TableStatus}, about ${found.ItemCount ?? '?'} items, ${found.TableSizeBytes ?? '?'} bytes`);
    return meaning === 'pending' ? warn(warning ?? `it is ${found.TableStatus}`) : unmet(`it is ${found.TableStatus}`);
  },
});

const tableIsRecoverable = (table: string): Check<TableContext> => ({
  id: `E10.${table}`,
  title: `${table} has point-in-time recovery, and the time is restorable`,
  severity: 'fail',
  remedy: ({ migration }) => enableCommand(table, migration.aws),
  byHand: () => `aws dynamodb describe-continuous-backups --table-name ${table}`,
  async run({ migration, settings }) {
    const { aws } = migration;
    const { enable, days } = recoveryDaysOf(migration);
    const found = await recoveryOf(table, aws);
    if (!found.enabled) {
      if (!enable) return fail('it is off', { side: 'aws', script: enableCommand(table, aws) });
      return warn(
        'it is off, and will be switched on: only what happens from then on can be exported',
        'nothing to do',
      );
    }
    const { earliest, latest } = found;
    const increment = earliest && latest ? await incrementOf(table, migration, { earliest, latest }) : undefined;
    if (increment?.result === 'unmet') return increment;
    if (days !== undefined && found.days !== undefined && days !== found.days) {
      return warn(`it is on with ${found.days} days, the file says ${days}: it is left as it is`, 'change it by hand');
    }
    if (!earliest || !latest) return warn('it is on, and AWS names no restorable time yet', 'wait a few minutes');
    if (increment) return increment;
    const { moved } = migration.at !== 'now' ? clamp(settings.asked.at, { earliest, latest }) : {};
    return moved
      ? warn(moved, 'give another `at`, if another point in time is wanted')
      : pass(`${earliest} to ${latest}`);
  },
});

/** The span of an increment; undefined with a full export. What it goes on from is only read when it is planned. */
async function incrementOf(table: string, migration: DynamoDbExport, window: Restorable): Promise<Finding | undefined> {
  if (migration.type === 'full') return undefined;
  const { from, to } = migration.type.incremental;
  try {
    const tableArn = (await requireTable(table, migration.aws)).TableArn ?? table;
    const [last] = from === 'last-export' ? await basesOf({ tableArn, migration }) : [];
    const span = spanOf(table, { base: last?.end ?? from, to, latest: window.latest }, window);
    return pass(`changes from ${span.from} to ${span.to}${last ? `, after ${last.exportArn} if that is whole` : ''}`);
  } catch (error) {
    if (!(error instanceof ApplicationFailure)) throw error;
    if (error.type !== ErrorType.invalid && error.type !== ErrorType.notFound) throw error;
    const { remedy } = (error.details?.[0] ?? {}) as { remedy?: string };
    return unmet(error.message, remedy);
  }
}
