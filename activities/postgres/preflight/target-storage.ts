/** The storage of an RDS instance, found by the address that the file has. */
import { paginateDescribeDBInstances, type DBInstance } from '@aws-sdk/client-rds';
import type { Fix } from '../../../spec/preflight.ts';
import { rds, type AwsTarget } from '../../aws/clients.ts';
import { awsFailure } from '../../aws/failure.ts';
import { firstPages } from '../../aws/first-pages.ts';
import { CannotCheck } from '../../preflight/check.ts';
import { shell, word } from './scripts.ts';

export interface TargetStorage {
  allocatedBytes: number;
  /** Storage autoscaling; 0 where it is off. */
  growsToBytes: number;
  grow(gibibytes: number): Fix;
}

const GIB = 1024 ** 3;
const LARGEST_PAGES = 50;

/** Undefined where the address is not that of an RDS instance. @throws CannotCheck where RDS can't be asked */
export async function targetStorage(host: string, aws: AwsTarget): Promise<TargetStorage | undefined> {
  if (!/\.rds\.amazonaws\.com(\.cn)?$/.test(host)) return undefined;
  const found = await instanceAt(host, aws);
  if (!found) return undefined;
  const { DBInstanceIdentifier: id = '', AllocatedStorage = 0, MaxAllocatedStorage = 0 } = found;
  return {
    allocatedBytes: AllocatedStorage * GIB,
    growsToBytes: MaxAllocatedStorage * GIB,
    grow: (gibibytes) =>
      shell(
        'aws',
        `aws rds modify-db-instance --db-instance-identifier ${word(id)} --allocated-storage ${gibibytes} --apply-immediately`,
      ),
  };
}

async function instanceAt(host: string, aws: AwsTarget): Promise<DBInstance | undefined> {
  try {
    const pages = paginateDescribeDBInstances({ client: rds(aws) }, {});
    for await (const { DBInstances = [] } of firstPages(pages, LARGEST_PAGES)) {
      const found = DBInstances.find(({ Endpoint }) => Endpoint?.Address === host);
      if (found) return found;
    }
  } catch (error) {
    throw new CannotCheck(awsFailure(error, 'DescribeDBInstances').message);
  }
  return undefined;
}
