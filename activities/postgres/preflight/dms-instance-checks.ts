/** The replication instance: there, or to be had. Asked, never changed. */
import {
  paginateDescribeOrderableReplicationInstances,
  type OrderableReplicationInstance,
  type ReplicationInstance,
} from '@aws-sdk/client-database-migration-service';
import { dms } from '../../aws/clients.ts';
import { findInstance, findSubnetGroup } from '../../dms/describe.ts';
import { dmsNames } from '../../dms/resources.ts';
import { pass, unmet, warn, type Finding } from '../../preflight/check.ts';
import { majorOf } from '../server-version.ts';
import { named, type PostgresCheck, type PostgresContext } from './context.ts';
import { ask, aws, existing } from './dms-asking.ts';
import { awsDms, shell } from './scripts.ts';

/** The one that the file names, or that an earlier run of this migration made. */
export async function theInstance(c: PostgresContext): Promise<ReplicationInstance | undefined> {
  const id = existing(c) ?? dmsNames(c.migration.id).instance;
  return ask('DescribeReplicationInstances', () => findInstance(aws(c), id));
}

async function orderable(c: PostgresContext): Promise<OrderableReplicationInstance[]> {
  const all: OrderableReplicationInstance[] = [];
  await ask('DescribeOrderableReplicationInstances', async () => {
    const pages = paginateDescribeOrderableReplicationInstances({ client: dms(aws(c)) }, {});
    for await (const { OrderableReplicationInstances = [] } of pages) all.push(...OrderableReplicationInstances);
  });
  return all;
}

async function instance(c: PostgresContext): Promise<Finding> {
  const found = await theInstance(c);
  const wanted = existing(c);
  if (wanted !== undefined) {
    if (!found)
      return unmet(
        `there is no replication instance ${wanted}`,
        'in the file: replication.instance.existing, or what to make',
      );
    const text = `${wanted} ${found.ReplicationInstanceStatus}, ${found.ReplicationInstanceClass}, ${found.EngineVersion}`;
    if (found.ReplicationInstanceStatus === 'available') return pass(text);
    return unmet(
      text,
      shell(
        'aws',
        awsDms(c, 'describe-replication-instances', '--filters', `Name=replication-instance-id,Values=${wanted}`),
      ),
    );
  }
  if (found) return pass(`${found.ReplicationInstanceIdentifier} is there: ${found.ReplicationInstanceStatus}`);
  const { instance: made } = c.migration.replication;
  if ('existing' in made) return pass('');
  const offers = (await orderable(c)).filter((offer) => offer.ReplicationInstanceClass === made.class);
  const list = shell('aws', awsDms(c, 'describe-orderable-replication-instances'));
  if (offers.length === 0) return unmet(`${made.class} can't be ordered here`, list);
  const versions = new Set(offers.map((offer) => offer.EngineVersion));
  if (made.engineVersion !== undefined && !versions.has(made.engineVersion)) {
    return unmet(
      `${made.class} is not to be had with engine version ${made.engineVersion}: ${named([...versions].map(String))}`,
      list,
    );
  }
  const sizes = offers.filter(
    ({ MinAllocatedStorage = 0, MaxAllocatedStorage = Infinity }) =>
      made.allocatedStorage >= MinAllocatedStorage && made.allocatedStorage <= MaxAllocatedStorage,
  );
  if (sizes.length === 0) return unmet(`${made.allocatedStorage} GiB can't be had with ${made.class}`, list);
  return pass(`${made.class} with ${made.allocatedStorage} GiB can be ordered`);
}

/** Facts 4.7, and 16 from the guide's page on Postgres sources: the first engine version of DMS that reads a major version of Postgres. */
const READS: [major: number, engine: string][] = [
  [13, '3.4.3'],
  [14, '3.4.7'],
  [15, '3.5.1'],
  [16, '3.5.3'],
];

async function engineVersion(c: PostgresContext): Promise<Finding> {
  const major = majorOf(await c.source.version());
  const made = c.migration.replication.instance;
  const engine = (await theInstance(c))?.EngineVersion ?? ('existing' in made ? undefined : made.engineVersion);
  const needed = READS.find(([from]) => from === Math.floor(major))?.[1];
  const latest = READS.at(-1)![0];
  if (major > latest) {
    return warn(
      `the source is ${major}; which engine version reads it, AWS's documents say (engine ${engine ?? 'the default one'})`,
      'look it up: docs.aws.amazon.com/dms, "Sources for data migration"',
    );
  }
  if (engine === undefined) return pass(`the source is ${major}; the instance gets DMS's default engine`);
  if (needed !== undefined && engine.localeCompare(needed, 'en', { numeric: true }) < 0) {
    return unmet(
      `engine ${engine} does not read Postgres ${major}: at least ${needed}`,
      `in the file: replication.instance.engineVersion: ${needed} or later`,
    );
  }
  return pass(`engine ${engine}, source ${major}`);
}

async function subnetGroup(c: PostgresContext): Promise<Finding> {
  const made = c.migration.replication.instance;
  if ('existing' in made) return pass('that of the instance');
  if (made.subnetGroup === undefined) return pass(made.subnetIds ? 'it is made' : "the default VPC's");
  const id = made.subnetGroup;
  const found = await ask('DescribeReplicationSubnetGroups', () => findSubnetGroup(aws(c), id));
  if (!found)
    return unmet(
      `there is no replication subnet group ${id}`,
      shell('aws', awsDms(c, 'describe-replication-subnet-groups')),
    );
  return pass(`${id} in ${found.VpcId}, ${found.Subnets?.length ?? 0} subnets`);
}

export const dmsInstanceChecks: readonly PostgresCheck[] = [
  {
    id: 'D.instance',
    title: 'the replication instance is there, or can be made',
    severity: 'fail',
    cheap: true,
    remedy: () => 'in the file: replication.instance',
    byHand: (c) => awsDms(c, 'describe-replication-instances'),
    run: instance,
  },
  {
    id: 'D.engine',
    title: "DMS's engine reads the source's version",
    severity: 'fail',
    remedy: () => 'in the file: replication.instance.engineVersion',
    byHand: (c) => awsDms(c, 'describe-replication-instances'),
    run: engineVersion,
  },
  {
    id: 'D.subnet_group',
    title: 'the replication subnet group is there',
    severity: 'fail',
    remedy: () => 'in the file: replication.instance.subnetGroup, or subnetIds to have one made',
    byHand: (c) => awsDms(c, 'describe-replication-subnet-groups'),
    run: subnetGroup,
  },
];
