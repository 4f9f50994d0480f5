/** What AWS DMS has, and would make, for this migration. Asked, never changed. */
import { DescribeAccountAttributesCommand } from '@aws-sdk/client-database-migration-service';
import { dms } from '../../aws/clients.ts';
import { awsFailure } from '../../aws/failure.ts';
import { findConnection, findEndpoint, findTask } from '../../dms/describe.ts';
import { dmsNames } from '../../dms/resources.ts';
import { MIGRATION_TAG, ownerOf } from '../../dms/tags.ts';
import { fail, pass, unmet, type Finding } from '../../preflight/check.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import { ask, aws, existing } from './dms-asking.ts';
import { dmsInstanceChecks, theInstance } from './dms-instance-checks.ts';
import { remedyOf } from './remedy-of.ts';
import { awsDms } from './scripts.ts';

async function reach(c: PostgresContext): Promise<Finding> {
  try {
    await dms(aws(c)).send(new DescribeAccountAttributesCommand({}));
    return pass(`DMS answers${aws(c).region ? ` in ${aws(c).region}` : ''}`);
  } catch (error) {
    const failure = awsFailure(error, 'DescribeAccountAttributes');
    return fail(failure.message, remedyOf(failure));
  }
}

/** What this migration adds: an instance, if it is to be made, two endpoints, a task. */
async function quotas(c: PostgresContext): Promise<Finding> {
  const answer = await ask('DescribeAccountAttributes', () =>
    dms(aws(c)).send(new DescribeAccountAttributesCommand({})),
  );
  const adds: Record<string, number> = { ReplicationInstances: existing(c) ? 0 : 1, Endpoints: 2, ReplicationTasks: 1 };
  const names = dmsNames(c.migration.id);
  // A second run of the same migration finds its own there already.
  if (await ask('DescribeReplicationTasks', () => findTask(aws(c), names.task)))
    return pass('its resources are there already');
  const short = (answer.AccountQuotas ?? []).filter(
    ({ AccountQuotaName = '', Used = 0, Max }) =>
      Max !== undefined && Used + (adds[AccountQuotaName] ?? -Infinity) > Max,
  );
  if (short.length === 0) return pass('room for what it makes');
  return unmet(
    named(short.map(({ AccountQuotaName, Used, Max }) => `${AccountQuotaName}: ${Used} of ${Max} used`)),
    'delete what is no longer needed, or raise the quota: aws service-quotas list-service-quotas --service-code dms',
  );
}

/** Names are made of the migration's id: one that is there must be ours. */
async function ours(c: PostgresContext): Promise<Finding> {
  const names = dmsNames(c.migration.id);
  const made = existing(c) === undefined ? await theInstance(c) : undefined;
  const [source, target, task] = await Promise.all([
    ask('DescribeEndpoints', () => findEndpoint(aws(c), names.source)),
    ask('DescribeEndpoints', () => findEndpoint(aws(c), names.target)),
    ask('DescribeReplicationTasks', () => findTask(aws(c), names.task)),
  ]);
  const arns = [
    made?.ReplicationInstanceArn,
    source?.EndpointArn,
    target?.EndpointArn,
    task?.ReplicationTaskArn,
  ].filter((arn) => arn !== undefined);
  const foreign: string[] = [];
  for (const arn of arns) {
    const owner = await ask('ListTagsForResource', () => ownerOf(aws(c), arn));
    if (owner !== c.migration.id)
      foreign.push(`${arn} (${owner ? `of the migration ${owner}` : `no tag ${MIGRATION_TAG}`})`);
  }
  if (foreign.length > 0) return unmet(`there already, and not ours: ${named(foreign)}`);
  return pass(arns.length === 0 ? 'none is there yet' : `${arns.length} are there, and ours`);
}

/** What DMS's last connection tests said, where there were any. */
async function connections(c: PostgresContext): Promise<Finding> {
  const found = await theInstance(c);
  const names = dmsNames(c.migration.id);
  const failed: string[] = [];
  let tested = 0;
  for (const name of [names.source, names.target]) {
    const endpoint = await ask('DescribeEndpoints', () => findEndpoint(aws(c), name));
    if (!endpoint?.EndpointArn || !found?.ReplicationInstanceArn) continue;
    const arns = [found.ReplicationInstanceArn, endpoint.EndpointArn] as const;
    const test = await ask('DescribeConnections', () => findConnection(aws(c), ...arns));
    if (test) tested++;
    if (test?.Status === 'failed') failed.push(`${name}: ${test.LastFailureMessage ?? 'no reason given'}`);
  }
  if (failed.length > 0) return unmet(`the last test failed: ${failed.join('; ')}`);
  return pass(
    tested === 0 ? 'not tested yet: the step that makes the endpoints does it' : `${tested} tested, none failed`,
  );
}

export const dmsChecks: readonly PostgresCheck[] = [
  {
    id: 'D.api',
    title: 'the worker may ask AWS DMS',
    severity: 'fail',
    cheap: true,
    remedy: () => "check the worker's credentials, region and permissions (dms:Describe*)",
    byHand: (c) => awsDms(c, 'describe-account-attributes'),
    run: reach,
  },
  {
    id: 'D.quota',
    title: 'the account has room for what is made',
    severity: 'fail',
    remedy: () => 'raise the quotas',
    byHand: (c) => awsDms(c, 'describe-account-attributes'),
    run: quotas,
  },
  ...dmsInstanceChecks,
  {
    id: 'D.ours',
    title: 'no name of what is made is taken by others',
    severity: 'fail',
    remedy: (c) => `give the migration another id than ${c.migration.id}, or delete what is left of an earlier one`,
    byHand: (c) => awsDms(c, 'describe-replication-tasks'),
    run: ours,
  },
  {
    id: 'D.connections',
    title: "DMS's last connection tests passed",
    severity: 'fail',
    remedy: () => 'mend what the message says (security groups, pg_hba.conf, password), then retry the step',
    byHand: (c) => awsDms(c, 'describe-connections'),
    run: connections,
  },
];
