/** Checks of `dynamodb-restore`: identity, the new table's name, what it is made of. */
import { ApplicationFailure } from '@temporalio/common';
import type { RestorePlan } from '../../spec/dynamodb-restore-state.ts';
import { ErrorType } from '../../spec/errors.ts';
import type { DynamoDbRestore } from '../../spec/kind-dynamodb-restore.ts';
import { summarisePreflight, type PreflightReport } from '../../spec/preflight.ts';
import type { AwsTarget } from '../aws/clients.ts';
import { fail, pass, unknown, warn, type Check } from '../preflight/check.ts';
import { runChecks } from '../preflight/run-checks.ts';
import { callerIdentity } from './bucket-checks.ts';
import { planTableRestore } from './plan-restore.ts';
import { checkExport } from './verify-export.ts';
import { findTable } from './tables.ts';

interface Context {
  migration: DynamoDbRestore;
  table: string;
  aws: AwsTarget;
  plan: Promise<RestorePlan>;
}

/**
 * @param args.table The new table's name, where the run makes it up itself (a drill without one).
 * @throws nothing: what can't be looked at is `unknown`
 */
export async function preflightDynamoDbRestore(args: {
  migration: DynamoDbRestore;
  table?: string;
}): Promise<PreflightReport> {
  const { migration } = args;
  const { aws } = migration;
  const table = args.table ?? migration.table ?? `${migration.id}-drill`;
  const plan = planTableRestore({ migration, table });
  plan.catch(() => {}); // Each check awaits it itself.
  return summarisePreflight(
    await runChecks([callerIdentity, nameIsFree, source, wholeExport, rights], { migration, table, aws, plan }),
  );
}

const nameIsFree: Check<Context> = {
  id: 'R1',
  title: 'there is no table of the new name',
  severity: 'fail',
  remedy: () => 'give another name in `table`, or delete that table yourself: nothing is ever restored into one',
  byHand: ({ table }) => `aws dynamodb describe-table --table-name ${table}`,
  async run({ table, aws }) {
    const there = await findTable(table, aws);
    return there ? fail(`${table} is there, ${there.TableStatus}`) : pass(`${table} is free`);
  },
};

const source: Check<Context> = {
  id: 'R2',
  title: 'what is restored from is there, and the keys are known',
  severity: 'fail',
  remedy: () => 'correct `from` in the file',
  byHand: () => 'aws dynamodb describe-continuous-backups, aws dynamodb list-exports',
  async run({ plan }) {
    try {
      const found = await plan;
      const keys = [found.keys.partitionKey, found.keys.sortKey].map((key) => key && `${key.name} (${key.type})`);
      const what =
        found.from === 'export'
          ? `${found.exportArn}, ${found.itemCount} items`
          : `${found.sourceTable} at ${found.at}`;
      return pass(`${what}; key ${keys.filter(Boolean).join(', ')}`);
    } catch (error) {
      if (!(error instanceof ApplicationFailure) || !error.nonRetryable) throw error;
      if (error.type === ErrorType.notOurs) return unknown('not looked at: the new table’s name is taken');
      const { remedy } = (error.details?.[0] ?? {}) as { remedy?: string };
      return fail(error.message, remedy);
    }
  },
};

const wholeExport: Check<Context> = {
  id: 'R3',
  title: 'the export is whole',
  severity: 'fail',
  remedy: () => 'restore from another one',
  byHand: () => 'compare manifest-files.json with the objects in S3',
  async run({ plan, migration }) {
    const found = await plan.catch(() => undefined);
    if (!found) return unknown('not looked at: what is restored from is not known');
    if (found.from !== 'export') return pass('a point in time is AWS’s own');
    try {
      const whole = await checkExport({
        exportArn: found.exportArn,
        how: 'objects',
        bucketOwner: found.bucketOwner,
        aws: migration.aws,
      });
      return pass(`${whole.files} data files, each with the manifest's ETag`);
    } catch (error) {
      if (!(error instanceof ApplicationFailure) || !error.nonRetryable) throw error;
      if (error.type === ErrorType.notFound)
        return warn(
          'AWS has forgotten the export; its manifests are read, its files are not looked at',
          'none needed: the import counts',
        );
      return error.type === ErrorType.differs ? fail(error.message) : unknown(error.message);
    }
  },
};

const rights: Check<Context> = {
  id: 'R4',
  title: 'the worker may make and delete the table',
  severity: 'fail',
  remedy: () => RIGHTS,
  byHand: () => RIGHTS,
  run: async () => unknown('can not be seen from outside; AWS tells when it is asked'),
};

const RIGHTS =
  "the worker's role needs dynamodb:RestoreTableToPointInTime or ImportTable (with s3:GetObject, s3:ListBucket and logs:*), CreateTable, PutItem, BatchWriteItem, UpdateItem, DeleteItem, Scan, Query, GetItem, BatchGetItem, TagResource, DeleteTable on the new table";
